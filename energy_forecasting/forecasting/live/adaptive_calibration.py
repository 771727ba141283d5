"""Calibration that follows the meter: quantiles corrected by how the last forecasts turned out.

Multipliers fitted in training say how wrong a model was then; habits, seasons and buildings
change after it. Two things are tracked online, day by day and from a replay of past forecasts
(``replay.py``), so that there is no state to keep:

- one factor per lead group and level on the distance from the median. It grows by
  exp(rate x (share missed - share expected)): the quantile tracking of adaptive conformal
  inference (Gibbs and Candès, 2021; Angelopoulos, Candès and Tibshirani, 2023), in logarithms.
  Short of its bounds, the share missed tends to the one expected whatever the meter does;
- one shift of the median per lead group and local hour, by the same rule at level .5.

A day can move a factor by a third at most and usually moves it by a few per cent. When errors
double, half of the lost coverage is back in two weeks a day ahead, in a month later in the week.
What changes from one day to the next, such as an unannounced holiday, cannot be corrected by
looking back. The rates were judged on 24 meters and on 43 others (``docs/performance.md``); a third
more or less of each changes the CRPS by less than 1 %.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.calibration import LEAD_GROUPS, lead_group
from energy_forecasting.forecasting.grid import Hours
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY

DAYS_AHEAD = MAX_HORIZON_HOURS // HOURS_PER_DAY

#: Rates of the first day and of the rest of the week, which is slower: its outcomes come in late,
#: and the six forecasts of one hour err together.
_FACTOR_RATES = (0.3, 0.15)
_SHIFT_RATES = (0.1, 0.025)

_SMALLEST, _LARGEST = 0.4, 4.0
_LARGEST_SHIFT = 2.0

#: [24, 24] what the error of one hour teaches the others: half goes to the hours around it, half
#: to the whole day.
_NEARBY = sum(
    share * np.roll(np.eye(HOURS_PER_DAY), hours, axis=1)
    for hours, share in {-2: 0.1, -1: 0.2, 0: 0.4, 1: 0.2, 2: 0.1}.items()
)
_SHARED = 0.5 * _NEARBY + 0.5 / HOURS_PER_DAY

_MEDIAN = QUANTILE_LEVELS.index(0.5)
_LEVELS = np.array(QUANTILE_LEVELS)
_EXPECTED_MISSES = np.minimum(_LEVELS, 1.0 - _LEVELS)
_IS_UPPER = np.arange(len(_LEVELS)) > _MEDIAN
#: Width of the widest interval in standard deviations, were the errors normal.
_WIDTH = 2.0 * NormalDist().inv_cdf(QUANTILE_LEVELS[-1])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Adaptation:
    """What the last forecasts teach about the next one."""

    shift: Values  #: [lead group, 24] by local hour, in standard deviations of the hour's forecast
    factors: Values  #: [lead group, 9] of the distance from the median

    @classmethod
    def none(cls) -> "Adaptation":
        """Return the one that changes nothing."""
        return cls(
            shift=np.zeros((LEAD_GROUPS, HOURS_PER_DAY)),
            factors=np.ones((LEAD_GROUPS, len(QUANTILE_LEVELS))),
        )

    def apply(self, quantiles: Values, leads: Hours, hours_of_day: Hours) -> Values:
        """Return the corrected quantiles, [..., 9], ascending.

        Args:
            quantiles: [..., 9] ascending.
            leads: [...] hours from the origin.
            hours_of_day: [...] local, 0 to 23.

        >>> nine = np.arange(9.0)[None, :]
        >>> (Adaptation.none().apply(nine, np.array([0]), np.array([0])) == nine).all()
        np.True_
        """
        group = lead_group(leads)
        return _corrected(quantiles, self.shift[group, hours_of_day], self.factors[group])


def adapt(quantiles: Values, actual: Values, *, moves_median: bool) -> tuple[Adaptation, Values]:
    """Learn from d days of forecasts, oldest first.

    Args:
        quantiles: [d, 168, 9] forecasts from d consecutive local midnights.
        actual: [d, 168] what happened; NaN where that is unknown or must not count.
        moves_median: whether to track a shift, or the factors alone.

    Returns:
        What holds for a forecast after these days, and the quantiles corrected by what was
        known at each origin, [d, 168, 9].
    """
    days = len(quantiles)
    by_day = quantiles.reshape(days, DAYS_AHEAD, HOURS_PER_DAY, len(QUANTILE_LEVELS))
    happened = actual.reshape(days, DAYS_AHEAD, HOURS_PER_DAY)
    leads = np.arange(MAX_HORIZON_HOURS)
    hours_of_day = leads % HOURS_PER_DAY
    current = Adaptation.none()
    at_origin: list[Adaptation] = []
    for day in range(days):
        at_origin.append(current)
        # The forecasts of this day, from its own midnight and from the six before.
        ago = np.arange(min(DAYS_AHEAD, day + 1))
        leads_of_day = leads.reshape(DAYS_AHEAD, HOURS_PER_DAY)[ago]
        forecast = current.apply(by_day[day - ago, ago], leads_of_day, leads_of_day % HOURS_PER_DAY)
        current = _updated(current, forecast, happened[day - ago, ago], moves_median=moves_median)
    group = lead_group(leads)
    shifts = np.array([each.shift for each in at_origin])[:, group, hours_of_day]
    factors = np.array([each.factors for each in at_origin])[:, group]
    return current, _corrected(quantiles, shifts, factors)


def _corrected(quantiles: Values, shift: Values, factors: Values) -> Values:
    """Return [..., 9]: the median shifted, [...], the distances from it stretched, [..., 9]."""
    median = quantiles[..., _MEDIAN, None]
    deviation = (quantiles[..., -1, None] - quantiles[..., 0, None]) / _WIDTH
    moved = median + shift[..., None] * deviation
    return np.sort(moved + (quantiles - median) * factors, axis=-1)


def _updated(
    current: Adaptation, forecast: Values, actual: Values, *, moves_median: bool
) -> Adaptation:
    """Learn from one day's forecasts, [k, 24, 9], made 0 to k - 1 days before it."""
    shift, factors = current.shift.copy(), current.factors.copy()
    known = np.isfinite(actual)
    above = actual[..., None] > forecast  # a comparison with NaN is false
    below = actual[..., None] < forecast
    missed = np.where(_IS_UPPER, above, below) - _EXPECTED_MISSES
    surprise = np.where(known[..., None], missed, 0.0)
    side = above[..., _MEDIAN].astype(np.float64) - below[..., _MEDIAN]
    for group, part in enumerate((slice(0, 1), slice(1, None))):
        forecasts_a_day = 1 if group == 0 else DAYS_AHEAD - 1
        # Days with gaps, or of which fewer forecasts are known, count for less.
        by_hour = surprise[part].sum(axis=0) / forecasts_a_day
        factors[group] *= np.exp(_FACTOR_RATES[group] * by_hour.mean(axis=0))
        if moves_median:
            sides = side[part].sum(axis=0) / forecasts_a_day
            shift[group] += _SHIFT_RATES[group] * (sides @ _SHARED)
    factors[:, _MEDIAN] = 1.0
    return Adaptation(
        shift=np.clip(shift, -_LARGEST_SHIFT, _LARGEST_SHIFT),
        factors=np.clip(factors, _SMALLEST, _LARGEST),
    )
