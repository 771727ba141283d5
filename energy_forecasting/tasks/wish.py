"""What a client asks of one training, as the record keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """How a meter is to be trained."""

    max_trials: int = 0  #: alternatives that tuning tries; 0 turns tuning off
    deadline_s: float | None = None  #: of each attempt; None: TRAINING_DEADLINE_S
    replay_of: str | None = None  #: the failed task that is tried again

    def options(self) -> dict[str, Any]:
        """Return what a worker needs to know, as JSON can hold it."""
        return {"max_trials": self.max_trials, "deadline_s": self.deadline_s}


def wish_of(options: Mapping[str, Any]) -> Wish:
    """Return the wish that a record's options tell; an earlier release told less."""
    return Wish(max_trials=int(options.get("max_trials", 0)), deadline_s=options.get("deadline_s"))
