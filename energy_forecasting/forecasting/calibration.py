"""Making the intervals honest: how far each quantile must lie from the median.

The tails beyond the nine levels are told by how far they reach in units of the outermost ones.
The multipliers come from out-of-fold predictions, so they know how wrong the network is on
hours that it did not learn. They widen or narrow; they cannot move the median.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import Hours
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY

Multipliers = list[list[float]]

#: [lead group][TAIL_LEVELS] distances from the median, in units of that of .1 or .9.
Tails = list[list[float]]

TAIL_LEVELS = (0.01, 0.05, 0.95, 0.99)

#: The first day, which is more certain, and the rest of the week.
LEAD_GROUPS = 2

#: The future differs more from the past than one fortnight from the others.
INFLATION = 1.03

_SMALLEST, _LARGEST = 0.3, 4.0

#: A tail reaches further than the level inside of it, and not beyond reason.
_NEXT_LEVEL, _LONGEST_TAIL = 1.02, 8.0
_MEDIAN = QUANTILE_LEVELS.index(0.5)
_TINY = 1e-6


def lead_group(leads: Hours) -> Hours:
    """Return 0 for leads within the first day, 1 beyond.

    >>> lead_group(np.array([0, 23, 24, 168])).tolist()
    [0, 0, 1, 1]
    """
    return np.asarray((leads >= HOURS_PER_DAY).astype(np.int64))


def fit_multipliers(actual: Values, quantiles: Values, leads: Hours) -> Multipliers:
    """Find the factor per lead group and level that puts the right share below each quantile.

    Args:
        actual: [n] what happened, in units of scale.
        quantiles: [n, 9] predicted out of fold, sorted.
        leads: [n] hours from the origin.

    Returns:
        [lead group][level] factors of the distance from the median.
    """
    groups = lead_group(leads)
    return [
        _group_multipliers(actual[groups == group], quantiles[groups == group])
        for group in range(LEAD_GROUPS)
    ]


def apply_multipliers(
    quantiles: Values, leads: Hours, multipliers: Sequence[Sequence[float]]
) -> Values:
    """Return calibrated quantiles, [n, 9], sorted.

    >>> nine = np.arange(9.0)[None, :]
    >>> apply_multipliers(nine, np.array([0]), [[2.0] * 9, [1.0] * 9])[0].tolist()
    [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    """
    median = quantiles[:, _MEDIAN, None]
    factors = np.asarray(multipliers)[lead_group(leads)]
    return np.sort(median + (quantiles - median) * factors, axis=1)


def fit_tails(actual: Values, quantiles: Values, leads: Hours) -> Tails:
    """Find how far the tails reach, in units of the distance of the outermost of the nine levels.

    Args:
        actual: [n] what happened.
        quantiles: [n, 9] calibrated.
        leads: [n] hours from the origin.
    """
    groups = lead_group(leads)
    return [
        _group_tails(actual[groups == group], quantiles[groups == group])
        for group in range(LEAD_GROUPS)
    ]


def normal_tails() -> Tails:
    """Return the tails of the normal distribution, for models that were not asked for theirs."""
    normal = NormalDist()
    outermost = normal.inv_cdf(QUANTILE_LEVELS[-1])
    return [[abs(normal.inv_cdf(level)) / outermost for level in TAIL_LEVELS]] * LEAD_GROUPS


def _group_tails(actual: Values, quantiles: Values) -> list[float]:
    if not len(actual):
        return normal_tails()[0]
    median = quantiles[:, _MEDIAN]
    low = (median - actual) / (median - quantiles[:, 0] + _TINY)
    high = (actual - median) / (quantiles[:, -1] - median + _TINY)
    outer_low, inner_low, inner_high, outer_high = (
        float(np.quantile(ratio, max(level, 1.0 - level)))
        for ratio, level in zip((low, low, high, high), TAIL_LEVELS, strict=True)
    )
    return [*_lengthening(inner_low, outer_low)[::-1], *_lengthening(inner_high, outer_high)]


def _lengthening(inner: float, outer: float) -> list[float]:
    inner = min(max(inner, _NEXT_LEVEL), _LONGEST_TAIL / _NEXT_LEVEL)
    return [inner, min(max(outer, inner * _NEXT_LEVEL), _LONGEST_TAIL)]


def _group_multipliers(actual: Values, quantiles: Values) -> list[float]:
    factors = [1.0] * len(QUANTILE_LEVELS)
    if not len(actual):
        return factors
    median = quantiles[:, _MEDIAN]
    for index, level in enumerate(QUANTILE_LEVELS):
        if index == _MEDIAN:
            continue
        side = 1.0 if index > _MEDIAN else -1.0
        distance = np.abs(quantiles[:, index] - median) + _TINY
        needed = side * float(np.quantile((actual - median) / distance, level))
        factors[index] = INFLATION * min(max(needed, _SMALLEST), _LARGEST)
    return factors
