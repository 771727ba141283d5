"""The reconciler mends what a dead process left behind.

It looks for open tasks that nobody will ever run: their worker died, or their message was never
sent or is lost. Every action is idempotent, so it does no harm that two workers reconcile at
once; a lock only saves the work. It cannot mend a Redis that has lost its data.
"""

import threading

import redis
import structlog

from energy_forecasting.domain.errors import EnergyForecastingError, NotFound
from energy_forecasting.tasks.queue import TrainingQueue
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_store import PREFIX, TaskStore

LOCK = f"{PREFIX}reconciler"
INTERVAL_S = 2.0
LOCK_MS = 1_500

logger = structlog.get_logger("task.reconciler")


class Reconciler:
    """Runs in every worker process; one at a time does the work."""

    def __init__(
        self,
        client: redis.Redis,
        store: TaskStore,
        queue: TrainingQueue,
        *,
        url: str,
        max_losses: int,
    ) -> None:
        self._client = client
        self._store = store
        self._queue = queue
        self._url = url
        self._max_losses = max_losses
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="reconciler")

    def start(self) -> None:
        """Begin to reconcile every two seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Reconcile no more."""
        self._stop.set()
        self._thread.join(timeout=INTERVAL_S)

    def reconcile(self) -> int:
        """Mend once; return how many tasks were put back into the queue."""
        lost = [task_id for task_id in self._store.tasks_without_worker() if self._release(task_id)]
        for task_id in lost:
            logger.warning("Task taken from a lost worker", task_id=task_id)
        unsent = set(self._store.tasks_without_message())
        if self._queue.is_empty():
            # Nothing in the queue and nobody at work: what still waits has lost its message.
            unsent.update(self._store.waiting_tasks())
        resent = {*lost, *unsent}
        for task_id in resent:
            self._queue.send(task_id)
        for task_id in resent.difference(lost):
            logger.warning("Message of a waiting task sent again", task_id=task_id)
        return len(resent)

    def _release(self, task_id: str) -> bool:
        try:
            return self._store.release_lost(task_id, max_losses=self._max_losses)
        except NotFound:
            self._store.forget(task_id)
            return False

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            try:
                with redis_faults_translated(self._url):
                    is_mine = self._client.set(LOCK, "1", nx=True, px=LOCK_MS)
                if is_mine:
                    self.reconcile()
                    self._store.prune_index()
            except EnergyForecastingError as error:
                logger.debug("Could not reconcile", error=error.message)  # the heart reports it
