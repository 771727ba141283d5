"""What training will fill in, by rule, told from which hours are known.

It mirrors ``imputation.impute`` without its values; a test holds the two together. In the
autumn hour that happens twice a missing one takes its twin's value and counts nowhere.
"""

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.quality import Repairs
from energy_forecasting.forecasting.grid import Flags, Hours
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK


def repairs_by_rule(known: Flags, missing: Hours) -> Repairs:
    """Count by rule the hours that ``imputation.impute`` fills.

    Args:
        known: [n] whether each hour of the local grid is known.
        missing: positions of the hours that the history lacks.

    >>> week = np.ones(169, dtype=bool)
    >>> week[[30, 168]] = False
    >>> repairs_by_rule(week, np.array([30, 168]))
    Repairs(week_ago_hours=1, day_ago_hours=1, later_hours=0, interpolated_hours=0)
    """
    week_ago = _reached(known, HOURS_PER_WEEK)
    day_ago = _reached(week_ago, HOURS_PER_DAY)
    later = _reached(_reached(day_ago[::-1], HOURS_PER_WEEK), HOURS_PER_DAY)[::-1]
    return Repairs(
        week_ago_hours=int((week_ago & ~known)[missing].sum()),
        day_ago_hours=int((day_ago & ~week_ago)[missing].sum()),
        later_hours=int((later & ~day_ago)[missing].sum()),
        interpolated_hours=int((~later)[missing].sum()),
    )


def _reached(known: Flags, period: int) -> Flags:
    """Tell which hours are known, or have a known one whole periods earlier."""
    periods = -(-len(known) // period)
    padded = np.zeros(periods * period, dtype=bool)
    padded[: len(known)] = known
    reached: npt.NDArray[np.bool_] = np.logical_or.accumulate(padded.reshape(periods, period))
    return reached.reshape(-1)[: len(known)]
