"""Start the worker: ``python dramatiq_worker.py [--processes N] [--threads N]``.

Runs a supervisor that keeps N worker processes alive; each trains as many meters at once as it
has threads. Reads the settings of README from the environment. Ctrl-C or SIGTERM stops it:
trainings that cannot finish in SHUTDOWN_GRACE_S go back to the queue. SIGHUP replaces the
processes by new ones, SIGUSR1 lets trainings finish and then stops: docs/operations.md.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from energy_forecasting import __version__, bootstrap
from energy_forecasting.logs import get_logger
from energy_forecasting.settings import PROJECT_DIR, Settings
from energy_forecasting.tasks.process_ties import die_with_parent
from energy_forecasting.tasks.redis_client import address
from energy_forecasting.tasks.supervisor import StopLimits, WorkerSupervisor
from energy_forecasting.tasks.worker_child import tell_ready
from energy_forecasting.tasks.worker_process import WorkerProcess, ignore_terminal_signals

#: Beyond the grace given to trainings: what taking a worker process down may need.
TEARDOWN_S = 5.0


def main() -> None:
    """Parse the command line and supervise, or be one of the supervised processes."""
    settings = bootstrap.settings()
    parser = argparse.ArgumentParser(description="Energy Forecasting worker")
    parser.add_argument("--processes", type=int, default=settings.worker_processes)
    parser.add_argument("--threads", type=int, default=settings.worker_threads)
    parser.add_argument("--child-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.processes < 1 or arguments.threads < 1:
        parser.error("--processes and --threads must be at least 1")
    bootstrap.start_logging(settings)
    if arguments.child_of:
        work(arguments.child_of, arguments.threads, arguments.ready_fd)
    else:
        supervise(settings, arguments.processes, arguments.threads)


def supervise(settings: Settings, processes: int, threads: int) -> None:
    """Keep the worker processes alive until told to stop."""
    logger = get_logger("worker.supervisor")
    where = address(settings.redis_url)
    logger.info("Worker starting", version=__version__, redis=where, threads=threads)
    # Links are kept: where a release is a link, an upgrade follows it to the new one.
    program = [sys.executable, str(Path(__file__).absolute())]
    command = [*program, "--child-of", str(os.getpid()), "--threads", str(threads)]
    WorkerSupervisor(
        command,
        processes=processes,
        limits=StopLimits(
            grace_s=settings.shutdown_grace_s,
            drain_s=settings.drain_limit_s,
            teardown_s=TEARDOWN_S,
        ),
        watch=PROJECT_DIR / "energy_forecasting" if settings.debug else None,
    ).run()
    logger.info("Worker has stopped")


def work(parent_pid: int, threads: int, ready_fd: int | None) -> None:
    """Be one worker process, which ends with its supervisor."""
    ignore_terminal_signals()
    die_with_parent(parent_pid)
    import task_system  # noqa: PLC0415 - only a worker process needs the actor

    broker, training = task_system.broker, task_system.training
    on_ready = partial(tell_ready, ready_fd)
    WorkerProcess(broker, training, threads=threads, on_ready=on_ready).serve()


if __name__ == "__main__":
    main()
