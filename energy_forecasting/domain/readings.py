"""A meter's history: consumption and temperature over time, in UTC.

A history may have gaps; it never has duplicates and is always ascending. It cannot say what
a gap means: a missing reading is missing, never zero.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.errors import DataQualityError, InvalidRequest

Timestamps = npt.NDArray[np.datetime64]
Values = npt.NDArray[np.float64]

HOUR = np.timedelta64(1, "h")

#: Below this share of readings with a temperature, temperature is not used.
MINIMUM_TEMPERATURE_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class History:
    """Readings of one meter; the three arrays have the same length n.

    Raises:
        DataQualityError: lengths differ, or timestamps are not strictly ascending.
    """

    timestamps: Timestamps  #: [n] datetime64[s], UTC, strictly ascending; start of the step
    consumption: Values  #: [n] in the meter's unit; NaN where the reading is unusable
    temperature: Values  #: [n] degrees Celsius; NaN where unknown

    def __post_init__(self) -> None:
        n = len(self.timestamps)
        if len(self.consumption) != n or len(self.temperature) != n:
            raise DataQualityError("A history needs as many values as timestamps.")
        if n > 1 and not bool(np.all(self.timestamps[1:] > self.timestamps[:-1])):
            raise DataQualityError("A history's timestamps must be strictly ascending.")

    @classmethod
    def from_readings(
        cls, timestamps: Timestamps, consumption: Values, temperature: Values
    ) -> Self:
        """Build from readings in any order; of duplicates the last one given wins."""
        stamps = np.asarray(timestamps, dtype="datetime64[s]")
        order = np.argsort(stamps, kind="stable")
        stamps = stamps[order]
        last = np.append(stamps[1:] != stamps[:-1], True) if len(stamps) else np.zeros(0, bool)
        return cls(
            timestamps=stamps[last],
            consumption=np.asarray(consumption, dtype=np.float64)[order][last],
            temperature=np.asarray(temperature, dtype=np.float64)[order][last],
        )

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def first(self) -> datetime:
        """The first timestamp, aware and UTC; a history must not be empty to be asked."""
        return to_datetime(self.timestamps[0])

    @property
    def last(self) -> datetime:
        """The last timestamp, aware and UTC; a history must not be empty to be asked."""
        return to_datetime(self.timestamps[-1])

    @property
    def has_temperature(self) -> bool:
        """Whether at least half of the readings carry a temperature and it varies."""
        if not len(self):
            return False
        known = np.isfinite(self.temperature)
        enough = known.mean() >= MINIMUM_TEMPERATURE_SHARE
        return bool(enough and np.ptp(self.temperature[known]) > 0)

    def before(self, moment: datetime) -> "History":
        """Return the readings strictly before an aware moment."""
        end = int(np.searchsorted(self.timestamps, to_datetime64(moment), side="left"))
        return self._part(slice(end))

    def since(self, moment: datetime) -> "History":
        """Return the readings at an aware moment and later."""
        first = int(np.searchsorted(self.timestamps, to_datetime64(moment), side="left"))
        return self._part(slice(first, None))

    def _part(self, part: slice) -> "History":
        return History(
            timestamps=self.timestamps[part],
            consumption=self.consumption[part],
            temperature=self.temperature[part],
        )


def to_datetime64(moment: datetime) -> np.datetime64:
    """Turn an aware datetime into UTC datetime64[s].

    Raises:
        InvalidRequest: the datetime is naive, so it names no moment, or out of range.
    """
    if moment.tzinfo is None:
        raise InvalidRequest(
            f"{moment.isoformat()} has no time zone; add an offset such as Z or +01:00.",
            field="timestamp",
        )
    try:
        return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "s")
    except OverflowError as error:  # the first or last day of the calendar, in a far time zone
        raise InvalidRequest(
            f"{moment.isoformat()} lies outside the calendar in UTC.", field="timestamp"
        ) from error


def to_datetime(stamp: np.datetime64) -> datetime:
    """Turn a UTC datetime64 into an aware datetime."""
    return datetime.fromtimestamp(int(stamp.astype("datetime64[s]").astype(np.int64)), tz=UTC)
