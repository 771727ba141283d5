"""What the store asks of InfluxDB, in whichever language.

A source asks one question at a time and knows nothing of spans too large for one answer, of
joining or of hours: that is the store's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.readings import Timestamps, Values
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.layout import MeterGroup, Place
from energy_forecasting.meters.spans import Span

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """n values of one field, in no promised order; of several series as one."""

    times: Timestamps  #: [n] UTC, seconds
    values: Values  #: [n] NaN where null


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowCounts:
    """How many values lie in each window of time; only windows with values, ascending."""

    starts: Timestamps  #: [n]
    counts: Counts  #: [n]


@dataclass(frozen=True, kw_only=True, slots=True)
class HourSums:
    """What the server made of each hour with a value; ascending."""

    hours: Timestamps  #: [n]
    sums: Values  #: [n] of the consumption
    counts: Counts  #: [n] of its values
    temperature: Values  #: [n] mean; NaN where there is none


class InfluxSource(Protocol):
    """One language of one InfluxDB; errors as the protocol ``MeterStore`` says."""

    def version(self, deadline: Deadline) -> str:
        """Return the server's version, ``unknown`` where it does not tell."""
        ...

    def probe(self, place: Place, deadline: Deadline) -> None:
        """Ask next to nothing: it succeeds when credentials and container are right."""
        ...

    def newest(
        self, group: MeterGroup, deadline: Deadline
    ) -> Iterator[tuple[str | None, str, np.datetime64]]:
        """Yield the values of the type's and the id's tag and the newest time, by series."""
        ...

    def edge(
        self,
        place: Place,
        field: str,
        span: Span,
        edge: Literal["first", "last"],
        deadline: Deadline,
    ) -> np.datetime64 | None:
        """Return the first or last time of a field within a span; None when it has no value."""
        ...

    def count(self, place: Place, field: str, deadline: Deadline) -> int:
        """Return how many values a field has."""
        ...

    def window_counts(
        self, place: Place, field: str, span: Span, deadline: Deadline
    ) -> WindowCounts:
        """Count the values of a field by windows of a week, the first cut by the span."""
        ...

    def readings(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> tuple[Series, Series]:
        """Return the values of consumption and of temperature (none for the field None)."""
        ...

    def hour_sums(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> HourSums:
        """Let the server add up consumption and average temperature by whole UTC hours."""
        ...

    def hour_means(self, place: Place, field: str, span: Span, deadline: Deadline) -> Series:
        """Let the server average a field by whole UTC hours."""
        ...

    def values(self, place: Place, field: str, span: Span, deadline: Deadline) -> Series:
        """Return the values of one field."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def no_series() -> Series:
    """Return a series without values."""
    return Series(times=np.empty(0, dtype="datetime64[s]"), values=np.empty(0))
