"""Keeps the worker's processes alive.

Dramatiq's own command line stops all processes when one dies, and nobody starts them again.
This supervisor replaces a dead process, waiting longer each time it dies young.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import structlog

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
#: A process that lived so long did not die of a bad start.
HEALTHY_S = 30.0
POLL_S = 0.2

logger = structlog.get_logger("worker.supervisor")


class SupervisedProcess:
    """One process that is started again whenever it ends."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._backoff_s = FIRST_BACKOFF_S
        self._start_at = 0.0
        self._started = 0.0
        self._child: subprocess.Popen[bytes] | None = None

    def tend(self) -> None:
        """Start the process if it does not run and its back-off is over."""
        now = time.monotonic()
        if self._child is not None:
            exit_code = self._child.poll()
            if exit_code is None:
                return
            self._child = None
            self._plan_restart(exit_code, now)
        if now >= self._start_at:
            self._child = subprocess.Popen(self._command)  # noqa: S603 - our own program
            self._started = now
            logger.info("Worker process started", pid=self._child.pid)

    def _plan_restart(self, exit_code: int, now: float) -> None:
        if exit_code == 0:  # it was asked to, as after a change of its source
            self._start_at = now
            return
        lived_s = now - self._started
        is_healthy = lived_s > HEALTHY_S
        self._backoff_s = (
            FIRST_BACKOFF_S if is_healthy else min(2 * self._backoff_s, LONGEST_BACKOFF_S)
        )
        self._start_at = now + self._backoff_s
        logger.error(
            "Worker process died and will be started again",
            exit_code=exit_code,
            lived_s=round(lived_s, 1),
            in_s=self._backoff_s,
        )

    def signal(self, signal_number: int) -> None:
        """Send a signal to the process, if it runs."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal_number)

    def wait(self, deadline: float) -> bool:
        """Wait for the end until a monotonic moment; True when it has ended."""
        if self._child is None:
            return True
        try:
            self._child.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True


class WorkerSupervisor:
    """Runs until SIGINT or SIGTERM; then stops its processes in good order."""

    def __init__(
        self, command: Sequence[str], *, processes: int, grace_s: float, watch: Path | None = None
    ) -> None:
        self._processes = [SupervisedProcess(command) for _ in range(processes)]
        self._grace_s = grace_s
        self._watch = watch
        self._stop = threading.Event()

    def run(self) -> None:
        """Tend the processes until told to stop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        if self._watch is not None:
            threading.Thread(target=self._reload_on_change, daemon=True).start()
        while not self._stop.is_set():
            for process in self._processes:
                process.tend()
            self._stop.wait(POLL_S)
        self._stop_all()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()

    def _stop_all(self) -> None:
        for process in self._processes:
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace_s
        for process in self._processes:
            if not process.wait(deadline):
                logger.error("Worker process did not stop in time and is killed")
                process.signal(getattr(signal, "SIGKILL", signal.SIGTERM))
                process.wait(time.monotonic() + 1.0)

    def _reload_on_change(self) -> None:
        """Restart the processes when a source file changes (DEBUG only)."""
        from watchfiles import PythonFilter, watch  # noqa: PLC0415 - for developers only

        if self._watch is None:
            return
        for changes in watch(self._watch, watch_filter=PythonFilter(), stop_event=self._stop):
            logger.info("Source changed; worker processes restart", files=len(changes))
            for process in self._processes:
                process.signal(signal.SIGTERM)
