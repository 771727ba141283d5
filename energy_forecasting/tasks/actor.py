"""The Dramatiq actor that trains, and the middleware that gives it its collaborators.

The middleware hooks into Dramatiq's worker, so ``python dramatiq_worker.py`` and Dramatiq's own
command line start the same thing.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

import dramatiq
import structlog
from dramatiq.middleware import Middleware

from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.pipeline import TrainingPipeline

#: How often an idle worker asks for messages: POST to STARTED takes 40 ms instead of 300.
POLL_MS = 100

logger = structlog.get_logger("task.worker")


class TrainingRuntime(Protocol):
    """What lives as long as a worker process."""

    pipeline: TrainingPipeline

    def start(self) -> None:
        """Start the threads and trainers."""
        ...

    def close(self) -> None:
        """Stop them."""
        ...


class TrainingMiddleware(Middleware):
    """Builds the runtime when a worker boots and takes it down when the worker stops."""

    def __init__(
        self,
        build_runtime: Callable[[int, Callable[[], bool]], TrainingRuntime],
        *,
        grace_s: float,
    ) -> None:
        self._build_runtime = build_runtime
        self._grace_s = grace_s
        self._runtime: TrainingRuntime | None = None
        self._stop_at: float | None = None
        self._lock = threading.Lock()

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Start the runtime with as many trainers as the worker has threads."""
        del broker
        threads = worker.worker_threads
        # Each lane has so many messages here at most, running or about to, and there is one thread
        # more: no message waits in a busy worker while another idles, and however many trainings
        # of batches run, one thread is free for a single request.
        worker.queue_prefetch = threads
        worker.worker_threads = threads + 1
        worker.worker_timeout = POLL_MS
        with self._lock:
            self._runtime = self._build_runtime(threads, self._must_stop)
            self._runtime.start()
        logger.info("Worker ready", threads=threads)

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Let running trainings finish for a while; then they go back to the queue."""
        del broker, worker
        self._stop_at = time.monotonic() + self._grace_s
        logger.info("Worker stopping", grace_s=self._grace_s)

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Take the runtime down; every thread has returned."""
        del broker, worker
        if self._runtime is not None:
            self._runtime.close()
        logger.info("Worker stopped")

    def run(self, task_id: str) -> None:
        """Run one task in the calling worker thread."""
        if self._runtime is None:
            raise RuntimeError("A training actor runs inside a Dramatiq worker only.")
        self._runtime.pipeline.run(task_id)

    def _must_stop(self) -> bool:
        return self._stop_at is not None and time.monotonic() > self._stop_at


def declare_train_model(
    broker: dramatiq.Broker, middleware: TrainingMiddleware, lane: Lane = Lane.SINGLE
) -> dramatiq.Actor[[str], None]:
    """Declare the actor of a lane on a broker that carries the middleware."""

    def train_model(task_id: str) -> None:
        """Train the meter that a task record names."""
        middleware.run(task_id)

    declare = dramatiq.actor(
        actor_name=lane.actor_name,
        queue_name=lane.queue_name,
        priority=lane.priority,
        broker=broker,
    )
    return declare(train_model)
