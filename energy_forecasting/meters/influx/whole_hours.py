"""Hours that the server added up, taken as readings of an hour.

Worth its while where readings come every few minutes: the server sends one row where it held
twelve or more. A sum is only an hour's amount when the hour was read as often as it should be. So
the counts decide: an hour with a few rows missing is scaled up, one with less than half of them is
unknown, and where counts do not fit the step (the meter used to read less often, or two series
overlap) the readings themselves have to be read.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.meters import ReadingKind
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.resolutions import HOUR_S
from energy_forecasting.meters.influx.source import HourSums

#: From so many readings an hour on, adding up is quicker than reading them all.
WORTH_READINGS = 12

#: More hours than this, of those with readings, must not be read by halves.
_ODD_SHARE = 0.02

_LEAST_KNOWN_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeHours:
    """Hours as readings, and whether they may stand for the readings."""

    history: History
    fits: bool


def can_be_added_up(step: timedelta | None, kind: ReadingKind) -> bool:
    """Tell whether hours may stand for a meter's readings.

    A register's do not: its resets and faults show in the readings alone.
    """
    if step is None or kind is ReadingKind.CUMULATIVE:
        return False
    step_s = step.total_seconds()
    return HOUR_S % step_s == 0 and HOUR_S / step_s >= WORTH_READINGS


def whole_hours(sums: HourSums, step: timedelta, kind: ReadingKind) -> WholeHours:
    """Turn sums into readings of an hour.

    Args:
        sums: [n] hours.
        step: of the meter's readings, as lately.
        kind: amounts are scaled up to the whole hour, rates averaged.
    """
    wanted = HOUR_S / step.total_seconds()
    known = sums.counts / wanted
    amount = sums.sums / (sums.counts if kind is ReadingKind.POWER else known)
    halves = known < _LEAST_KNOWN_SHARE
    enough: npt.NDArray[np.bool_] = ~halves
    is_odd = bool(len(known)) and float(halves.mean()) > _ODD_SHARE
    return WholeHours(
        history=History(
            timestamps=sums.hours[enough],
            consumption=amount[enough],
            temperature=sums.temperature[enough],
        ),
        fits=not is_odd and not bool((known > 1).any()),
    )
