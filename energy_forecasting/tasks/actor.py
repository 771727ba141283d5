"""The Dramatiq actor that trains, and the middleware that gives it its collaborators.

The middleware hooks into Dramatiq's worker, so ``python dramatiq_worker.py`` and Dramatiq's own
command line start the same thing.
"""

import threading
from collections.abc import Callable
from typing import Protocol

import dramatiq
import structlog
from dramatiq.middleware import Middleware, SkipMessage

from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.pipeline import TrainingPipeline
from energy_forecasting.tasks.stop_order import StopOrder

#: How often an idle worker asks for messages: POST to STARTED takes 40 ms instead of 300.
POLL_MS = 100

logger = structlog.get_logger("task.worker")


class TrainingRuntime(Protocol):
    """What lives as long as a worker process."""

    pipeline: TrainingPipeline

    def start(self) -> None:
        """Start the threads and trainers."""
        ...

    def is_ready(self) -> bool:
        """Whether the process is registered and its trainers are warm."""
        ...

    def close(self) -> None:
        """Stop them."""
        ...


class TrainingMiddleware(Middleware):
    """Builds the runtime when a worker boots and takes it down when the worker stops."""

    def __init__(
        self,
        build_runtime: Callable[[int, StopOrder], TrainingRuntime],
        *,
        grace_s: float,
        drain_limit_s: float,
    ) -> None:
        self._build_runtime = build_runtime
        self.grace_s = grace_s  #: what running trainings get when the worker stops
        self.drain_limit_s = drain_limit_s  #: ... when it is drained
        self.stop_order = StopOrder()
        self._runtime: TrainingRuntime | None = None
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
            self._runtime = self._build_runtime(threads, self.stop_order)
            self._runtime.start()
        logger.info("Worker ready", threads=threads)

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Let running trainings finish for a while; then they go back to the queue."""
        del broker, worker
        if not self.stop_order.is_given:  # Dramatiq's own command line gives none
            self.stop_order.give(within_s=self.grace_s)

    def before_process_message(
        self, broker: dramatiq.Broker, message: dramatiq.MessageProxy
    ) -> None:
        """Return a message that a thread takes after the order to stop.

        Raises:
            SkipMessage: it stands in the queue again.
        """
        if self.stop_order.is_given:
            broker.enqueue(message.copy())
            raise SkipMessage("The worker stops.")

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

    def is_ready(self) -> bool:
        """Whether the process is registered and its trainers are warm."""
        return self._runtime is not None and self._runtime.is_ready()

    def give_back_running(self) -> None:
        """Return to the queue the tasks of threads that hang."""
        if self._runtime is not None:
            self._runtime.pipeline.give_back_running()


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
