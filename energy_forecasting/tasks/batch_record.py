"""A batch of trainings as Redis counts it and as ``GET /trainmodel/batch/{id}`` returns it."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class BatchState(StrEnum):
    """Where a batch stands."""

    PENDING = "PENDING"  #: no task of it has begun
    RUNNING = "RUNNING"  #: some tasks have not ended
    FINISHED = "FINISHED"  #: every task has ended, whichever way


class BatchCounts(BaseModel):
    """The tasks of a batch by where they stand; they add up to its size."""

    model_config = ConfigDict(frozen=True)

    waiting: int = Field(description="For a worker, the first time or for a retry")
    running: int
    succeeded: int
    failed: int
    cancelled: int


class BatchRecord(BaseModel):
    """Many trainings asked for at once, added up."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    meter_type: str | None = Field(
        None, description="What was asked for, where that was all meters of a type"
    )
    status: BatchState
    progress: float = Field(
        ge=0, le=100, description="Mean progress of its tasks in percent; an ended task has 100"
    )
    message: str = Field(description="What is happening, in a sentence")
    tasks: int = Field(description="How many tasks belong to it")
    counts: BatchCounts
    created_at: datetime
    started_at: datetime | None = Field(None, description="When its first task was picked up")
    ended_at: datetime | None = Field(None, description="When its last task ended")
    estimated_completion: datetime | None = Field(
        None,
        description="From the pace of its own tasks, or, while none has ended, from the durations "
        "of earlier trainings, the tasks before it and the living workers; absent when "
        "nothing is known or no worker lives",
    )
