"""The local calendar of a meter: wall clock and public holidays.

People use energy by the clock on the wall, so calendar features live in local time; all else
stays in UTC. On the autumn day one local hour happens twice, on the spring day one is missing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.readings import Timestamps

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalCalendar:
    """Turns UTC into a meter's wall clock and knows its public holidays."""

    timezone: str  #: IANA name
    country: str | None  #: ISO 3166 code; None or unknown to ``holidays`` means no holidays

    def wall_clock(self, timestamps: Timestamps) -> Timestamps:
        """Return the local wall-clock time of each UTC timestamp, [n] datetime64[s] without zone.

        >>> clock = LocalCalendar(timezone="Europe/Rome", country=None)
        >>> str(clock.wall_clock(np.array(["2022-07-01T00:00"], dtype="datetime64[s]"))[0])
        '2022-07-01T02:00:00'
        """
        zone = ZoneInfo(self.timezone)
        seconds = np.asarray(timestamps, dtype="datetime64[s]").astype(np.int64)
        days, day = np.unique(seconds // _SECONDS_PER_DAY, return_inverse=True)
        at_start = _utc_offsets_s(zone, days * _SECONDS_PER_DAY)
        at_end = _utc_offsets_s(zone, (days + 1) * _SECONDS_PER_DAY)
        offsets = at_start[day]
        # Only on the days on which the clocks change must each moment be asked for.
        changing = (at_start != at_end)[day]
        offsets[changing] = _utc_offsets_s(zone, seconds[changing])
        return np.asarray((seconds + offsets).astype("datetime64[s]"))

    def is_holiday(self, days: Iterable[date]) -> npt.NDArray[np.bool_]:
        """Tell for each local day whether it is a public holiday."""
        wanted = list(days)
        if self.country is None or not wanted:
            return np.zeros(len(wanted), dtype=bool)
        years = range(min(wanted).year, max(wanted).year + 1)
        try:
            known = _public_holidays(self.country, years)
        except NotImplementedError:  # the library does not know this country
            return np.zeros(len(wanted), dtype=bool)
        return np.array([day in known for day in wanted], dtype=bool)


def _utc_offsets_s(zone: ZoneInfo, seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.array([_utc_offset_s(zone, second) for second in seconds.tolist()], dtype=np.int64)


@lru_cache(maxsize=64)
def _public_holidays(country: str, years: range) -> holidays.HolidayBase:
    return holidays.country_holidays(country, years=years)


def _utc_offset_s(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, tz=UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
