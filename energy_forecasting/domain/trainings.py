"""What a training is asked to do and what it reports while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class TrainingPhase(StrEnum):
    """The parts of a training, in order."""

    PREPARING = "Preparing features"
    TUNING = "Tuning"
    FITTING = "Fitting the ensemble"
    CALIBRATING = "Calibrating"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """Choices of the one who asks for a training."""

    max_trials: int = 2  #: alternatives that tuning tries against the default; 0 turns it off
    seed: int = 0  #: the same history and the same seed give the same model


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingProgress:
    """How far a training has come."""

    fraction: float  #: 0 to 1 of all the work planned, tuning included
    phase: TrainingPhase


#: Called by a training at least twice a second while it runs.
ProgressListener = Callable[[TrainingProgress], None]
