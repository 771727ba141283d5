"""The reference of an explanation: the last four weeks, had every one been like their mean.

Consumption repeats the mean week of the last four, temperature their mean day, and no day is a
holiday. Features built from it ask the model what it forecasts when nothing is out of the
ordinary; whatever differs from that has a cause that an analyst can name. Against the mean of
all training rows, the other obvious reference, a Sunday is out of the ordinary every week:
a holiday's effect was then shared out over "holidays", "day of week" and "last days".
"""

from dataclasses import replace

import numpy as np

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK

_WEEKS = 4
_HOURS = _WEEKS * HOURS_PER_WEEK


def usual_grid(grid: LocalGrid) -> LocalGrid:
    """Return a grid of the same hours with the usual week, the usual day's temperature, no holiday.

    Args:
        grid: at least four weeks; its temperature may be unknown throughout.
    """
    hours_to_end = np.arange(len(grid)) - len(grid)
    week = grid.filled[-_HOURS:].reshape(_WEEKS, HOURS_PER_WEEK).mean(axis=0)
    return replace(
        grid,
        consumption=week[hours_to_end % HOURS_PER_WEEK],
        temperature=usual_temperature(grid, hours_to_end),
        calendar=replace(grid.calendar, country=None),
    )


def usual_temperature(grid: LocalGrid, leads: Hours) -> Values:
    """Return the mean of the last four weeks at each lead's hour of day, degrees Celsius, [n]."""
    day = grid.filled_temperature[-_HOURS:].reshape(-1, HOURS_PER_DAY).mean(axis=0)
    return np.asarray(day[leads % HOURS_PER_DAY])
