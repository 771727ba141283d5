"""Quantile levels between and beyond the nine that a model learns."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.calibration import TAIL_LEVELS, lead_group
from energy_forecasting.forecasting.grid import Hours

#: Beyond these a year of readings says too little about the tails.
LOWEST_LEVEL, HIGHEST_LEVEL = TAIL_LEVELS[0], TAIL_LEVELS[-1]

_MEDIAN = QUANTILE_LEVELS.index(0.5)


def checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return the levels ascending and without repeats.

    Raises:
        InvalidRequest: none is given, or one lies outside .01 to .99.
    """
    if not levels or not all(LOWEST_LEVEL <= level <= HIGHEST_LEVEL for level in levels):
        raise InvalidRequest(
            f"quantiles must lie between {LOWEST_LEVEL} and {HIGHEST_LEVEL}.", field="quantiles"
        )
    return tuple(sorted(set(levels)))


def at_levels(
    quantiles: Values,
    levels: Sequence[float],
    *,
    leads: Hours,
    tails: Sequence[Sequence[float]],
) -> Values:
    """Read quantiles at other levels: straight lines over the normal distribution's scale.

    Args:
        quantiles: [n, 9] ascending, at QUANTILE_LEVELS.
        levels: q levels, .01 to .99, ascending.
        leads: [n] hours from the origin.
        tails: how far the tails reach (see ``calibration.fit_tails``).

    Returns:
        [n, q] ascending.

    >>> nine = np.arange(9.0)[None, :]
    >>> tails = [[2.0, 1.5, 1.5, 2.0]] * 2
    >>> at_levels(nine, [0.01, 0.1, 0.5, 0.95], leads=np.array([0]), tails=tails)
    array([[-4.,  0.,  4., 10.]])
    """
    median = quantiles[:, _MEDIAN, None]
    reach = np.asarray(tails)[lead_group(leads)]
    half = len(TAIL_LEVELS) // 2
    known = np.concatenate(
        [
            median - (median - quantiles[:, :1]) * reach[:, :half],
            quantiles,
            median + (quantiles[:, -1:] - median) * reach[:, half:],
        ],
        axis=1,
    )
    learnt = _normal_scores((*TAIL_LEVELS[:half], *QUANTILE_LEVELS, *TAIL_LEVELS[half:]))
    wanted = _normal_scores(levels)
    left = np.clip(np.searchsorted(learnt, wanted, side="right") - 1, 0, len(learnt) - 2)
    share = (wanted - learnt[left]) / (learnt[left + 1] - learnt[left])
    return np.asarray(known[:, left] * (1.0 - share) + known[:, left + 1] * share)


def _normal_scores(levels: Sequence[float]) -> Values:
    normal = NormalDist()
    return np.array([normal.inv_cdf(level) for level in levels])
