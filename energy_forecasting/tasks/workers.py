"""The registry of living workers, and the heart that keeps a worker in it.

Dramatiq's own heartbeats also list processes that only send messages, so they cannot answer
"does a worker live?". Here every worker process writes one entry a second that dies by itself.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import psutil
import redis
import structlog
from pydantic import BaseModel, ConfigDict, Field

from energy_forecasting.domain.errors import DeadlineExceeded, EnergyForecastingError
from energy_forecasting.tasks.process_memory import private_memory_mb
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import PREFIX
from energy_forecasting.tasks.task_store import Claim, TaskGone, TaskStore

WORKERS = f"{PREFIX}workers"
WORKER_PREFIX = f"{PREFIX}worker:"
ENTRY_TTL_MS = 15_000
BEAT_S = 1.0
#: How often leases are renewed, and so how soon a cancellation is noticed.
LOOK_S = 0.5
#: Beyond its deadline: a thread that is not stuck ends its attempt itself.
STUCK_AFTER_S = 2.0

logger = structlog.get_logger("task.worker")


class WorkerInfo(BaseModel):
    """What a worker process says of itself."""

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    version: str
    draining: bool = Field(default=False, description="Whether it takes no more tasks")
    task: str | None = Field(description="Tasks being worked on, by id; None when idle")
    uptime_s: float
    rss_mb: float = Field(description="Resident memory of the worker, without its trainers")
    threads: int = Field(1, description="Trainings that it runs at once")
    trainers: int = Field(description="Trainer processes that are ready or at work")
    trainers_rss_mb: float = Field(description="Private memory of its trainer processes")


class WorkerRegistry:
    """Lists living workers; one round trip to beat, two to list."""

    def __init__(self, client: redis.Redis, *, url: str) -> None:
        self._client = client
        self._url = url

    def beat(self, worker: str, info: WorkerInfo) -> None:
        """Write or renew a worker's entry."""
        with redis_faults_translated(self._url):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(WORKER_PREFIX + worker, info.model_dump_json(), px=ENTRY_TTL_MS)
            pipeline.zadd(WORKERS, {worker: time.time()})
            pipeline.execute()

    def leave(self, worker: str) -> None:
        """Remove a worker that stops in good order."""
        with redis_faults_translated(self._url):
            self._client.delete(WORKER_PREFIX + worker)
            self._client.zrem(WORKERS, worker)

    def living(self) -> list[WorkerInfo]:
        """Return the workers whose entry has not expired, by host and process id."""
        with redis_faults_translated(self._url):
            names = cast("list[str]", self._client.zrange(WORKERS, 0, -1))
            if not names:
                return []
            entries = cast(
                "list[str | None]", self._client.mget([WORKER_PREFIX + name for name in names])
            )
            dead = [name for name, entry in zip(names, entries, strict=True) if entry is None]
            if dead:
                self._client.zrem(WORKERS, *dead)
        workers = [WorkerInfo.model_validate_json(entry) for entry in entries if entry]
        return sorted(workers, key=lambda worker: (worker.host, worker.pid))


class RunningTask:
    """One claimed task, watched by the heart while a thread works on it."""

    def __init__(
        self,
        claim: Claim,
        *,
        deadline_s: float,
        on_overdue: Callable[[Claim, DeadlineExceeded], None],
    ) -> None:
        self.claim = claim
        self._deadline_s = deadline_s
        self._overdue_at = time.monotonic() + deadline_s
        self._on_overdue = on_overdue
        self._gone_because: str | None = None

    def mark_gone(self, reason: str) -> None:
        """Note that the claim no longer holds."""
        self._gone_because = reason

    def raise_if_gone(self) -> None:
        """Stop the thread that works on the task.

        Raises:
            TaskGone: the claim no longer holds.
            DeadlineExceeded: the attempt has taken its time.
        """
        if self._gone_because is not None:
            raise TaskGone(self.claim.task_id, self._gone_because)
        if time.monotonic() > self._overdue_at:
            raise self._overdue()

    def end_if_overdue(self) -> None:
        """End the attempt from outside when its thread is stuck where it cannot look."""
        if self._gone_because is None and time.monotonic() > self._overdue_at + STUCK_AFTER_S:
            self._on_overdue(self.claim, self._overdue())

    def _overdue(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"Training {self.claim.meter} took longer than {self._deadline_s:g} s and was "
            "stopped; raise deadline_s or TRAINING_DEADLINE_S, or lower max_trials.",
            deadline_s=self._deadline_s,
        )


class WorkerHeart:
    """A thread that renews the leases twice a second and the worker's entry once.

    It is also how a cancellation reaches the thread that works on the task.
    """

    def __init__(
        self,
        registry: WorkerRegistry,
        store: TaskStore,
        *,
        version: str,
        threads: int,
        trainer_pids: Callable[[], list[int]],
        is_draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self.worker = f"{socket.gethostname()}:{os.getpid()}"
        self._registry = registry
        self._store = store
        self._version = version
        self._threads = threads
        self._trainer_pids = trainer_pids
        self._is_draining = is_draining
        self.has_registered = False  #: whether Redis has ever noted this worker
        self._process = psutil.Process()
        self._running: dict[str, RunningTask] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, daemon=True, name="heart")

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more and leave the registry."""
        self._stop.set()
        self._thread.join(timeout=2 * BEAT_S)
        with contextlib.suppress(EnergyForecastingError):  # Redis away: the entry expires by itself
            self._registry.leave(self.worker)

    def claims(self) -> list[Claim]:
        """Return the claims that threads of this process hold."""
        return [running.claim for running in list(self._running.values())]

    @contextlib.contextmanager
    def watching(
        self,
        claim: Claim,
        *,
        deadline_s: float,
        on_overdue: Callable[[Claim, DeadlineExceeded], None],
    ) -> Iterator[RunningTask]:
        """Keep the claim's lease alive while the block runs, up to its deadline.

        Args:
            claim: the run.
            deadline_s: how long the attempt may take from now on.
            on_overdue: ends the attempt when its thread is stuck; called by the heart.
        """
        running = RunningTask(claim, deadline_s=deadline_s, on_overdue=on_overdue)
        self._running[claim.task_id] = running
        try:
            yield running
        finally:
            del self._running[claim.task_id]

    def _beat_until_stopped(self) -> None:
        is_away = False
        beat_at = time.monotonic()
        while not self._stop.wait(LOOK_S):
            try:
                self._renew_leases()
                if time.monotonic() >= beat_at:
                    beat_at = time.monotonic() + BEAT_S
                    self._registry.beat(self.worker, self._describe())
                    self.has_registered = True
            except EnergyForecastingError as error:
                if not is_away:  # said once; the next line about it tells that it is back
                    logger.warning("Redis is away; the worker waits for it", error=error.message)
                is_away = True
            else:
                if is_away:
                    logger.info("Redis is back")
                is_away = False

    def _renew_leases(self) -> None:
        for running in list(self._running.values()):
            try:
                running.end_if_overdue()
                self._store.renew(running.claim)
            except TaskGone as gone:
                running.mark_gone(gone.reason)

    def _describe(self) -> WorkerInfo:
        pids = self._trainer_pids()
        return WorkerInfo(
            host=socket.gethostname(),
            pid=self._process.pid,
            version=self._version,
            draining=self._is_draining(),
            task=", ".join(self._running) or None,
            uptime_s=round(time.time() - self._process.create_time(), 1),
            rss_mb=round(self._process.memory_info().rss / 2**20, 1),
            threads=self._threads,
            trainers=len(pids),
            trainers_rss_mb=round(sum(map(private_memory_mb, pids)), 1),
        )
