"""Quantile levels between and slightly beyond the nine that a model learns."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.readings import Values

#: Beyond these the nine quantiles say too little about the tails.
LOWEST_LEVEL, HIGHEST_LEVEL = 0.05, 0.95


def checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return the levels ascending and without repeats.

    Raises:
        InvalidRequest: none is given, or one lies outside .05 to .95.
    """
    if not levels or not all(LOWEST_LEVEL <= level <= HIGHEST_LEVEL for level in levels):
        raise InvalidRequest(
            f"quantiles must lie between {LOWEST_LEVEL} and {HIGHEST_LEVEL}.", field="quantiles"
        )
    return tuple(sorted(set(levels)))


def at_levels(quantiles: Values, levels: Sequence[float]) -> Values:
    """Read quantiles at other levels: straight lines over the normal distribution's scale.

    Args:
        quantiles: [n, 9] ascending, at QUANTILE_LEVELS.
        levels: q levels, .05 to .95, ascending.

    Returns:
        [n, q] ascending.

    >>> at_levels(np.arange(9.0)[None, :], [0.1, 0.5])
    array([[0., 4.]])
    """
    learnt = _normal_scores(QUANTILE_LEVELS)
    wanted = _normal_scores(levels)
    left = np.clip(np.searchsorted(learnt, wanted, side="right") - 1, 0, len(learnt) - 2)
    share = (wanted - learnt[left]) / (learnt[left + 1] - learnt[left])
    return np.asarray(quantiles[:, left] * (1.0 - share) + quantiles[:, left + 1] * share)


def _normal_scores(levels: Sequence[float]) -> Values:
    normal = NormalDist()
    return np.array([normal.inv_cdf(level) for level in levels])
