"""What was last published of each meter, so that a pass leaves alone what has not changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from energy_forecasting.domain.meters import Meter


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastMark:
    """The forecast of a meter that was published last."""

    model_version: str
    last_reading: datetime  #: aware, UTC; the newest reading that the forecast knew


class ForecastMarks(Protocol):
    """Marks by target, as another database starts empty.

    A lost mark does no harm: the same points are written again.
    """

    def read(self, target: str) -> dict[Meter, ForecastMark]:
        """Return the marks of every meter that was published to a target.

        Raises:
            ConnectionFailed: the marks cannot be reached.
        """
        ...

    def write(self, target: str, marks: Mapping[Meter, ForecastMark]) -> None:
        """Set marks; those of other meters stay.

        Raises:
            ConnectionFailed: the marks cannot be reached.
        """
        ...


class InMemoryForecastMarks:
    """Marks in a dictionary: for tests and trials, gone with the process."""

    def __init__(self) -> None:
        self._marks: dict[str, dict[Meter, ForecastMark]] = {}

    def read(self, target: str) -> dict[Meter, ForecastMark]:
        """Return a copy of a target's marks."""
        return dict(self._marks.get(target, {}))

    def write(self, target: str, marks: Mapping[Meter, ForecastMark]) -> None:
        """Set marks of a target."""
        self._marks.setdefault(target, {}).update(marks)
