"""Keeps the worker's processes alive, replaces them for an upgrade, and stops them in time.

Dramatiq's own command line stops all processes when one dies, and nobody starts them again.
This supervisor replaces a dead process, waiting longer each time it dies young. It cannot reload
its own code: that takes a new supervisor beside it (see docs/operations.md).
"""

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from energy_forecasting.tasks.rolling_upgrade import READY_LIMIT_S, RollingUpgrade
from energy_forecasting.tasks.worker_child import WorkerChild
from energy_forecasting.tasks.worker_signals import (
    DRAIN,
    STOP,
    UPGRADE,
    SignalQueue,
    has_terminal,
)

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
#: A process that lived so long did not die of a bad start.
HEALTHY_S = 30.0
POLL_S = 0.2
#: How long a terminal may take to go once SIGHUP has come.
HANG_UP_S = 1.0
HANG_UP_POLL_S = 0.05

logger = structlog.get_logger("worker.supervisor")


@dataclass(frozen=True, kw_only=True, slots=True)
class StopLimits:
    """How long worker processes may take to end; then they are killed."""

    grace_s: float  #: for trainings, after SIGTERM
    drain_s: float  #: for trainings, when drained
    teardown_s: float  #: beyond either: what taking a worker process down may need
    ready_s: float = READY_LIMIT_S  #: until a successor must be ready


class SupervisedProcess:
    """A place for one process, which is started again whenever it ends."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._backoff_s = FIRST_BACKOFF_S
        self._start_at = 0.0
        self.child: WorkerChild | None = None  #: None while the back-off lasts

    def tend(self) -> None:
        """Start the process if it does not run and its back-off is over."""
        now = time.monotonic()
        if self.child is not None:
            exit_code = self.child.exit_code
            if exit_code is None:
                return
            self._plan_restart(exit_code, now, lived_s=now - self.child.started)
            self.child = None
        if now >= self._start_at:
            self.child = self.start_successor()
            logger.info("Worker process started", pid=self.child.pid)

    def start_successor(self) -> WorkerChild:
        """Start another process of the same command, from the code on disk now."""
        return WorkerChild(self._command)

    def hand_over(self, successor: WorkerChild) -> WorkerChild | None:
        """Put a process into this place; return the one that had it, if it lives."""
        predecessor, self.child = self.child, successor
        self._backoff_s = FIRST_BACKOFF_S
        return predecessor

    def signal(self, signal_number: int) -> None:
        """Send a signal to the process, if it runs."""
        if self.child is not None:
            self.child.send(signal_number)

    def _plan_restart(self, exit_code: int, now: float, *, lived_s: float) -> None:
        if exit_code == 0:  # it was asked to, as after a change of its source
            self._start_at = now
            return
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


class WorkerSupervisor:
    """Runs until SIGINT, SIGTERM or SIGUSR1; then stops its processes in good order."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        processes: int,
        limits: StopLimits,
        watch: Path | None = None,
    ) -> None:
        self._places = [SupervisedProcess(command) for _ in range(processes)]
        self._limits = limits
        self._watch = watch
        self._has_ended = threading.Event()
        self._signals = SignalQueue()
        self._upgrade: RollingUpgrade | None = None
        self._is_upgrade_wanted = False
        self._has_terminal = False
        self._stops_without_terminal = True

    def run(self) -> None:
        """Tend the processes until told to stop."""
        self._signals.listen(signal.SIGINT, STOP, DRAIN)
        if UPGRADE is not None:
            self._has_terminal = has_terminal()
            # Under nohup a closed terminal is no reason to stop.
            self._stops_without_terminal = signal.getsignal(UPGRADE) is not signal.SIG_IGN
            self._signals.listen(UPGRADE)
        if self._watch is not None:
            threading.Thread(target=self._reload_on_change, daemon=True).start()
        order = self._tend_until_ordered()
        self._has_ended.set()
        self._stop_all(order)

    def _tend_until_ordered(self) -> int:
        """Return the signal that ends the work."""
        while True:
            for place in self._places:
                place.tend()
            self._advance_upgrade()
            number = self._signals.next(within_s=POLL_S)
            if number is None:
                continue
            if number != UPGRADE:
                return number
            if not self._was_hung_up():
                self._is_upgrade_wanted = True
            elif self._stops_without_terminal:
                return number

    def _was_hung_up(self) -> bool:
        """Tell a closed terminal, which ends the worker, from a wish to upgrade."""
        if not self._has_terminal:
            return False
        # The kernel sends the signal before the terminal is quite gone.
        deadline = time.monotonic() + HANG_UP_S
        while has_terminal():
            if time.monotonic() > deadline:
                return False
            time.sleep(HANG_UP_POLL_S)
        self._has_terminal = False
        return True

    def _advance_upgrade(self) -> None:
        if self._upgrade is None and self._is_upgrade_wanted:
            self._is_upgrade_wanted = False
            logger.info("Upgrading the worker processes", processes=len(self._places))
            self._upgrade = RollingUpgrade(
                self._places,
                drain_limit_s=self._limits.drain_s + self._limits.teardown_s,
                ready_limit_s=self._limits.ready_s,
            )
        if self._upgrade is not None and self._upgrade.advance():
            self._upgrade = None

    def _stop_all(self, order: int) -> None:
        children = [place.child for place in self._places if place.child is not None]
        children += self._upgrade.children if self._upgrade is not None else []
        deadline = self._order_stop(children, order)
        has_been_told = order != DRAIN
        while any(child.exit_code is None for child in children) and time.monotonic() < deadline:
            number = self._signals.next(within_s=POLL_S / 4)
            if number in (signal.SIGINT, STOP):
                sooner = self._order_stop(children, STOP, is_hurried=has_been_told)
                deadline = min(deadline, sooner)
                has_been_told = True
        for child in children:
            if child.exit_code is None:
                logger.error("Worker process did not stop in time and is killed", pid=child.pid)
                child.kill()

    def _order_stop(
        self, children: Sequence[WorkerChild], order: int, *, is_hurried: bool = False
    ) -> float:
        """Pass an order on; return the monotonic moment by which it must be obeyed."""
        is_drain = order == DRAIN and DRAIN != STOP
        for child in children:
            child.send(DRAIN if is_drain else STOP)
        allowed_s = self._limits.drain_s if is_drain else self._limits.grace_s
        return time.monotonic() + (0.0 if is_hurried else allowed_s) + self._limits.teardown_s

    def _reload_on_change(self) -> None:
        """Restart the processes when a source file changes (DEBUG only)."""
        from watchfiles import PythonFilter, watch  # noqa: PLC0415 - for developers only

        if self._watch is None:
            return
        for changes in watch(self._watch, watch_filter=PythonFilter(), stop_event=self._has_ended):
            logger.info("Source changed; worker processes restart", files=len(changes))
            for place in self._places:
                place.signal(STOP)
