"""One worker process as its supervisor sees it.

It says that it is ready through a pipe whose end it inherits (``--ready-fd``); Windows has no
such pipes, so there nobody learns when a process is ready.
"""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Sequence

import psutil

#: What a killed process and its descendants may need to be gone.
KILL_LIMIT_S = 2.0


class WorkerChild:
    """A started process; it and all that it started can be killed."""

    def __init__(self, command: Sequence[str]) -> None:
        self.started = time.monotonic()
        self._is_ready = False
        self._ready_fd: int | None = None
        if os.name == "posix":
            self._ready_fd, told_fd = os.pipe()
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    [*command, "--ready-fd", str(told_fd)], pass_fds=(told_fd,)
                )
            finally:
                os.close(told_fd)
        else:
            self._process = subprocess.Popen(list(command))  # noqa: S603 - our own program

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        exit_code = self._process.poll()
        if exit_code is not None:
            self._close_pipe()
        return exit_code

    @property
    def is_ready(self) -> bool:
        """Whether it has said that it can do its work."""
        if self._ready_fd is not None and select.select([self._ready_fd], [], [], 0.0)[0]:
            self._is_ready = bool(os.read(self._ready_fd, 1))
            self._close_pipe()
        return self._is_ready

    def send(self, signal_number: int) -> None:
        """Send it a signal; one that has ended gets none."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal_number)

    def wait(self, deadline: float) -> bool:
        """Wait for the end until a monotonic moment; True when it has ended."""
        try:
            self._process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            return False
        self._close_pipe()
        return True

    def kill(self) -> None:
        """Kill it and its descendants at once: a forkserver that imports would outlive it."""
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        kill_all(family)
        self.wait(time.monotonic() + KILL_LIMIT_S)

    def _close_pipe(self) -> None:
        if self._ready_fd is not None:
            os.close(self._ready_fd)
            self._ready_fd = None


def kill_all(processes: Sequence[psutil.Process]) -> None:
    """Kill processes; those that have ended meanwhile are no error."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def tell_ready(ready_fd: int | None) -> None:
    """Say, in the child, that it is ready; on Windows nobody listens."""
    if ready_fd is not None:
        with contextlib.suppress(OSError):  # the supervisor has ended; so shall we
            os.write(ready_fd, b"1")
            os.close(ready_fd)
