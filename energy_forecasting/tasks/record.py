"""The record of a training task, as Redis holds it and as ``GET /trainmodel/status`` returns it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import Stage
from energy_forecasting.tasks.lanes import Lane

_JSON: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class TaskRecord(BaseModel):
    """One training task; fields are None until they are known."""

    model_config = ConfigDict(frozen=True)

    task_id: str
    meter_id: str = Field(description="`_base` when a base for the type's young meters is learnt")
    meter_type: str
    status: Stage
    progress: int = Field(ge=0, le=100, description="Percent of the whole task")
    message: str = Field(description="What is happening, in a sentence")
    attempt: int = Field(description="1 for the first run; grows with each retry")
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = Field(None, description="When a worker first picked it up")
    estimated_completion: datetime | None = Field(
        None, description="From the measured durations of earlier tasks"
    )
    lane: Lane = Field(Lane.SINGLE, description="Where it waits: single requests or batches")
    batch_id: str | None = Field(None, description="The batch that asked for it")
    replay_of: str | None = Field(None, description="The failed task that it tries again")
    worker: str | None = Field(None, description="The worker process that has or had the task")
    result: dict[str, Any] | None = Field(None, description="What was trained, on success")
    error: str | None = Field(None, description="What went wrong and what to do, in a sentence")
    error_details: dict[str, Any] | None = Field(
        None, description="The error's type, whether a retry can help, and its facts"
    )

    @property
    def meter(self) -> Meter:
        """The meter to train."""
        return Meter(meter_type=self.meter_type, meter_id=self.meter_id)

    @classmethod
    def from_hash(cls, task_id: str, fields: Mapping[str, str]) -> Self:
        """Build from the fields of the Redis hash."""
        return cls(
            task_id=task_id,
            meter_id=fields["meter_id"],
            meter_type=fields["meter_type"],
            status=Stage(fields["status"]),
            progress=int(fields["progress"]),
            message=fields["message"],
            attempt=int(fields["attempt"]),
            created_at=_moment(fields["created_ms"]),
            updated_at=_moment(fields["updated_ms"]),
            started_at=_optional_moment(fields.get("started_ms")),
            estimated_completion=_optional_moment(fields.get("estimated_ms")),
            lane=Lane(fields.get("lane", Lane.SINGLE)),
            batch_id=fields.get("batch_id"),
            replay_of=fields.get("replay_of"),
            worker=fields.get("worker"),
            result=_optional_json(fields.get("result")),
            error=fields.get("error"),
            error_details=_optional_json(fields.get("error_details")),
        )


def _moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, tz=UTC)


def _optional_moment(milliseconds: str | None) -> datetime | None:
    return _moment(milliseconds) if milliseconds else None


def _optional_json(text: str | None) -> dict[str, Any] | None:
    return _JSON.validate_json(text) if text else None
