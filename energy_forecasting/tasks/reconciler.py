"""The reconciler mends what a dead process or a lost answer left behind.

It looks for open tasks that nobody will ever run: their worker died, or their message was never
sent or is lost. Every action is idempotent, so it does no harm that two workers reconcile at
once; a lock only saves the work. What it did is logged and counted for ``/health/worker``.
Messages that are leased to this process and that it does not have are returned without the lock,
as only the process itself knows them. It cannot mend a Redis that has lost its data.
"""

import threading
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import cast

import redis
import structlog

from energy_forecasting.domain.errors import EnergyForecastingError, NotFound
from energy_forecasting.domain.meters import Meter
from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.leasing_broker import LeasingBroker
from energy_forecasting.tasks.lost_tasks import LostTasks
from energy_forecasting.tasks.queue import TrainingQueue
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import PREFIX, RECONCILED

LOCK = f"{PREFIX}reconciler"
INTERVAL_S = 1.0
LOCK_MS = 800
#: A pass under way is waited for so long when the worker stops.
STOP_LIMIT_S = 2.0
#: Every so many passes the reconciler looks for tasks that an earlier release has left.
PASSES_PER_ADOPTION = 60

logger = structlog.get_logger("task.reconciler")


class Mending(StrEnum):
    """What the reconciler does; counted under these names."""

    TAKEN_FROM_LOST_WORKER = "taken_from_lost_worker"  #: queued for another attempt
    GIVEN_UP = "given_up"  #: WORKER_LOST: its workers died too often
    MESSAGE_SENT_AGAIN = "message_sent_again"
    MESSAGE_RETURNED = "message_returned"  #: leased to a live worker that did not have it
    RECORD_VANISHED = "record_vanished"  #: its entries are dropped
    STRAY_ADOPTED = "stray_adopted"  #: an open task that was in no list
    MODEL_WITHDRAWN = "model_withdrawn"  #: published by an attempt that was lost before its end


class Reconciler:
    """Runs in every worker process; one at a time does the work.

    Args:
        client: of the lock and the counts.
        lost: the tasks to mend.
        queue: where messages are sent again.
        broker: whose messages this process returns.
        withdraw: takes back a version that a lost attempt may have published; says whether
            there was one.
        url: of Redis, for messages.
        max_losses: workers that may die with one task.
    """

    def __init__(
        self,
        client: redis.Redis,
        lost: LostTasks,
        queue: TrainingQueue,
        broker: LeasingBroker,
        withdraw: Callable[[Meter, str], bool],
        *,
        url: str,
        max_losses: int,
    ) -> None:
        self._client = client
        self._lost = lost
        self._queue = queue
        self._broker = broker
        self._withdraw = withdraw
        self._url = url
        self._max_losses = max_losses
        self._passes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="reconciler")

    def start(self) -> None:
        """Begin to reconcile every second."""
        self._thread.start()

    def stop(self) -> None:
        """Reconcile no more."""
        self._stop.set()
        self._thread.join(timeout=STOP_LIMIT_S)

    def reconcile(self) -> "Counter[Mending]":
        """Mend once; return what was done."""
        done: Counter[Mending] = Counter()
        for task_id in self._lost.tasks_without_worker():
            self._release(task_id, done)
        for lane in Lane:
            self._send_lost_messages(lane, done)
        for task_id, meter, versions in self._lost.ended_while_publishing():
            self._withdraw_all(task_id, meter, versions, done)
            self._lost.note_withdrawn(task_id)
        if self._passes % PASSES_PER_ADOPTION == 0:
            for task_id in self._lost.strays():
                self._lost.adopt(task_id)
                done[Mending.STRAY_ADOPTED] += 1
            self._lost.prune_index()
        self._passes += 1
        self._count(done)
        return done

    def return_strays(self) -> int:
        """Return the messages that are leased to this process and that it does not have."""
        with redis_faults_translated(self._url):
            returned = self._broker.return_strays()
        if returned:
            logger.warning("Messages without a holder returned to the queue", messages=returned)
            self._count(Counter({Mending.MESSAGE_RETURNED: returned}))
        return returned

    def _release(self, task_id: str, done: "Counter[Mending]") -> None:
        try:
            released = self._lost.release_lost(task_id, max_losses=self._max_losses)
        except NotFound:
            self._forget(task_id, done)
            return
        if released is None:
            return
        self._withdraw_all(task_id, released.meter, released.unfinished_versions, done)
        if released.is_requeued:
            self._queue.send(task_id, released.lane)
            done[Mending.TAKEN_FROM_LOST_WORKER] += 1
            logger.warning("Task taken from a lost worker", task_id=task_id)
        else:
            done[Mending.GIVEN_UP] += 1
            logger.error("Task given up: its workers died too often", task_id=task_id)

    def _withdraw_all(
        self, task_id: str, meter: Meter, versions: tuple[str, ...], done: "Counter[Mending]"
    ) -> None:
        for version in versions:
            if self._withdraw(meter, version):
                done[Mending.MODEL_WITHDRAWN] += 1
                logger.warning("Model of an unfinished training withdrawn", task_id=task_id)

    def _send_lost_messages(self, lane: Lane, done: "Counter[Mending]") -> None:
        overdue = self._lost.overdue_tasks(lane, is_queue_empty=self._queue.is_empty(lane))
        for task_id in overdue:
            try:
                self._lost.note_resent(task_id)
            except NotFound:
                self._forget(task_id, done)
                continue
            self._queue.send(task_id, lane)
            done[Mending.MESSAGE_SENT_AGAIN] += 1
            logger.warning("Message of a waiting task sent again", task_id=task_id, lane=lane)

    def _forget(self, task_id: str, done: "Counter[Mending]") -> None:
        self._lost.forget(task_id)
        done[Mending.RECORD_VANISHED] += 1

    def _count(self, done: "Counter[Mending]") -> None:
        if not done:
            return
        with redis_faults_translated(self._url):
            pipeline = self._client.pipeline(transaction=False)
            for mending, times in done.items():
                pipeline.hincrby(RECONCILED, mending, times)
            pipeline.execute()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            try:
                self.return_strays()
                with redis_faults_translated(self._url):
                    is_mine = self._client.set(LOCK, "1", nx=True, px=LOCK_MS)
                if is_mine:
                    self.reconcile()
            except EnergyForecastingError as error:
                logger.debug("Could not reconcile", error=error.message)  # the heart reports it


def mendings(client: redis.Redis, *, url: str) -> dict[str, int]:
    """Return how often the reconciler has mended what, since Redis has had its data.

    Raises:
        ConnectionFailed: Redis is away.
    """
    with redis_faults_translated(url):
        counts = cast("dict[str, str]", client.hgetall(RECONCILED))
    return {mending: int(counts.get(mending, 0)) for mending in Mending}
