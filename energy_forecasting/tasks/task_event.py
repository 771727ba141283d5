"""One event of a task: a stage entered or a step of progress, as clients are told of it.

An event says where a task stood, not what came of it: the result, the worker and the time left
are in the record alone.
"""

import json
from datetime import UTC, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from energy_forecasting.domain.stages import Stage


class TaskEvent(BaseModel):
    """One change of a task; the fields mean what they mean in its record."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(exclude=True, description="Its place among the task's events, from 0")
    task_id: str
    status: Stage
    progress: int
    message: str
    attempt: int
    updated_at: datetime
    error: str | None = None

    @property
    def is_last(self) -> bool:
        """Whether nothing can follow, as the task has ended."""
        return self.status.is_terminal

    @classmethod
    def from_text(cls, number: int, text: str) -> Self:
        """Build from the text in a task's list of events."""
        fields = json.loads(text)
        updated_at = datetime.fromtimestamp(fields.pop("updated_ms") / 1000, tz=UTC)
        return cls(number=number, updated_at=updated_at, **fields)
