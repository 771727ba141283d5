"""Tasks that a dead process or a lost message has left, as the reconciler finds and mends them.

Every call may be made by several processes at once. What to do about a task is the reconciler's
to decide; this knows where Redis keeps such tasks and how long one must look lost.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import redis

from energy_forecasting.domain.errors import WorkerLost
from energy_forecasting.domain.meters import Meter
from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import (
    DEAD,
    INDEX,
    LEASES,
    NEWEST_CLAIMED,
    OPEN,
    TASK_PREFIX,
    WAITING_PREFIX,
    WITHDRAWALS,
)
from energy_forecasting.tasks.task_script import TaskScript
from energy_forecasting.tasks.task_store import LEASE_MS, TaskStore, no_such_task, versions_in

#: A task that should have been taken so long ago may have lost its message.
OVERDUE_MS = 5_000
#: Tasks that one look returns at most.
LOST_AT_ONCE = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Released:
    """What became of a task that was taken from a lost worker."""

    is_requeued: bool  #: it waits for another attempt; False: it has failed with WORKER_LOST
    meter: Meter
    lane: Lane
    unfinished_versions: tuple[str, ...]  #: as in a claim


class LostTasks:
    """Finds and mends; every call raises ``ConnectionFailed`` when Redis cannot be reached."""

    def __init__(
        self, client: redis.Redis, tasks: TaskStore, *, url: str, retention: timedelta
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._url = url
        self._retention_ms = int(retention.total_seconds() * 1000)
        self._script = TaskScript(client, url=url)

    def release_lost(self, task_id: str, *, max_losses: int) -> Released | None:
        """Take a task from a worker whose lease ran out; None when there is nothing to take.

        The task fails with WORKER_LOST once ``max_losses`` workers have died with it.

        Raises:
            NotFound: the record is gone.
        """
        error = WorkerLost(
            f"{max_losses} workers died while they ran this task; it is not tried again. "
            "Look into the workers' log for the reason.",
            losses=max_losses,
        )
        record = self._tasks.get(task_id)
        answer = self._script.run(
            "release_lost",
            task_id,
            max_losses,
            "The worker was lost; queued again",
            0,
            self._retention_ms,
            error.message,
            json.dumps(error.to_details()),
            meter=record.meter,
        )
        if answer[0] not in ("REQUEUED", "FAILED") or len(answer) == 1:
            return None
        return Released(
            is_requeued=answer[0] == "REQUEUED",
            meter=record.meter,
            lane=record.lane,
            unfinished_versions=versions_in(answer[1]),
        )

    def forget(self, task_id: str) -> None:
        """Drop the listing entries of a task whose record is gone."""
        with redis_faults_translated(self._url):
            for key in (
                INDEX,
                OPEN,
                LEASES,
                WITHDRAWALS,
                *(WAITING_PREFIX + lane for lane in Lane),
            ):
                self._client.zrem(key, task_id)

    def tasks_without_worker(self) -> list[str]:
        """Return the running tasks whose lease has run out."""
        return self._until(LEASES, self._tasks.now_ms())

    def overdue_tasks(self, lane: Lane, *, is_queue_empty: bool) -> list[str]:
        """Return the waiting tasks of a lane whose message must be lost.

        A message is lost when it was due seconds ago and either the queue holds no more, or
        tasks that were due seconds later have been taken. One that a busy worker has fetched
        and holds may be among them; a second message for it does no harm.
        """
        until = self._tasks.now_ms() - OVERDUE_MS
        if not is_queue_empty:
            with redis_faults_translated(self._url):
                newest = cast("str | None", self._client.hget(NEWEST_CLAIMED, lane))
            until = min(until, int(newest or 0) - OVERDUE_MS)
        return self._until(WAITING_PREFIX + lane, until)

    def ended_while_publishing(self) -> list[tuple[str, Meter, tuple[str, ...]]]:
        """Return tasks that ended without success while a model of theirs was on its way.

        Their workers take the model back themselves, unless they died at that moment; so long
        after the end that such a worker would be known to be lost.
        """
        task_ids = self._until(WITHDRAWALS, self._tasks.now_ms() - LEASE_MS)
        found = []
        for task_id in task_ids:
            with redis_faults_translated(self._url):
                fields = self._client.hmget(
                    TASK_PREFIX + task_id, "meter_type", "meter_id", "versions"
                )
            meter_type, meter_id, versions = cast("list[str | None]", fields)
            if meter_type and meter_id:
                meter = Meter(meter_type=meter_type, meter_id=meter_id)
                found.append((task_id, meter, versions_in(versions or "")))
        return found

    def note_withdrawn(self, task_id: str) -> None:
        """Note that nothing of the task is left to take back."""
        with redis_faults_translated(self._url):
            self._client.zrem(WITHDRAWALS, task_id)

    def note_resent(self, task_id: str) -> None:
        """Note that a waiting task is given another message.

        Raises:
            NotFound: the record is gone.
        """
        if self._script.run("resent", task_id)[0] == "UNKNOWN":
            raise no_such_task(task_id)

    def strays(self) -> list[str]:
        """Return open tasks that are neither waiting nor leased, as earlier releases left them."""
        waiting = [WAITING_PREFIX + lane for lane in Lane]
        with redis_faults_translated(self._url):
            return cast("list[str]", self._client.zdiff([OPEN, LEASES, *waiting]))

    def adopt(self, task_id: str) -> None:
        """Enter a stray task where the reconciler looks."""
        self._script.run("adopt", task_id)

    def prune_index(self) -> None:
        """Forget the listing entries of records that have surely expired."""
        expired = self._tasks.now_ms() - self._retention_ms
        with redis_faults_translated(self._url):
            # A record lives on after its end, which may be long after its creation.
            self._client.zremrangebyscore(INDEX, "-inf", expired - self._retention_ms)
            self._client.zremrangebyscore(DEAD, "-inf", expired)

    def _until(self, key: str, moment_ms: int) -> list[str]:
        with redis_faults_translated(self._url):
            due = self._client.zrangebyscore(key, "-inf", moment_ms, start=0, num=LOST_AT_ONCE)
            return cast("list[str]", due)
