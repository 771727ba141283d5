"""When a meter's steps begin, in the past and ahead.

Steps up to an hour begin on multiples of it. Longer ones follow the wall clock or UTC, and may
begin at any hour: a gas day at 06:00, a day of a data logger at midnight UTC. Which of the two
clocks shows where the steps stay in place when the clocks change; without such a change among
the readings a midnight tells, and else the wall clock is assumed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import numpy as np

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.readings import (
    HOUR,
    Timestamps,
    Values,
    to_datetime,
)
from energy_forecasting.domain.resolutions import HOUR_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """The steps of a meter, or of an answer."""

    step: timedelta
    calendar: LocalCalendar | None = None  #: the wall clock that the steps follow; None is UTC
    phase_s: int = 0  #: on that clock, seconds from a multiple of the step to a step's start

    @classmethod
    def of(cls, timestamps: Timestamps, step: timedelta, calendar: LocalCalendar) -> Self:
        """Find out where steps of a known length begin.

        Args:
            timestamps: [n] of the readings, n > 0.
            step: their step.
            calendar: the meter's.
        """
        if step <= timedelta(hours=1):
            return cls(step=step)
        hours = (timestamps + HOUR // 2).astype("datetime64[h]").astype("datetime64[s]")
        length = int(step.total_seconds())
        in_utc, agreeing_in_utc = _phase(hours, length)
        on_the_wall, agreeing_on_the_wall = _phase(calendar.wall_clock(hours), length)
        if (agreeing_in_utc, in_utc == 0) > (agreeing_on_the_wall, on_the_wall == 0):
            return cls(step=step, phase_s=in_utc)
        return cls(step=step, calendar=calendar, phase_s=on_the_wall)

    def starts(self, start: datetime, end: datetime) -> Timestamps:
        """Return the starts of the steps with start <= begin < end, ascending."""
        length = int(self.step.total_seconds())
        beat = min(length, HOUR_S)
        first, last = (int(moment.timestamp()) for moment in (start, end))
        beats = np.arange(-(-first // beat) - 1, -(-last // beat)) * beat
        stamps = beats.astype("datetime64[s]")
        clock = self.calendar.wall_clock(stamps) if self.calendar else stamps
        step = (clock.astype(np.int64) - self.phase_s) // length
        # A step that has begun does not begin again when the clocks go back.
        begins = step[1:] > np.maximum.accumulate(step)[:-1]
        return np.asarray(stamps[1:][begins])

    def start_of(self, moment: datetime) -> datetime:
        """Return the start of the step that an aware moment lies in."""
        reach = 2 * self.step + timedelta(hours=2)
        return to_datetime(self.starts(moment - reach, moment + timedelta(seconds=1))[-1])

    def next_start(self, moment: datetime) -> datetime:
        """Return the start of the first step that begins after an aware moment."""
        reach = 2 * self.step + timedelta(hours=2)
        return to_datetime(self.starts(moment + timedelta(seconds=1), moment + reach)[0])

    def known_until(self, last_start: datetime) -> datetime:
        """Return the end of the step of a reading, whose stamp may be a little off."""
        return self.next_start(last_start + self._tolerance)

    def closed_by(self, last_reading: datetime) -> datetime:
        """Return the end of the last step that a register's last reading has closed."""
        return self.start_of(last_reading + self._tolerance)

    @property
    def _tolerance(self) -> timedelta:
        return timedelta(minutes=30) if self.step > timedelta(hours=1) else timedelta(seconds=30)


def _phase(clock: Timestamps, length: int) -> tuple[int, int]:
    """Return the most frequent phase of so many seconds, and how many timestamps have it."""
    phases, counts = np.unique(clock.astype(np.int64) % length, return_counts=True)
    return int(phases[np.argmax(counts)]), int(counts.max())


def over_steps(
    hours: Timestamps, values: Values, starts: Timestamps, ends: Timestamps, *, adds_up: bool
) -> Values:
    """Bring hourly values onto longer steps: their mean, times the step's hours if they add up.

    Args:
        hours: [n] starts of the hours, ascending.
        values: [n, q]; NaN where missing.
        starts: [k] of the steps.
        ends: [k] of the steps.
        adds_up: whether the values are amounts, not rates.

    Returns:
        [k, q]; NaN where not one hour is known. A step of which some hours are known is scaled
        up: the hours of a long reading are equal.
    """
    first, beyond = np.searchsorted(hours, starts), np.searchsorted(hours, ends)
    known = np.isfinite(values)
    total = _cumulated(np.where(known, values, 0.0))
    count = _cumulated(known.astype(np.float64))
    here = count[beyond] - count[first]
    mean = np.divide(
        total[beyond] - total[first], here, out=np.full(here.shape, np.nan), where=here > 0
    )
    length = ((ends - starts) / HOUR)[:, None]
    return np.asarray(mean * length if adds_up else mean)


def _cumulated(values: Values) -> Values:
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
