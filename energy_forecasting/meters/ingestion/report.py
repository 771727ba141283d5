"""What became of readings that came in."""

from bisect import insort
from dataclasses import dataclass
from operator import attrgetter

#: Rejections that are told in full; beyond them they are only counted.
REJECTIONS_TOLD = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """A line or an item that was left out."""

    place: int  #: of a line, from 1 with the header; of an item in its list, from 0
    reason: str


class Rejections:
    """Counts what was left out and tells the first hundred by their place."""

    def __init__(self) -> None:
        self._total = 0
        self._told: list[Rejection] = []

    def add(self, place: int, reason: str) -> None:
        """Take a rejection, in any order."""
        self._total += 1
        if len(self._told) < REJECTIONS_TOLD or place < self._told[-1].place:
            insort(self._told, Rejection(place=place, reason=reason), key=attrgetter("place"))
            del self._told[REJECTIONS_TOLD:]

    def __len__(self) -> int:
        return self._total

    @property
    def told(self) -> tuple[Rejection, ...]:
        """The first ``REJECTIONS_TOLD``, ordered by place."""
        return tuple(self._told)


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What a store took of one meter."""

    readings: int
    duplicates: int  #: left out because a later one has the same moment
    forecast_temperatures: int  #: temperatures that lie after the meter's last reading

    @property
    def usable(self) -> int:
        """Lines or items that were not rejected."""
        return self.readings + self.duplicates + self.forecast_temperatures


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What an import did."""

    meters: int  #: meters that received readings or a forecast of temperature
    readings: int  #: readings written; of duplicates in the file only the last
    duplicates: int  #: lines left out because a later one names the same meter and moment
    forecast_temperatures: int  #: temperatures written that lie after a meter's last reading
    rejected_lines: int
    rejected: tuple[Rejection, ...]  #: the first ``REJECTIONS_TOLD`` of them
