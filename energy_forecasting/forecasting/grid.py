"""A meter's history on a regular hourly grid of its local wall clock.

People use energy by the clock on the wall, so a local day always has 24 hours here: the autumn
hour that happens twice is averaged, the spring hour that does not happen is missing. The grid
therefore cannot tell the two autumn hours apart; a forecast gives both the same values.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import HOUR, History, Timestamps, Values
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, impute, interpolate

#: In the week of the spring change, 168 hours reach over 169 hours of the wall clock.
MAX_LEADS = MAX_HORIZON_HOURS + 1

#: 1970-01-01 was a Thursday; Monday is 0.
_WEEKDAY_OF_EPOCH = 3

Hours = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LocalGrid:
    """n consecutive local hours from a local midnight on; hour i lies i hours after ``start``."""

    start: np.datetime64  #: datetime64[h], local midnight
    consumption: Values  #: [n] NaN where no reading fell into the hour
    temperature: Values  #: [n] degrees Celsius, NaN where unknown
    calendar: LocalCalendar
    #: hours that begin within a longer reading, so no forecast starts there
    inside: Hours = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @classmethod
    def from_history(
        cls,
        history: History,
        calendar: LocalCalendar,
        *,
        start: np.datetime64 | None = None,
        end: np.datetime64 | None = None,
    ) -> Self:
        """Lay a history onto the grid.

        Args:
            history: hourly readings; must not be empty unless both bounds are given.
            calendar: the meter's wall clock.
            start: first local day; None means the day of the first reading.
            end: local hour after the last one; None means after the last reading.
        """
        local = calendar.wall_clock(history.timestamps).astype("datetime64[h]")
        first = (local[0] if start is None else start).astype("datetime64[D]")
        start_hour = first.astype("datetime64[h]")
        end_hour = local.max() + 1 if end is None else end.astype("datetime64[h]")
        hours = (local - start_hour).astype(np.int64)
        length = int((end_hour - start_hour).astype(np.int64))
        inside = (hours >= 0) & (hours < length)
        return cls(
            start=start_hour,
            consumption=mean_by_hour(hours[inside], history.consumption[inside], length),
            temperature=mean_by_hour(hours[inside], history.temperature[inside], length),
            calendar=calendar,
        )

    def __len__(self) -> int:
        return len(self.consumption)

    @cached_property
    def filled(self) -> Values:
        """Consumption without gaps, [n], for model inputs only."""
        return impute(self.consumption)

    @cached_property
    def filled_temperature(self) -> Values:
        """Temperature without gaps, [n]; NaN throughout when none is known."""
        return interpolate(self.temperature)

    @cached_property
    def weekday(self) -> Hours:
        """Monday 0 to Sunday 6 of each hour, [n + MAX_LEADS]: known beyond the history."""
        days = self._days.astype("datetime64[D]").astype(np.int64)
        return np.repeat((days + _WEEKDAY_OF_EPOCH) % 7, HOURS_PER_DAY)

    @cached_property
    def holiday(self) -> Flags:
        """Whether each hour belongs to a public holiday, [n + MAX_LEADS]."""
        days = self._days.astype("datetime64[D]").tolist()
        return np.repeat(self.calendar.is_holiday(days), HOURS_PER_DAY)

    @property
    def _days(self) -> npt.NDArray[np.datetime64]:
        count = -(-(len(self) + MAX_LEADS) // HOURS_PER_DAY)
        return np.asarray(self.start.astype("datetime64[D]") + np.arange(count))

    def with_long_readings(self, inside: Timestamps) -> Self:
        """Return the same grid that knows which UTC hours begin within a longer reading."""
        hours, before = self.hours_of(inside), self.hours_of(inside - HOUR)
        # The spring hour that does not happen lies where the hour after it does.
        return replace(self, inside=np.union1d(hours, hours[hours - before > 1] - 1))

    def first_hour_of_reading(self, hours: Hours) -> Hours:
        """Return for each grid hour the first one that shares its reading; mostly itself."""
        if not len(self.inside):
            return hours
        begins = np.arange(max(int(hours.max()), len(self)) + 1)
        begins[self.inside[(self.inside >= 0) & (self.inside < len(begins))]] = 0
        return np.asarray(np.maximum.accumulate(begins)[hours])

    def hours_of(self, timestamps: Timestamps) -> Hours:
        """Return the grid hour of each UTC timestamp; beyond the history too."""
        local = self.calendar.wall_clock(timestamps).astype("datetime64[h]")
        return np.asarray((local - self.start).astype(np.int64))


def at_reading_ends(origins: Hours, inside: Hours, possible: range) -> Hours:
    """Move origins that lie within a longer reading to that reading's end, ascending, once each.

    Before its end the reading is not known, but its hours would already stand in the grid.

    Args:
        origins: grid hours, ascending.
        inside: grid hours that begin within a longer reading.
        possible: the grid hours at which an origin may lie at all; one that would move beyond
            them is left out.

    >>> at_reading_ends(np.array([24, 48]), np.array([24, 25, 26]), range(24, 72)).tolist()
    [27, 48]
    """
    if not len(inside):
        return origins
    allowed = np.setdiff1d(np.array(possible), inside)
    following = np.searchsorted(allowed, origins)
    return np.unique(allowed[following[following < len(allowed)]])


def local_hour(moment: datetime, calendar: LocalCalendar) -> np.datetime64:
    """Return the local wall-clock hour of an aware moment, datetime64[h]."""
    stamp = np.array([int(moment.timestamp())], dtype="datetime64[s]")
    return np.datetime64(calendar.wall_clock(stamp)[0], "h")


def mean_by_hour(hours: Hours, values: Values, length: int) -> Values:
    """Average the known values that fall into each of ``length`` hours; NaN where none does.

    >>> mean_by_hour(np.array([0, 2, 2]), np.array([1.0, 2.0, 4.0]), 3)
    array([ 1., nan,  3.])
    """
    known = np.isfinite(values)
    count = np.bincount(hours[known], minlength=length)
    total = np.bincount(hours[known], weights=values[known], minlength=length)
    return np.asarray(np.divide(total, count, out=np.full(length, np.nan), where=count > 0))
