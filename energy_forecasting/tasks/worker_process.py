"""One worker process: consumes tasks until SIGTERM, and never lives on half dead."""

import os
import signal
import threading

import dramatiq
import structlog

logger = structlog.get_logger("worker.process")


def serve(broker: dramatiq.Broker, *, threads: int) -> None:
    """Consume tasks until SIGTERM; Ctrl-C is the supervisor's, who turns it into one."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    threading.excepthook = _end_process
    worker = dramatiq.Worker(broker, worker_threads=threads)
    worker.start()
    stop.wait()
    worker.stop()


def _end_process(failure: threading.ExceptHookArgs) -> None:
    """End the process: a worker without its heart or reconciler would only seem to live."""
    logger.critical(
        "A thread died of an unexpected error; this worker process ends",
        thread=failure.thread.name if failure.thread else None,
        exc_info=failure.exc_value,
    )
    os._exit(1)
