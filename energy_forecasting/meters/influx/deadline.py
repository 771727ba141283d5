"""The moment at which a call gives up: one for connecting, waiting, reading and trying again."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Deadline:
    """Starts when it is made."""

    seconds: float  #: allowed for the whole call
    started: float = field(default_factory=time.monotonic)

    @property
    def remaining_s(self) -> float:
        """Seconds left; never below zero."""
        return max(0.0, self.started + self.seconds - time.monotonic())
