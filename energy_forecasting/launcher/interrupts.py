"""Ctrl-C, ``kill`` and a closed terminal, turned into one thing: one ``KeyboardInterrupt``.

Only the first signal raises; those after it are counted, so that an impatient person cannot
break off the stopping itself. It cannot catch ``kill -9``: see ``tether.py`` for that.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While entered, the first stop signal raises ``KeyboardInterrupt`` in the main thread."""

    def __init__(self) -> None:
        self.count = 0  #: stop signals so far
        self._holds = 0
        self._raised = False
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for stop_signal in _STOP_SIGNALS:
            # Under nohup a closed terminal must not stop the stack.
            if stop_signal is signal.SIGHUP and signal.getsignal(stop_signal) is signal.SIG_IGN:
                continue
            self._previous[stop_signal] = signal.signal(stop_signal, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for stop_signal, handler in self._previous.items():
            # Asked to stop, the process is about to end: one more signal would only spoil that.
            after = signal.SIG_IGN if self.count else handler
            signal.signal(stop_signal, after)  # type: ignore[arg-type] # what signal() gave

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raise nothing inside; a first signal that arrived there is raised at the end."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        self._raise_once()

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._raise_once()

    def _raise_once(self) -> None:
        if self.count and not self._holds and not self._raised:
            self._raised = True
            raise KeyboardInterrupt
