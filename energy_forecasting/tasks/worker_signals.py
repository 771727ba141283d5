"""The signals that supervisor and worker processes know.

Signals are put into a queue and obeyed by the main loop: a handler that set an event would wait
for ever if it interrupted the loop inside that event's own lock. Windows has neither SIGHUP nor
SIGUSR1, and there SIGTERM ends a process at once.
"""

import os
import queue
import signal
from types import FrameType

#: End, soon.
STOP = signal.SIGTERM
#: Take nothing new, finish what runs, end; on Windows nobody sends it.
DRAIN: int = getattr(signal, "SIGUSR1", signal.SIGTERM)
#: Replace the worker processes; None where there is no such signal.
UPGRADE: int | None = getattr(signal, "SIGHUP", None)


class SignalQueue:
    """Signals in the order in which they came."""

    def __init__(self) -> None:
        self._came: queue.SimpleQueue[int] = queue.SimpleQueue()

    def listen(self, *numbers: int) -> None:
        """Take these signals from now on; from the main thread only."""
        for number in numbers:
            signal.signal(number, self.put)

    def put(self, number: int, _frame: FrameType | None = None) -> None:
        """Note a signal; safe inside a handler, as SimpleQueue's put may interrupt its get."""
        self._came.put(number)

    def next(self, *, within_s: float) -> int | None:
        """Return the next signal; None when none came in time."""
        try:
            return self._came.get(timeout=within_s)
        except queue.Empty:
            return None


def has_terminal() -> bool:
    """Whether this process can reach a terminal; closing one sends SIGHUP, too."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True
