"""Batches in Redis: their counts, their tasks, their end.

Counts are kept by ``task_store.lua`` as tasks end, so a batch of thousands is read in a few round
trips. A batch expires with its records.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

import redis

from energy_forecasting.domain.errors import NotFound
from energy_forecasting.domain.stages import PIPELINE, Stage
from energy_forecasting.tasks.batch_record import BatchCounts, BatchRecord, BatchState
from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import (
    BATCH_OPEN_SUFFIX,
    BATCH_PREFIX,
    BATCH_TASKS_SUFFIX,
    WAITING_PREFIX,
)
from energy_forecasting.tasks.task_store import TASK_ID_LENGTH, TaskStore
from energy_forecasting.tasks.workers import WorkerRegistry

CANCELLED_WITH_BATCH = "Cancelled with its batch"
#: So many tasks of a batch must have ended before its own pace tells more than earlier trainings.
PACE_NEEDS = 5
_CHUNK = 500
_WITH_DURATION = [stage for stage in PIPELINE[1:] if not stage.is_terminal]


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTaskPage:
    """Tasks of a batch in the order in which they were asked for."""

    tasks: list[TaskRecord]
    cursor: int | None  #: pass it on to get the next page; None at the end


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCancellation:
    """What became of the tasks of a batch that was cancelled."""

    cancelled: int
    #: Tasks that another request had asked for before this batch did; they go on.
    left_running: int


class BatchStore:
    """Reads, makes and ends batches; every call raises ``ConnectionFailed`` when Redis is away."""

    def __init__(
        self, client: redis.Redis, tasks: TaskStore, workers: WorkerRegistry, *, url: str
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._workers = workers
        self._url = url

    def create(self, *, meter_type: str | None = None) -> str:
        """Write a batch without tasks and return its id; admission adds the tasks."""
        batch_id = str(uuid4())
        fields = {"created_ms": str(self._tasks.now_ms())}
        if meter_type is not None:
            fields["meter_type"] = meter_type
        with redis_faults_translated(self._url):
            pipeline = self._client.pipeline(transaction=True)
            for name, value in fields.items():
                pipeline.hset(BATCH_PREFIX + batch_id, name, value)
            # Gone by itself should no task follow; the first that does makes it stay.
            pipeline.expire(BATCH_PREFIX + batch_id, timedelta(hours=1))
            pipeline.execute()
        return batch_id

    def get(self, batch_id: str) -> BatchRecord:
        """Return a batch, added up.

        Raises:
            NotFound: there is no such batch, or its retention is over.
        """
        fields, size, open_count = self._read(batch_id)
        running = [
            record
            for record in self._tasks.get_many(self._tasks.running_tasks())
            if record is not None and not record.status.is_terminal
            if self._has(batch_id, record.task_id)
        ]
        ended = {stage: int(fields.get(stage, 0)) for stage in ("SUCCESS", "FAILED", "CANCELLED")}
        ended_count = size - open_count
        done = 100 * ended_count + sum(record.progress for record in running)
        counts = BatchCounts(
            waiting=max(open_count - len(running), 0),
            running=len(running),
            succeeded=ended["SUCCESS"],
            failed=ended["FAILED"],
            cancelled=ended["CANCELLED"],
        )
        state = _state(open_count, has_begun="started_ms" in fields or ended_count > 0)
        remaining_s = self._remaining_s(fields, counts, done / 100, size) if open_count else None
        return BatchRecord(
            batch_id=batch_id,
            meter_type=fields.get("meter_type"),
            status=state,
            progress=round(done / size, 1) if size else 100.0,
            message=_message(state, counts, size),
            tasks=size,
            counts=counts,
            created_at=_moment(fields["created_ms"]),
            started_at=_moment(fields["started_ms"]) if "started_ms" in fields else None,
            ended_at=_moment(fields["ended_ms"])
            if state is BatchState.FINISHED and "ended_ms" in fields
            else None,
            estimated_completion=None
            if remaining_s is None
            else datetime.now(UTC) + timedelta(seconds=remaining_s),
        )

    def tasks_of(
        self, batch_id: str, *, status: Stage | None = None, limit: int = 50, cursor: int = 0
    ) -> BatchTaskPage:
        """Return tasks in their order; those whose record has expired are left out.

        Raises:
            NotFound: there is no such batch.
        """
        _, size, _ = self._read(batch_id)
        tasks: list[TaskRecord] = []
        for start in range(cursor, size, _CHUNK):
            records = self._tasks.get_many(self._members(batch_id, start, start + _CHUNK - 1))
            for position, record in enumerate(records, start + 1):
                if record is not None and status in (None, record.status):
                    tasks.append(record)
                if len(tasks) == limit:
                    return BatchTaskPage(tasks=tasks, cursor=position if position < size else None)
        return BatchTaskPage(tasks=tasks, cursor=None)

    def cancel(self, batch_id: str) -> BatchCancellation:
        """Cancel the batch's own tasks that have not ended; again changes nothing.

        Raises:
            NotFound: there is no such batch.
        """
        self._read(batch_id)
        cancelled = left_running = 0
        for records in self._open_records(batch_id):
            own = [record for record in records if record.batch_id == batch_id]
            cancelled += self._tasks.cancel_many(own, message=CANCELLED_WITH_BATCH)
            left_running += len(records) - len(own)
        return BatchCancellation(cancelled=cancelled, left_running=left_running)

    def _remaining_s(
        self, fields: dict[str, str], counts: BatchCounts, done: float, size: int
    ) -> float | None:
        """Return how long the rest will take; None when that is not known."""
        workers = self._workers.living()
        threads = sum(worker.threads for worker in workers)
        if not threads:
            return None
        trained = counts.succeeded + counts.failed
        if trained >= PACE_NEEDS and "started_ms" in fields:
            elapsed_s = (self._tasks.now_ms() - int(fields["started_ms"])) / 1000
            worked = max(done - counts.cancelled, 1.0)
            return elapsed_s / worked * (size - done)
        durations = self._tasks.stage_durations_s()
        each_s = sum(durations.get(stage, 0.0) for stage in _WITH_DURATION)
        if not durations or not each_s:
            return None
        before = 0 if counts.running or trained else self._waiting_before(fields)
        return each_s * (size - done + before) / threads

    def _waiting_before(self, fields: dict[str, str]) -> int:
        with redis_faults_translated(self._url):
            created_ms = int(fields["created_ms"])
            return self._client.zcount(WAITING_PREFIX + Lane.BATCH, "-inf", f"({created_ms}")

    def _read(self, batch_id: str) -> tuple[dict[str, str], int, int]:
        """Return the hash, the number of tasks and of those that have not ended."""
        key = BATCH_PREFIX + batch_id
        with redis_faults_translated(self._url):
            pipeline = self._client.pipeline(transaction=True)
            pipeline.hgetall(key)
            pipeline.llen(key + BATCH_TASKS_SUFFIX)
            pipeline.scard(key + BATCH_OPEN_SUFFIX)
            fields, size, open_count = pipeline.execute()
        if "created_ms" not in fields:
            raise NotFound(
                "There is no batch with this id; it never existed or its record has expired.",
                batch_id=batch_id[:TASK_ID_LENGTH],
            )
        return fields, size, open_count

    def _has(self, batch_id: str, task_id: str) -> bool:
        with redis_faults_translated(self._url):
            key = BATCH_PREFIX + batch_id + BATCH_OPEN_SUFFIX
            return bool(self._client.sismember(key, task_id))

    def _members(self, batch_id: str, first: int, last: int) -> list[str]:
        with redis_faults_translated(self._url):
            key = BATCH_PREFIX + batch_id + BATCH_TASKS_SUFFIX
            return cast("list[str]", self._client.lrange(key, first, last))

    def _open_records(self, batch_id: str) -> Iterator[list[TaskRecord]]:
        with redis_faults_translated(self._url):
            members = cast(
                "set[str]", self._client.smembers(BATCH_PREFIX + batch_id + BATCH_OPEN_SUFFIX)
            )
        task_ids = sorted(members)
        for first in range(0, len(task_ids), _CHUNK):
            found = self._tasks.get_many(task_ids[first : first + _CHUNK])
            yield [record for record in found if record is not None]


def _state(open_count: int, *, has_begun: bool) -> BatchState:
    if not open_count:
        return BatchState.FINISHED
    return BatchState.RUNNING if has_begun else BatchState.PENDING


def _message(state: BatchState, counts: BatchCounts, size: int) -> str:
    ended = counts.succeeded + counts.failed + counts.cancelled
    told = [f"{counts.succeeded} succeeded"]
    told += [f"{counts.failed} failed"] if counts.failed else []
    told += [f"{counts.cancelled} cancelled"] if counts.cancelled else []
    if state is BatchState.PENDING:
        return f"{size} trainings wait for a worker"
    if state is BatchState.RUNNING:
        return f"{ended} of {size} trainings have ended: {', '.join(told)}"
    return f"All {size} trainings have ended: {', '.join(told)}"


def _moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, tz=UTC)
