"""The span of time that a read asks for, and the error when it holds nothing.

Stores keep whole UTC seconds, so both bounds are rounded up to the next one: no reading
before ``start`` slips in and none before ``end`` is lost.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import numpy as np

from energy_forecasting.domain.errors import NoDataFound
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import to_datetime, to_datetime64

#: No reading is taken in from outside these, nor asked for: InfluxDB's own limits lie just beyond.
EARLIEST = datetime(1700, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Readings with start <= timestamp < end, in seconds since 1970 UTC; None is open."""

    start: int | None = None
    end: int | None = None

    @classmethod
    def between(cls, start: datetime | None, end: datetime | None) -> Self:
        """Build from aware datetimes.

        Raises:
            InvalidRequest: a datetime is naive.
        """
        return cls(start=_seconds_up(start), end=_seconds_up(end))

    @property
    def is_empty(self) -> bool:
        """Whether no moment at all lies within."""
        return self.start is not None and self.end is not None and self.start >= self.end

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return "at any time"
        if self.start is None:
            return f"before {_iso(self.end)}"
        if self.end is None:
            return f"from {_iso(self.start)} on"
        return f"from {_iso(self.start)} to {_iso(self.end)}"


def bounded(span: Span) -> Span:
    """Close a span's open sides and cut it to what InfluxDB can express: no query is unbounded."""
    earliest, latest = (int(to_datetime64(end).astype(np.int64)) for end in (EARLIEST, LATEST))
    return Span(
        start=earliest if span.start is None else min(max(span.start, earliest), latest),
        end=latest if span.end is None else max(min(span.end, latest), earliest),
    )


def no_data_found(meter: Meter, span: Span, **where: str) -> NoDataFound:
    """Return the error for a meter without a reading in a span; ``where`` says what was asked."""
    asked = f" ({', '.join(f'{name} {value}' for name, value in where.items())})" if where else ""
    return NoDataFound(
        f"Meter {meter} has no reading {span}{asked}; check its id and type, or import readings.",
        meter_type=meter.meter_type,
        meter_id=meter.meter_id,
        start=_iso(span.start),
        end=_iso(span.end),
        **where,
    )


def _seconds_up(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    whole = to_datetime64(moment.replace(microsecond=0))
    return int(whole.astype(np.int64)) + (1 if moment.microsecond else 0)


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else to_datetime(np.datetime64(seconds, "s")).isoformat()
