"""Tells of the server's end before the server waits for its open connections.

A server ends the application's lifespan only after every connection has closed, which a stream
of events never does by itself. So this listens to the signals, and passes them on to whoever
listened before. Outside a main thread, as in tests, there are no signals to listen to.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
]


@contextmanager
def before_the_end(act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` in the running event loop as soon as the process is asked to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    earlier = {number: signal.getsignal(number) for number in _STOP_SIGNALS}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        passed_on = earlier[signal.Signals(number)]
        if callable(passed_on):
            passed_on(number, frame)

    # Where nobody listens the signal ends the process anyway, and must go on doing so.
    ours = [number for number, handler in earlier.items() if callable(handler)]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, earlier[number])
