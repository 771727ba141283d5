"""Waiting for a condition that must come true, and for threads that must not have died."""

import threading
import time
from collections.abc import Callable

POLL_S = 0.05


class DidNotHappen(Exception):
    """A condition did not come true in time: the harness itself cannot go on."""


def wait_for(condition: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Wait until a condition is true.

    Raises:
        DidNotHappen: it is not, in time.
    """
    if not comes_true(condition, within_s=within_s):
        raise DidNotHappen(f"did not happen within {within_s:g} s: {what}")


def comes_true(condition: Callable[[], bool], *, within_s: float) -> bool:
    """Wait until a condition is true, or the time is over; return whether it is."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def end_thread(thread: threading.Thread, stop: threading.Event) -> None:
    """Tell a thread of the harness to stop, and wait for it.

    Raises:
        DidNotHappen: it had died before: what it should have seen was not seen.
    """
    lived = thread.is_alive()
    stop.set()
    thread.join()
    if not lived:
        raise DidNotHappen(f"the thread {thread.name} died; its traceback stands above")
