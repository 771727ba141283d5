"""What a database holds, by name: containers, measurements, tags, fields; no reading.

It serves a person who writes a configuration, see ``energy_forecasting.doctor``. Databases can
hold millions of names, so every list stops at ``MOST_NAMES`` and says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from typing import Protocol, Self

from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.layout import Place

#: More names than these are not asked for.
MOST_NAMES = 1_000


class FieldType(StrEnum):
    """What the values of a field are."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    MIXED = "mixed"  #: numbers at one time, something else at another
    UNKNOWN = "unknown"  #: the server did not tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """Some names, as the server orders them."""

    names: tuple[str, ...]
    complete: bool = True  #: False when there are more

    @classmethod
    def first_of(cls, names: Iterable[str]) -> Self:
        """Take at most ``MOST_NAMES`` different ones, never an empty one."""
        found = tuple(islice(dict.fromkeys(filter(None, names)), MOST_NAMES + 1))
        return cls(names=found[:MOST_NAMES], complete=len(found) <= MOST_NAMES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """How long values are kept."""

    policy: str | None  #: retention policy of a database; None for a bucket
    is_default: bool  #: whether it is meant where none is named
    duration: timedelta | None  #: None for ever


class Catalog(Protocol):
    """Questions of names to one InfluxDB; errors as the protocol ``MeterStore`` says."""

    def containers(self, deadline: Deadline) -> Names:
        """Return the buckets or databases that the credentials may see, the server's own not."""
        ...

    def organizations(self, deadline: Deadline) -> Names:
        """Return the organizations that the token may see; none where there are no such."""
        ...

    def kept(self, container: str, deadline: Deadline) -> tuple[Kept, ...]:
        """Return for how long values are kept; none when nobody tells."""
        ...

    def measurements(self, container: str, deadline: Deadline) -> Names:
        """Return the measurements of a bucket or database."""
        ...

    def tags(self, place: Place, deadline: Deadline) -> Names:
        """Return the names of the tags of a measurement."""
        ...

    def fields(self, place: Place, deadline: Deadline) -> Names:
        """Return the names of the fields of a measurement."""
        ...

    def field_types(
        self, place: Place, fields: tuple[str, ...], deadline: Deadline
    ) -> dict[str, FieldType]:
        """Return the types of some of its fields."""
        ...

    def tag_values(self, place: Place, tag: str, deadline: Deadline) -> Names:
        """Return the values of a tag."""
        ...
