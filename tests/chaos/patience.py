"""Waiting for a condition that must come true."""

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
