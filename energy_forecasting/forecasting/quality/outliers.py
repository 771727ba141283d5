"""Hours far from what the same hour of the week usually holds.

Robust on purpose: medians do not move with the values they are to expose, and an hour of the
week that is always high is no outlier. It cannot tell a heat wave from a fault.
"""

from dataclasses import dataclass

import numpy as np

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import Hours
from energy_forecasting.forecasting.imputation import HOURS_PER_WEEK
from energy_forecasting.forecasting.scale import seasonal_scale

#: Robust standard deviations from the median. Consumption has long tails: at 10 the 24 meters of
#: ``bench_open`` have outliers in 0.05 % of their hours, at 8 in 0.12 %, many of them weather.
OUTLIER_DISTANCE = 10.0

#: Above this share of zero hours the median hour is zero: the meter is intermittent, and only
#: the hours in which it runs are compared, with each other.
INTERMITTENT_ZERO_SHARE = 0.5

#: Turns the median absolute deviation of a normal distribution into its standard deviation.
_MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True, kw_only=True, slots=True)
class Deviations:
    """How far each hour lies from the usual; both [n], NaN where that cannot be said."""

    usual: Values  #: median of the same hour of the week, meter's unit
    distance: Values  #: |value - usual| in robust standard deviations


def is_intermittent(consumption: Values) -> bool:
    """Tell whether most known hours are zero.

    >>> is_intermittent(np.array([0.0, 0.0, 5.0, np.nan]))
    True
    """
    known = consumption[np.isfinite(consumption)]
    return bool(len(known) and np.mean(known == 0) > INTERMITTENT_ZERO_SHARE)


def deviations(consumption: Values, hour_of_week: Hours) -> Deviations:
    """Compare every hour with the median of its hour of the week.

    The deviation of an hour of the week is at least that of the median one, and at least the
    meter's weekly error: at night many meters hardly vary, and a lamp left on is no outlier.

    Args:
        consumption: [n] hourly, NaN where missing.
        hour_of_week: [n] local, 0 to 167.
    """
    compared = np.isfinite(consumption)
    group = hour_of_week
    if is_intermittent(consumption):
        compared = compared & (consumption != 0)
        group = np.zeros_like(hour_of_week)
    median = np.full(HOURS_PER_WEEK, np.nan)
    spread = np.full(HOURS_PER_WEEK, np.nan)
    for hour in np.unique(group[compared]):
        values = consumption[compared & (group == hour)]
        median[hour] = np.median(values)
        spread[hour] = _MAD_TO_DEVIATION * np.median(np.abs(values - median[hour]))
    known = spread[np.isfinite(spread)]
    floor = max(float(np.median(known)) if len(known) else 0.0, seasonal_scale(consumption))
    usual = np.where(compared, median[group], np.nan)
    distance = np.abs(consumption - usual) / np.maximum(spread, floor)[group]
    return Deviations(usual=usual, distance=distance)
