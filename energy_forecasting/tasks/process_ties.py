"""Ties a child process to the life of its parent, so that no orphan survives a kill -9.

Works on Linux alone; elsewhere a child ends when it notices that a pipe to its parent is closed.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int | None = None) -> None:
    """Ask the kernel to kill this process when its parent dies.

    Args:
        parent_pid: the parent that is meant; when it has died before the call, so do we.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent_pid is not None and os.getppid() != parent_pid:
        sys.exit("The parent process has ended.")
