"""One worker process: consumes tasks until told to stop, and never lives on half dead.

SIGTERM: running trainings get SHUTDOWN_GRACE_S; a second one: none. SIGUSR1: they get
DRAIN_LIMIT_S. Either way nothing new is begun, and what was fetched but not begun returns to the
queue at once. A thread that hangs in a call cannot be ended, so its task goes back to the queue
without it, and the process ends without waiting for it; what its main thread itself hangs in
(Redis) ends with the supervisor, which kills it.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

import dramatiq
import psutil
import redis
import structlog
from dramatiq.common import iter_queue
from dramatiq.errors import BrokerConnectionError

from energy_forecasting.tasks.stop_order import StopOrder
from energy_forecasting.tasks.worker_child import kill_all
from energy_forecasting.tasks.worker_signals import DRAIN, STOP, UPGRADE, SignalQueue

POLL_S = 0.1
#: Dramatiq takes a process for dead that has not called Redis for ten seconds.
HEARTBEAT_S = 1.0
#: A thread that was told to give its task back must have done so by then; else it hangs.
RETURN_LIMIT_S = 1.5
#: For Dramatiq's threads to end, which may be asleep between two tries to reach Redis.
THREADS_LIMIT_MS = 500
#: What a call of the broker raises when Redis is away.
AWAY = (redis.RedisError, BrokerConnectionError)

logger = structlog.get_logger("worker.process")


class Training(Protocol):
    """What the training middleware offers to the process that it runs in."""

    stop_order: StopOrder
    grace_s: float
    drain_limit_s: float

    def is_ready(self) -> bool:
        """Whether the process is registered and its trainers are warm."""
        ...

    def give_back_running(self) -> None:
        """Return to the queue the tasks of threads that hang."""
        ...


def ignore_terminal_signals() -> None:
    """Leave Ctrl-C and a closed terminal to the supervisor, who turns them into a stop."""
    for number in (signal.SIGINT, UPGRADE):
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


class WorkerProcess:
    """Runs Dramatiq's Worker in this process, which is the supervisor's child."""

    def __init__(
        self,
        broker: dramatiq.Broker,
        training: Training,
        *,
        threads: int,
        on_ready: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._training = training
        self._order = training.stop_order
        self._worker = dramatiq.Worker(broker, worker_threads=threads)
        self._on_ready = on_ready
        self._signals = SignalQueue()
        self._was_told_to_stop = False
        self._beaten_at = time.monotonic()

    def serve(self) -> NoReturn:
        """Consume tasks until told to stop; then end the process."""
        ignore_terminal_signals()
        self._signals.listen(STOP, DRAIN)
        threading.excepthook = _end_process
        self._worker.start()
        is_told_ready = False
        while not self._order.is_given:
            if not is_told_ready and self._training.is_ready():
                is_told_ready = True
                self._on_ready()
            self._obey_next()
        self._stop()
        _leave(0)

    def _obey_next(self) -> None:
        number = self._signals.next(within_s=POLL_S)
        if number == STOP:
            self._order.give(within_s=0.0 if self._was_told_to_stop else self._training.grace_s)
            self._was_told_to_stop = True
        elif number == DRAIN:
            self._order.give(within_s=self._training.drain_limit_s)

    def _stop(self) -> None:
        logger.info("Worker stopping", within_s=round(self._remaining_s(), 1))
        for thread in self._worker.workers:
            thread.stop()
        while self._is_busy() and self._remaining_s() > -RETURN_LIMIT_S:
            self._return_unbegun()
            self._beat()
            self._obey_next()
        self._training.give_back_running()
        self._return_unbegun()
        with contextlib.suppress(*AWAY):  # away: what is leased goes back in ten seconds
            self._worker.stop(timeout=THREADS_LIMIT_MS)

    def _remaining_s(self) -> float:
        return (self._order.deadline or 0.0) - time.monotonic()

    def _is_busy(self) -> bool:
        """Whether a thread is at work, or a message that was fetched is on its way here."""
        return any(thread.is_alive() for thread in self._worker.workers) or any(
            getattr(consumer.consumer, "message_cache", None)
            for consumer in self._worker.consumers.values()
        )

    def _return_unbegun(self) -> None:
        """Let others have what no thread here will begin, and fetch no more of it."""
        for consumer in self._worker.consumers.values():
            consumer.prefetch = 0  # of the next connection
            if consumer.consumer is not None:
                consumer.consumer.prefetch = 0  # type: ignore[attr-defined] # Redis's has it
        for item in iter_queue(self._worker.work_queue):  # type: ignore[no-untyped-call]
            with contextlib.suppress(*AWAY):
                self._worker.consumers[item.message.queue_name].requeue_messages([item.message])

    def _beat(self) -> None:
        """Tell Dramatiq's other processes that this one lives: it fetches no more, but works."""
        if time.monotonic() - self._beaten_at > HEARTBEAT_S:
            self._beaten_at = time.monotonic()
            with contextlib.suppress(*AWAY):
                for name in self._worker.consumers:
                    self._broker.do_fetch(name, 0)  # type: ignore[attr-defined] # made on demand


def _end_process(failure: threading.ExceptHookArgs) -> None:
    """End the process: a worker without its heart or reconciler would only seem to live."""
    logger.critical(
        "A thread died of an unexpected error; this worker process ends",
        thread=failure.thread.name if failure.thread else None,
        exc_info=failure.exc_value,
    )
    _leave(1)


def _leave(exit_code: int) -> NoReturn:
    """End without waiting for threads that hang, and leave no descendant behind."""
    kill_all(psutil.Process().children(recursive=True))
    logging.shutdown()
    os._exit(exit_code)
