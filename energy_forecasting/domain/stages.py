"""The stages of a training task and the only transitions between them.

A task moves forward through its stages; the one way back is to PENDING, for a retry.
Terminal stages are immutable. The table below is consulted by the task store on every write.
"""

from enum import StrEnum


class Stage(StrEnum):
    """Where a training task stands; the value is the ``status`` that clients read."""

    PENDING = "PENDING"  #: queued, or waiting for a retry
    STARTED = "STARTED"  #: a worker has claimed it
    CONNECTING = "CONNECTING"  #: opening the meter store
    FETCHING_DATA = "FETCHING_DATA"  #: reading the meter's history
    VALIDATING_DATA = "VALIDATING_DATA"  #: checking that the history can be learnt from
    TRAINING_MODEL = "TRAINING_MODEL"  #: tuning and training in a trainer process
    SAVING_MODEL = "SAVING_MODEL"  #: publishing the artifact
    SUCCESS = "SUCCESS"  #: ended: the model serves forecasts
    FAILED = "FAILED"  #: ended: the record says why
    CANCELLED = "CANCELLED"  #: ended: by request

    @property
    def is_terminal(self) -> bool:
        """Whether a task in this stage has ended for good."""
        return self in TERMINAL_STAGES


TERMINAL_STAGES = frozenset({Stage.SUCCESS, Stage.FAILED, Stage.CANCELLED})

#: The stages of a successful run, in order.
PIPELINE = (
    Stage.PENDING,
    Stage.STARTED,
    Stage.CONNECTING,
    Stage.FETCHING_DATA,
    Stage.VALIDATING_DATA,
    Stage.TRAINING_MODEL,
    Stage.SAVING_MODEL,
    Stage.SUCCESS,
)

#: Progress in percent on entering a stage; FAILED and CANCELLED keep what was reached.
STAGE_PROGRESS: dict[Stage, int] = {
    Stage.PENDING: 0,
    Stage.STARTED: 0,
    Stage.CONNECTING: 5,
    Stage.FETCHING_DATA: 10,
    Stage.VALIDATING_DATA: 35,
    Stage.TRAINING_MODEL: 50,
    Stage.SAVING_MODEL: 90,
    Stage.SUCCESS: 100,
}

#: The highest progress that training itself can report.
TRAINING_PROGRESS_END = 89

STAGE_MESSAGE: dict[Stage, str] = {
    Stage.PENDING: "Task queued for processing",
    Stage.STARTED: "Worker picked up the task",
    Stage.CONNECTING: "Connecting to InfluxDB...",
    Stage.FETCHING_DATA: "Retrieving training data...",
    Stage.VALIDATING_DATA: "Validating data quality...",
    Stage.TRAINING_MODEL: "Training model...",
    Stage.SAVING_MODEL: "Saving trained model...",
    Stage.SUCCESS: "Model training completed successfully!",
    Stage.CANCELLED: "Cancelled by request",
}

_RUNNING = PIPELINE[1:-1]

#: Target stage to the stages it may be entered from.
ENTERED_FROM: dict[Stage, frozenset[Stage]] = {
    Stage.PENDING: frozenset(_RUNNING),  # a retry, or its worker was lost
    Stage.STARTED: frozenset({Stage.PENDING}),
    Stage.CONNECTING: frozenset({Stage.STARTED}),
    Stage.FETCHING_DATA: frozenset({Stage.CONNECTING}),
    Stage.VALIDATING_DATA: frozenset({Stage.FETCHING_DATA}),
    Stage.TRAINING_MODEL: frozenset({Stage.VALIDATING_DATA, Stage.TRAINING_MODEL}),
    Stage.SAVING_MODEL: frozenset({Stage.TRAINING_MODEL}),
    Stage.SUCCESS: frozenset({Stage.SAVING_MODEL}),
    Stage.FAILED: frozenset({Stage.PENDING, *_RUNNING}),
    Stage.CANCELLED: frozenset({Stage.PENDING, *_RUNNING}),
}


def training_progress(fraction: float) -> int:
    """Translate the done fraction of a training (0 to 1) into percent of the whole task.

    >>> training_progress(0.0), training_progress(0.5), training_progress(1.0)
    (50, 69, 89)
    """
    start = STAGE_PROGRESS[Stage.TRAINING_MODEL]
    bounded = min(max(fraction, 0.0), 1.0)
    return start + int(bounded * (TRAINING_PROGRESS_END - start))
