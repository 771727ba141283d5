"""A process that is started again whenever it ends, as systemd does with ``Restart=always``.

When the harness itself is killed, its processes are told to stop (Linux; see ``launcher.tether``).
They are tied to the thread that starts them, so one keeper's thread starts them all.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from energy_forecasting.launcher import tether
from energy_forecasting.settings import PROJECT_DIR
from tests.chaos.patience import wait_for

RESTART_AFTER_S = 0.3
_TEND_EVERY_S = 0.05
_STOP_LIMIT_S = 30.0


class KeptProcess:
    """One of our programs, and the file of what it prints."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], output: Path
    ) -> None:
        self.name = name
        self.starts = 0
        self._arguments = list(arguments)
        self._environment = dict(environment)
        self._output = output
        self._start_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def tend(self) -> None:
        """Start it if it does not run."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            self._start_at = time.monotonic() + RESTART_AFTER_S
        if self._process is None and time.monotonic() >= self._start_at:
            self._start()

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it does not run."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> bool:
        """End it in good order; False when it had to be killed."""
        if self._process is None:
            return True
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True

    def _start(self) -> None:
        command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), sys.executable]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *self._arguments],
                cwd=PROJECT_DIR,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        self.starts += 1


class Keeper:
    """The thread that tends the processes."""

    def __init__(self, processes: Sequence[KeptProcess]) -> None:
        self._processes = list(processes)
        self._stop = threading.Event()
        self._starts_no_more = threading.Event()
        self._may_end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Start every process and keep it."""
        self._thread.start()
        wait_for(
            lambda: all(each.starts for each in self._processes), within_s=10, what="all started"
        )

    def stop(self) -> list[str]:
        """End every process; return the names of those that had to be killed."""
        self._stop.set()
        self._starts_no_more.wait()
        stubborn = [each.name for each in self._processes if not each.stop()]
        self._may_end.set()
        self._thread.join()
        return stubborn

    def _run(self) -> None:
        while not self._stop.wait(_TEND_EVERY_S):
            for each in self._processes:
                with contextlib.suppress(BlockingIOError):  # no process to be had just now
                    each.tend()
        self._starts_no_more.set()
        self._may_end.wait()  # the processes end with the thread that started them
