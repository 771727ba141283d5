"""The baseline: last week's value, with intervals from how wrong it has been by hour of day.

It serves where the network cannot be trusted: short histories, and meters whose habits the
network does not beat. It knows neither weather nor holidays.
"""

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK

#: Name of the table among an artifact's weights.
RESIDUAL_QUANTILES = "residual_quantiles/kernel"

_MEDIAN = QUANTILE_LEVELS.index(0.5)


def week_ago(grid: LocalGrid, hours: Hours) -> Values:
    """Return the value of a week before each grid hour, gaps filled, [n]."""
    return grid.filled[hours - HOURS_PER_WEEK]


def residual_quantiles(residuals: Values, hour_of_day: Hours) -> Values:
    """Return the quantiles of the naive's errors by hour of day, neighbours pooled, [24, 9].

    The middle one is 0, so that the point forecast stays last week's value.

    Args:
        residuals: [n] y(t) - y(t - 168 h), in the meter's unit, without NaN.
        hour_of_day: [n] 0 to 23.
    """
    table = np.zeros((HOURS_PER_DAY, len(QUANTILE_LEVELS)))
    for hour in range(HOURS_PER_DAY):
        distance = np.abs((hour_of_day - hour + 12) % HOURS_PER_DAY - 12)
        nearby = residuals[distance <= 1]
        if len(nearby):
            table[hour] = np.quantile(nearby, QUANTILE_LEVELS)
    table[:, :_MEDIAN] = np.minimum(table[:, :_MEDIAN], 0.0)
    table[:, _MEDIAN] = 0.0
    table[:, _MEDIAN + 1 :] = np.maximum(table[:, _MEDIAN + 1 :], 0.0)
    return table


def naive_quantiles(
    last_week: Values, hour_of_day: Hours, table: npt.NDArray[np.floating]
) -> Values:
    """Return last week's values, [n], with the table's intervals around them, [n, 9].

    >>> table = np.tile(np.arange(-4.0, 5.0), (24, 1))
    >>> naive_quantiles(np.array([10.0]), np.array([0]), table)[0, :2]
    array([6., 7.])
    """
    return np.asarray(last_week[:, None] + table[hour_of_day], dtype=np.float64)
