"""Task records in Redis: the only module that knows their keys, lifetimes and Lua.

One round trip per change. What the keys hold stands in ``task_store.lua``. Long, because whoever
changes a key must see all of its readers and writers at once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import redis

from energy_forecasting.domain.errors import (
    Cancelled,
    Conflict,
    EnergyForecastingError,
    NotFound,
    WorkerLost,
)
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import (
    ENTERED_FROM,
    STAGE_MESSAGE,
    STAGE_PROGRESS,
    Stage,
    training_progress,
)
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.redis_client import redis_faults_translated

PREFIX = "ef:"
INDEX = f"{PREFIX}tasks"
OPEN = f"{PREFIX}tasks:open"
LEASES = f"{PREFIX}tasks:leases"
UNQUEUED = f"{PREFIX}tasks:unqueued"
DURATIONS = f"{PREFIX}stage_durations"
TASK_PREFIX = f"{PREFIX}task:"
TASK_EVENTS_PREFIX = f"{PREFIX}task_events:"
EVENT_CHANNEL_PREFIX = f"{PREFIX}events:"

#: A worker's hold on a task; renewed every second while the worker lives.
LEASE_MS = 8_000
#: How long an admitted task may lack a message before the reconciler sends one.
ENQUEUE_GRACE_MS = 5_000
#: Of the ids made here; a longer one is not echoed in full.
TASK_ID_LENGTH = 36
#: The most records that one page of a filtered listing looks at.
SCAN_LIMIT = 2_000

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
_ANYBODY = "*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """The answer to a wish to train."""

    task_id: str
    deduplicated: bool  #: the meter already had an open task, which is the one named


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A worker's right to run one attempt of a task."""

    task_id: str
    attempt: int  #: the fencing token that every write of this run carries
    retries: int  #: earlier attempts that failed with a retryable error
    meter: Meter
    options: Mapping[str, Any]  #: what the client asked for: max_trials


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskPage:
    """Records, newest first."""

    tasks: list[TaskRecord]
    cursor: str | None  #: pass it on to get the next page; None at the end


class TaskGone(Exception):
    """The run may not write any more: the task ended, or was given to another worker."""

    def __init__(self, task_id: str, reason: str) -> None:
        super().__init__(f"task {task_id} is gone: {reason}")
        self.reason = reason  #: CANCELLED, STALE, UNKNOWN, SUCCESS, FAILED or FORBIDDEN


def no_such_task(task_id: str) -> NotFound:
    """Return what to raise for an id that no record has."""
    return NotFound(
        "There is no task with this id; it never existed or its record has expired.",
        task_id=task_id[:TASK_ID_LENGTH],
    )


def record_of(task_id: str, fields: Mapping[str, str]) -> TaskRecord:
    """Build a record from what Redis holds under its key.

    Raises:
        NotFound: nothing, as there is no such task or its retention is over.
    """
    if not fields:
        raise no_such_task(task_id)
    return TaskRecord.from_hash(task_id, fields)


class TaskStore:
    """Reads and writes task records; safe to share between threads.

    Every call raises ``ConnectionFailed`` when Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis, *, url: str, retention: timedelta) -> None:
        self._client = client
        self._url = url
        self._retention_ms = int(retention.total_seconds() * 1000)
        self._script = client.register_script(_SCRIPT)

    # What clients do -----------------------------------------------------------------------

    def admit(self, meter: Meter, options: Mapping[str, Any]) -> Admission:
        """Write a PENDING record, unless the meter already has an open task."""
        task_id = str(uuid4())
        fields = {
            "meter_id": meter.meter_id,
            "meter_type": meter.meter_type,
            "status": Stage.PENDING,
            "progress": 0,
            "message": STAGE_MESSAGE[Stage.PENDING],
            "attempt": 1,
            "options": json.dumps(dict(options)),
        }
        answer = self._run(
            "admit", task_id, TASK_PREFIX, ENQUEUE_GRACE_MS, *_flat(fields), meter=meter
        )
        return Admission(task_id=answer[1], deduplicated=answer[0] == "EXISTING")

    def mark_enqueued(self, task_id: str) -> None:
        """Note that a message for the task is in the queue."""
        self._run("enqueued", task_id)

    def get(self, task_id: str) -> TaskRecord:
        """Return one record.

        Raises:
            NotFound: there is none, or its retention is over.
        """
        with redis_faults_translated(self._url):
            fields = cast("dict[str, str]", self._client.hgetall(TASK_PREFIX + task_id))
        return record_of(task_id, fields)

    def find(
        self,
        *,
        status: Stage | None = None,
        meter_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> TaskPage:
        """Return records newest first; a filtered page may hold fewer than ``limit``."""
        newest = f"({cursor}" if cursor else "+inf"
        tasks: list[TaskRecord] = []
        looked_at = 0
        while looked_at < SCAN_LIMIT:
            with redis_faults_translated(self._url):
                rows = cast(
                    "list[tuple[str, float]]",
                    self._client.zrevrangebyscore(
                        INDEX, newest, "-inf", start=0, num=limit, withscores=True
                    ),
                )
                records = self._get_many([task_id for task_id, _ in rows])
            for (task_id, created_ms), fields in zip(rows, records, strict=True):
                newest = f"({created_ms:.0f}"
                looked_at += 1
                if not fields:  # the record has expired
                    continue
                record = TaskRecord.from_hash(task_id, fields)
                if status not in (None, record.status) or meter_id not in (None, record.meter_id):
                    continue
                tasks.append(record)
                if len(tasks) == limit:
                    return TaskPage(tasks=tasks, cursor=newest.removeprefix("("))
            if len(rows) < limit:
                return TaskPage(tasks=tasks, cursor=None)
        return TaskPage(tasks=tasks, cursor=newest.removeprefix("("))

    def cancel(self, task_id: str, *, message: str = STAGE_MESSAGE[Stage.CANCELLED]) -> TaskRecord:
        """End the task as CANCELLED; again for a cancelled task changes nothing.

        Raises:
            NotFound: there is no such task.
            Conflict: the task has already succeeded or failed.
        """
        meter = self.get(task_id).meter
        answer = self._advance(
            task_id,
            _ANYBODY,
            Stage.CANCELLED,
            message=message,
            progress=None,
            fields=_error_fields(Cancelled(message)),
            meter=meter,
        )
        if answer[0] in (Stage.SUCCESS, Stage.FAILED):
            raise Conflict(
                f"The task has already ended with {answer[0]}; there is nothing to cancel.",
                task_id=task_id,
                status=answer[0],
            )
        return self.get(task_id)

    # What a worker does --------------------------------------------------------------------

    def claim(self, task_id: str, *, worker: str) -> Claim | None:
        """Take a PENDING task; None when it has ended, is unknown or is somebody's already.

        Of several messages for one task only one gets a claim, so a double delivery is harmless.
        """
        answer = self._run("claim", task_id, worker, LEASE_MS, STAGE_MESSAGE[Stage.STARTED])
        if answer[0] != "CLAIMED":
            return None
        with redis_faults_translated(self._url):
            meter_id, meter_type, options = cast(
                "list[str]",
                self._client.hmget(TASK_PREFIX + task_id, "meter_id", "meter_type", "options"),
            )
        return Claim(
            task_id=task_id,
            attempt=int(answer[1]),
            retries=int(answer[2]),
            meter=Meter(meter_type=meter_type, meter_id=meter_id),
            options=json.loads(options),
        )

    def renew(self, claim: Claim) -> None:
        """Keep the claim alive for another lease.

        Raises:
            TaskGone: the task was cancelled or given to another worker.
        """
        self._accept(claim, self._run("renew", claim.task_id, claim.attempt, LEASE_MS))

    def enter(self, claim: Claim, stage: Stage) -> None:
        """Move to the next stage.

        Raises:
            TaskGone: the claim no longer holds.
        """
        self._accept(claim, self._fenced(claim, stage, progress=STAGE_PROGRESS[stage]))

    def report_training(self, claim: Claim, fraction: float, message: str) -> None:
        """Report how far the training has come, 0 to 1.

        Raises:
            TaskGone: the claim no longer holds.
        """
        answer = self._fenced(
            claim,
            Stage.TRAINING_MODEL,
            progress=training_progress(fraction),
            message=message,
            fraction=fraction,
        )
        self._accept(claim, answer)

    def succeed(self, claim: Claim, result: Mapping[str, Any]) -> None:
        """End as SUCCESS.

        Raises:
            TaskGone: the claim no longer holds; what was published must be taken back.
        """
        answer = self._fenced(
            claim, Stage.SUCCESS, progress=100, fields={"result": json.dumps(dict(result))}
        )
        self._accept(claim, answer)

    def fail(self, claim: Claim, error: EnergyForecastingError) -> None:
        """End as FAILED.

        Raises:
            TaskGone: the claim no longer holds.
        """
        answer = self._fenced(
            claim,
            Stage.FAILED,
            progress=None,
            message=error.message,
            fields=_error_fields(error),
        )
        self._accept(claim, answer)

    def requeue(
        self, claim: Claim, *, message: str, delay: timedelta, is_failure: bool = True
    ) -> None:
        """Go back to PENDING for another attempt; the caller then sends the message.

        Args:
            claim: the run that gives up.
            message: why, for the record.
            delay: when the message will be delivered.
            is_failure: whether this uses up one of the task's retries.

        Raises:
            TaskGone: the claim no longer holds.
        """
        due_ms = int(delay.total_seconds() * 1000) + ENQUEUE_GRACE_MS
        counter = "retries" if is_failure else "returns"
        answer = self._run(
            "retry", claim.task_id, claim.attempt, message, due_ms, counter, meter=claim.meter
        )
        self._accept(claim, answer)

    # What the reconciler does --------------------------------------------------------------

    def release_lost(self, task_id: str, *, max_losses: int) -> bool:
        """Take a task from a worker whose lease ran out; True when it waits for a message again.

        The task fails with WORKER_LOST once ``max_losses`` workers have died with it.
        """
        error = WorkerLost(
            f"{max_losses} workers died while they ran this task; it is not tried again. "
            "Look into the workers' log for the reason.",
            losses=max_losses,
        )
        answer = self._run(
            "release_lost",
            task_id,
            max_losses,
            "The worker was lost; queued again",
            0,
            self._retention_ms,
            error.message,
            json.dumps(error.to_details()),
            meter=self.get(task_id).meter,
        )
        return answer[0] == "REQUEUED"

    def forget(self, task_id: str) -> None:
        """Drop the listing entries of a task whose record is gone."""
        with redis_faults_translated(self._url):
            for key in (INDEX, OPEN, LEASES, UNQUEUED):
                self._client.zrem(key, task_id)

    def tasks_without_worker(self) -> list[str]:
        """Return the running tasks whose lease has run out."""
        return self._due(LEASES)

    def tasks_without_message(self) -> list[str]:
        """Return the PENDING tasks whose message was never confirmed to be in the queue."""
        return self._due(UNQUEUED)

    def waiting_tasks(self) -> list[str]:
        """Return the ids of open tasks that no worker has, oldest first."""
        with redis_faults_translated(self._url):
            return cast("list[str]", self._client.zdiff([OPEN, LEASES]))

    def waiting_count(self) -> int:
        """Return how many tasks wait for a worker."""
        with redis_faults_translated(self._url):
            return self._client.zcard(OPEN) - self._client.zcard(LEASES)

    def prune_index(self) -> int:
        """Forget the listing entries of records that have surely expired; return how many."""
        with redis_faults_translated(self._url):
            oldest = self._now_ms() - 2 * self._retention_ms
            return self._client.zremrangebyscore(INDEX, "-inf", oldest)

    # ---------------------------------------------------------------------------------------

    def _due(self, key: str) -> list[str]:
        with redis_faults_translated(self._url):
            due = self._client.zrangebyscore(key, "-inf", self._now_ms(), start=0, num=1000)
            return cast("list[str]", due)

    def _now_ms(self) -> int:
        seconds, microseconds = self._client.time()
        return seconds * 1000 + microseconds // 1000

    def _get_many(self, task_ids: list[str]) -> list[dict[str, str]]:
        pipeline = self._client.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.hgetall(TASK_PREFIX + task_id)
        return cast("list[dict[str, str]]", pipeline.execute())

    def _fenced(
        self,
        claim: Claim,
        stage: Stage,
        *,
        progress: int | None,
        message: str | None = None,
        fraction: float = 0.0,
        fields: Mapping[str, str] | None = None,
    ) -> list[str]:
        return self._advance(
            claim.task_id,
            str(claim.attempt),
            stage,
            message=message or STAGE_MESSAGE[stage],
            progress=progress,
            fraction=fraction,
            fields=fields,
            meter=claim.meter,
        )

    def _advance(
        self,
        task_id: str,
        attempt: str,
        stage: Stage,
        *,
        message: str,
        progress: int | None,
        fraction: float = 0.0,
        fields: Mapping[str, str] | None = None,
        meter: Meter,
    ) -> list[str]:
        return self._run(
            "advance",
            task_id,
            attempt,
            stage,
            ",".join(sorted(ENTERED_FROM[stage])),
            "" if progress is None else progress,
            message,
            fraction,
            self._retention_ms,
            *_flat(fields or {}),
            meter=meter,
        )

    def _accept(self, claim: Claim, answer: list[str]) -> None:
        if answer[0] != "OK":
            raise TaskGone(claim.task_id, answer[0])

    def _run(
        self, operation: str, task_id: str, *arguments: str | float, meter: Meter | None = None
    ) -> list[str]:
        keys = [
            TASK_PREFIX + task_id,
            TASK_EVENTS_PREFIX + task_id,
            INDEX,
            OPEN,
            LEASES,
            UNQUEUED,
            f"{PREFIX}live:{meter.meter_type}:{meter.meter_id}" if meter else f"{PREFIX}live:",
            DURATIONS,
        ]
        head = [operation, EVENT_CHANNEL_PREFIX + task_id, task_id]
        with redis_faults_translated(self._url):
            return cast("list[str]", self._script(keys=keys, args=[*head, *arguments]))


def _error_fields(error: EnergyForecastingError) -> dict[str, str]:
    return {
        "error": error.message,
        "error_details": json.dumps(error.to_details(), default=str),
    }


def _flat(fields: Mapping[str, object]) -> list[str]:
    return [str(part) for pair in fields.items() for part in pair]
