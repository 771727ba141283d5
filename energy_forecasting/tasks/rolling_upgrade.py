"""Replaces running worker processes one by one by successors from the code on disk now.

A predecessor goes on working until its successor has said that it is ready, and then drains. At
most one process more than usual runs at a time. It cannot replace the supervisor's own code.
"""

import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from energy_forecasting.tasks.worker_child import WorkerChild
from energy_forecasting.tasks.worker_signals import DRAIN

#: From the start of a successor until it is given up: a trainer may take three minutes on a
#: machine that is overloaded, see ``trainers.START_LIMIT_S``.
READY_LIMIT_S = 200.0

logger = structlog.get_logger("worker.supervisor")


class Place(Protocol):
    """Where one process runs for as long as the supervisor does."""

    def start_successor(self) -> WorkerChild:
        """Start another process of the same command."""
        ...

    def hand_over(self, successor: WorkerChild) -> WorkerChild | None:
        """Put a process into the place; return the one that had it, if it lives."""
        ...


class RollingUpgrade:
    """One pass over all places."""

    def __init__(
        self, places: Sequence[Place], *, drain_limit_s: float, ready_limit_s: float = READY_LIMIT_S
    ) -> None:
        self._waiting = list(places)
        self._drain_limit_s = drain_limit_s
        self._ready_limit_s = ready_limit_s
        self._successor: WorkerChild | None = None
        self._predecessor: WorkerChild | None = None
        self._deadline = 0.0

    @property
    def children(self) -> list[WorkerChild]:
        """What runs beside the processes in their places."""
        return [child for child in (self._successor, self._predecessor) if child is not None]

    def advance(self) -> bool:
        """Do what can be done now; True when the pass has ended."""
        if self._predecessor is not None:
            self._see_off(self._predecessor)
        elif self._successor is not None:
            self._see_in(self._successor)
        elif self._waiting:
            self._successor = self._waiting[0].start_successor()
            self._deadline = time.monotonic() + self._ready_limit_s
            logger.info("Successor started", pid=self._successor.pid)
        return not self._waiting and not self.children

    def _see_in(self, successor: WorkerChild) -> None:
        if successor.is_ready:
            self._successor = None
            self._predecessor = self._waiting.pop(0).hand_over(successor)
            self._deadline = time.monotonic() + self._drain_limit_s
            if self._predecessor is not None:
                self._predecessor.send(DRAIN)
                logger.info(
                    "Successor ready; its predecessor drains",
                    pid=successor.pid,
                    predecessor=self._predecessor.pid,
                )
        elif successor.exit_code is not None:
            self._give_up(
                successor,
                "The successor ended before it was ready, so the old worker processes stay; "
                "the lines above may say why",
            )
        elif time.monotonic() > self._deadline:
            self._give_up(
                successor,
                f"The successor was not ready within {self._ready_limit_s:g} s, so the old worker "
                "processes stay; does Redis answer, is the machine overloaded?",
            )

    def _give_up(self, successor: WorkerChild, sentence: str) -> None:
        exit_code = successor.exit_code
        successor.kill()
        self._successor = None
        self._waiting.clear()
        logger.error(sentence, pid=successor.pid, exit_code=exit_code)

    def _see_off(self, predecessor: WorkerChild) -> None:
        if predecessor.exit_code is None and time.monotonic() > self._deadline:
            logger.error("Drained worker process did not end in time and is killed")
            predecessor.kill()
        if predecessor.exit_code is not None:
            self._predecessor = None
            logger.info("Drained worker process has ended", pid=predecessor.pid)
