"""One task as Redis tells it: its record and its events, read past the API."""

import json
from dataclasses import dataclass
from typing import Any, cast

import redis

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import TERMINAL_STAGES, Stage
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.task_keys import INDEX, TASK_EVENTS_PREFIX, TASK_PREFIX


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEvent:
    """One entry of a task's event list."""

    stage: Stage
    attempt: int
    progress: int
    at_ms: int
    message: str

    def __str__(self) -> str:
        """Return what a reader of a report needs."""
        return f"{self.at_ms} {self.stage} attempt={self.attempt} {self.progress} % {self.message}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStory:
    """A task from its admission to its end."""

    task_id: str
    record: TaskRecord | None  #: None: there is none
    events: list[TaskEvent]

    @property
    def meter(self) -> Meter | None:
        """The meter, if the record is there."""
        return self.record.meter if self.record else None

    @property
    def stage(self) -> Stage | None:
        """Where the task stands."""
        return self.record.status if self.record else None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.stage in TERMINAL_STAGES

    @property
    def version(self) -> str | None:
        """The version that its success names."""
        return self._details.get("model_version")

    @property
    def is_promoted(self) -> bool:
        """Whether its model became the champion."""
        return bool(self._details.get("promoted"))

    @property
    def error_type(self) -> str | None:
        """The type of the error it ended with."""
        details = self.record.error_details if self.record else None
        return details.get("type") if details else None

    @property
    def ended_ms(self) -> int | None:
        """When it ended, for the first time."""
        return next((each.at_ms for each in self.events if each.stage.is_terminal), None)

    @property
    def _details(self) -> dict[str, Any]:
        result = self.record.result if self.record else None
        return dict(result["details"]) if result else {}


def read_story(client: redis.Redis, task_id: str) -> TaskStory:
    """Return a task's story."""
    fields = cast("dict[str, str]", client.hgetall(TASK_PREFIX + task_id))
    texts = cast("list[str]", client.lrange(TASK_EVENTS_PREFIX + task_id, 0, -1))
    return TaskStory(
        task_id=task_id,
        record=TaskRecord.from_hash(task_id, fields) if fields else None,
        events=[_event(json.loads(text)) for text in texts],
    )


def read_stories(client: redis.Redis, task_ids: set[str]) -> dict[str, TaskStory]:
    """Return the stories of these tasks and of every other that is listed."""
    listed = cast("list[str]", client.zrange(INDEX, 0, -1))
    return {task_id: read_story(client, task_id) for task_id in task_ids.union(listed)}


def _event(fields: dict[str, Any]) -> TaskEvent:
    return TaskEvent(
        stage=Stage(fields["status"]),
        attempt=fields["attempt"],
        progress=fields["progress"],
        at_ms=fields["updated_ms"],
        message=fields["message"],
    )
