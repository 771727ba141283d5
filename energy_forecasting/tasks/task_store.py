"""Task records in Redis: reading them, and every change of one.

One round trip per change. What the keys hold stands in ``task_store.lua``. Long, because whoever
changes a record must see all of its readers and writers at once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import redis

from energy_forecasting.domain.errors import (
    Cancelled,
    Conflict,
    EnergyForecastingError,
    InvalidRequest,
    NotFound,
)
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import (
    ENTERED_FROM,
    STAGE_MESSAGE,
    STAGE_PROGRESS,
    Stage,
    training_progress,
)
from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import (
    DURATIONS,
    INDEX,
    LEASES,
    OPEN,
    TASK_PREFIX,
    WAITING_PREFIX,
    live_key,
)
from energy_forecasting.tasks.task_script import TaskScript, flat
from energy_forecasting.tasks.wish import Wish, wish_of

#: A worker's hold on a task; renewed twice a second while the worker lives. Shorter, and a machine
#: that is overloaded for a moment would lose its tasks.
LEASE_MS = 6_000
#: Of the ids made here; a longer one is not echoed in full.
TASK_ID_LENGTH = 36
#: The most records that one page of a filtered listing looks at.
SCAN_LIMIT = 2_000
#: Calls that one pipeline carries.
PIPELINE_CALLS = 500

_ANYBODY = "*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """The answer to a wish to train."""

    meter: Meter
    task_id: str
    deduplicated: bool  #: the meter already had an open task, which is the one named


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A worker's right to run one attempt of a task."""

    task_id: str
    attempt: int  #: the fencing token that every write of this run carries
    retries: int  #: earlier attempts that failed with a retryable error
    meter: Meter
    wish: Wish
    lane: Lane
    #: Versions that lost attempts may have published without succeeding.
    unfinished_versions: tuple[str, ...] = ()


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
        self._script = TaskScript(client, url=url)

    # What clients do -----------------------------------------------------------------------

    def admit(
        self, meter: Meter, wish: Wish, *, lane: Lane = Lane.SINGLE, batch_id: str = ""
    ) -> Admission:
        """Write a PENDING record, unless the meter already has an open task."""
        return self.admit_many([meter], wish, lane=lane, batch_id=batch_id)[0]

    def admit_many(
        self, meters: Sequence[Meter], wish: Wish, *, lane: Lane, batch_id: str
    ) -> list[Admission]:
        """Admit each meter as ``admit`` does, in few round trips; an empty batch id is none.

        Should the process die midway, the tasks written so far are whole and will run.
        """
        answers: list[list[str]] = []
        for first in range(0, len(meters), PIPELINE_CALLS):
            pipeline = self._client.pipeline(transaction=False)
            for meter in meters[first : first + PIPELINE_CALLS]:
                fields = flat(_new_fields(meter, wish, batch_id))
                self._script.add_to(
                    pipeline,
                    "admit",
                    str(uuid4()),
                    TASK_PREFIX,
                    lane,
                    batch_id,
                    *fields,
                    meter=meter,
                )
            with redis_faults_translated(self._url):
                answers += pipeline.execute()
        return [
            Admission(meter=meter, task_id=answer[1], deduplicated=answer[0] == "EXISTING")
            for meter, answer in zip(meters, answers, strict=True)
        ]

    def get(self, task_id: str) -> TaskRecord:
        """Return one record.

        Raises:
            NotFound: there is none, or its retention is over.
        """
        with redis_faults_translated(self._url):
            fields = cast("dict[str, str]", self._client.hgetall(TASK_PREFIX + task_id))
        return record_of(task_id, fields)

    def has_open_task(self, meter: Meter) -> bool:
        """Tell whether ``admit`` would return a task that is there already."""
        with redis_faults_translated(self._url):
            return bool(self._client.exists(live_key(meter)))

    def find(
        self,
        *,
        status: Stage | None = None,
        meter_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> TaskPage:
        """Return records newest first; a filtered page may hold fewer than ``limit``.

        Raises:
            InvalidRequest: the cursor names no task that is known.
        """
        rank = self._rank_after(cursor) if cursor else 0
        tasks: list[TaskRecord] = []
        for start in range(rank, rank + SCAN_LIMIT, limit):
            with redis_faults_translated(self._url):
                task_ids = cast(
                    "list[str]", self._client.zrevrange(INDEX, start, start + limit - 1)
                )
            for task_id, record in zip(task_ids, self.get_many(task_ids), strict=True):
                cursor = task_id
                if record is None:  # it has expired
                    continue
                if status not in (None, record.status) or meter_id not in (None, record.meter_id):
                    continue
                tasks.append(record)
                if len(tasks) == limit:
                    return TaskPage(tasks=tasks, cursor=cursor)
            if len(task_ids) < limit:
                return TaskPage(tasks=tasks, cursor=None)
        return TaskPage(tasks=tasks, cursor=cursor)

    def get_many(self, task_ids: list[str]) -> list[TaskRecord | None]:
        """Return records in the order asked for; None where there is none any more."""
        pipeline = self._client.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.hgetall(TASK_PREFIX + task_id)
        with redis_faults_translated(self._url):
            hashes = cast("list[dict[str, str]]", pipeline.execute())
        return [
            TaskRecord.from_hash(task_id, fields) if fields else None
            for task_id, fields in zip(task_ids, hashes, strict=True)
        ]

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

    def cancel_open_tasks(self, meters: Sequence[Meter], *, message: str) -> None:
        """End the open tasks of the meters, where they have one, as CANCELLED."""
        pipeline = self._client.pipeline(transaction=False)
        for meter in meters:
            pipeline.get(live_key(meter))
        with redis_faults_translated(self._url):
            task_ids = [task_id for task_id in pipeline.execute() if task_id]
        records = [record for record in self.get_many(task_ids) if record is not None]
        self.cancel_many(records, message=message)

    def cancel_many(self, records: list[TaskRecord], *, message: str) -> int:
        """End tasks as CANCELLED, few round trips for many; return how many had not ended yet."""
        pipeline = self._client.pipeline(transaction=False)
        for record in records:
            self._script.add_to(
                pipeline,
                "advance",
                record.task_id,
                _ANYBODY,
                *self._advance_arguments(
                    Stage.CANCELLED, message=message, fields=_error_fields(Cancelled(message))
                ),
                meter=record.meter,
            )
        with redis_faults_translated(self._url):
            answers = pipeline.execute() if records else []
        return sum(answer[0] == "OK" for answer in answers)

    # What a worker does --------------------------------------------------------------------

    def claim(self, task_id: str, *, worker: str) -> Claim | None:
        """Take a PENDING task; None when it has ended, is unknown or is somebody's already.

        Of several messages for one task only one gets a claim, so a double delivery is harmless.
        """
        answer = self._script.run("claim", task_id, worker, LEASE_MS, STAGE_MESSAGE[Stage.STARTED])
        if answer[0] != "CLAIMED":
            return None
        _, attempt, retries, meter_id, meter_type, options, versions, lane = answer
        return Claim(
            task_id=task_id,
            attempt=int(attempt),
            retries=int(retries),
            meter=Meter(meter_type=meter_type, meter_id=meter_id),
            wish=wish_of(json.loads(options)),
            lane=Lane(lane),
            unfinished_versions=versions_in(versions),
        )

    def renew(self, claim: Claim) -> None:
        """Keep the claim alive for another lease.

        Raises:
            TaskGone: the task was cancelled or given to another worker.
        """
        self._accept(claim, self._script.run("renew", claim.task_id, claim.attempt, LEASE_MS))

    def enter(self, claim: Claim, stage: Stage, *, version: str | None = None) -> None:
        """Move to the next stage.

        Args:
            claim: the run.
            stage: the stage to enter.
            version: of the model that is about to be published, so that it can be taken back
                should this worker be lost before the task succeeds.

        Raises:
            TaskGone: the claim no longer holds.
        """
        versions = [*claim.unfinished_versions, version] if version else []
        fields = {"versions": ",".join(versions)} if versions else {}
        answer = self._fenced(claim, stage, progress=STAGE_PROGRESS[stage], fields=fields)
        self._accept(claim, answer)

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
        due_ms = int(delay.total_seconds() * 1000)
        counter = "retries" if is_failure else "returns"
        answer = self._script.run(
            "retry", claim.task_id, claim.attempt, message, due_ms, counter, meter=claim.meter
        )
        self._accept(claim, answer)

    # What everybody asks --------------------------------------------------------------------

    def running_tasks(self) -> list[str]:
        """Return the tasks that workers have."""
        with redis_faults_translated(self._url):
            return cast("list[str]", self._client.zrange(LEASES, 0, -1))

    def waiting_count(self, lane: Lane | None = None) -> int:
        """Return how many tasks wait for a worker, in one lane or in all."""
        with redis_faults_translated(self._url):
            if lane is not None:
                return self._client.zcard(WAITING_PREFIX + lane)
            return self._client.zcard(OPEN) - self._client.zcard(LEASES)

    def stage_durations_s(self) -> dict[str, float]:
        """Return how long each stage took on average, of those that recent tasks have passed."""
        with redis_faults_translated(self._url):
            means = cast("dict[str, str]", self._client.hgetall(DURATIONS))
        return {stage: float(mean) / 1000 for stage, mean in means.items()}

    # ---------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the time by Redis's clock, which all records are stamped with."""
        with redis_faults_translated(self._url):
            seconds, microseconds = self._client.time()
        return seconds * 1000 + microseconds // 1000

    def _rank_after(self, cursor: str) -> int:
        with redis_faults_translated(self._url):
            rank = cast("int | None", self._client.zrevrank(INDEX, cursor))
        if rank is None:
            raise InvalidRequest(
                "cursor names no task that is still known; start again without it.", field="cursor"
            )
        return rank + 1

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
        arguments = self._advance_arguments(
            stage, message=message, progress=progress, fraction=fraction, fields=fields
        )
        return self._script.run("advance", task_id, attempt, *arguments, meter=meter)

    def _advance_arguments(
        self,
        stage: Stage,
        *,
        message: str,
        progress: int | None = None,
        fraction: float = 0.0,
        fields: Mapping[str, str] | None = None,
    ) -> list[str | float]:
        return [
            stage,
            ",".join(sorted(ENTERED_FROM[stage])),
            "" if progress is None else progress,
            message,
            fraction,
            self._retention_ms,
            *flat(fields or {}),
        ]

    def _accept(self, claim: Claim, answer: list[str]) -> None:
        if answer[0] != "OK":
            raise TaskGone(claim.task_id, answer[0])


def _error_fields(error: EnergyForecastingError) -> dict[str, str]:
    return {
        "error": error.message,
        "error_details": json.dumps(error.to_details(), default=str),
    }


def _new_fields(meter: Meter, wish: Wish, batch_id: str) -> dict[str, object]:
    fields: dict[str, object] = {
        "meter_id": meter.meter_id,
        "meter_type": meter.meter_type,
        "status": Stage.PENDING,
        "progress": 0,
        "message": STAGE_MESSAGE[Stage.PENDING],
        "attempt": 1,
        "options": json.dumps(wish.options()),
    }
    if batch_id:
        fields["batch_id"] = batch_id
    if wish.replay_of:
        fields["replay_of"] = wish.replay_of
    return fields


def versions_in(text: str) -> tuple[str, ...]:
    """Return the versions that a record's field lists."""
    return tuple(text.split(",")) if text else ()
