"""The lanes in which trainings wait: single requests in one, batches in the other.

Each lane is a Dramatiq queue of its own, so a request never stands behind the thousands of a
batch. Within a lane it is first come, first served.
"""

from enum import StrEnum


class Lane(StrEnum):
    """Where a task waits; the value stands in its record."""

    SINGLE = "single"  #: somebody waits for the answer
    BATCH = "batch"  #: one of many

    @property
    def queue_name(self) -> str:
        """The Dramatiq queue of the lane."""
        return _QUEUES[self]

    @property
    def actor_name(self) -> str:
        """The Dramatiq actor that takes the lane's messages."""
        return _ACTORS[self]

    @property
    def priority(self) -> int:
        """Which messages a worker process takes first from those it has fetched; low is early."""
        return _PRIORITIES[self]


_QUEUES = {Lane.SINGLE: "training", Lane.BATCH: "training_batch"}
_ACTORS = {Lane.SINGLE: "train_model", Lane.BATCH: "train_model_of_batch"}
_PRIORITIES = {Lane.SINGLE: 0, Lane.BATCH: 10}
