"""Programs that the launcher starts, watches and stops, with everything that they start.

Each runs in a session of its own, so that Ctrl-C reaches only the launcher, which then stops
them in order. A descendant that leaves that session on purpose cannot be followed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from energy_forecasting.launcher import tether
from energy_forecasting.launcher.failures import StartFailed

_POLL_S = 0.05
_KILL_LIMIT_S = 5.0
_LINES_SHOWN = 12
_LARGEST_OUTPUT_BYTES = 20_000_000
#: Clock ticks and rounding may move a start time read twice by this much.
_START_TIME_SLACK_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What to start, and how it is to be stopped."""

    name: str  #: as a sentence names it: "the API"
    command: tuple[str, ...]
    folder: Path  #: its working folder
    environment: Mapping[str, str]
    output: Path  #: file that takes its standard output and error, made anew at each start
    stop_limit_s: float  #: from SIGTERM until it is killed


class Child:
    """A program that was started."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        self.program = program
        self._process = process

    @classmethod
    def start(cls, program: Program) -> "Child":
        """Start a program in its own session, tethered to this process.

        Call it from the main thread: Linux ends a tether with the thread that made it.

        Raises:
            StartFailed: the output file cannot be written.
        """
        tethered = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
        try:
            program.output.parent.mkdir(parents=True, exist_ok=True)
            program.output.unlink(missing_ok=True)
            with program.output.open("ab") as output:
                process = subprocess.Popen(  # noqa: S603 - commands come from this package
                    [*tethered, *program.command],
                    cwd=program.folder,
                    env=dict(program.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise StartFailed(
                f"{program.name} cannot be started: {error.strerror} ({error.filename})."
            ) from error
        return cls(program, process)

    @property
    def pid(self) -> int:
        """The process id, which is the id of its session too."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the program still runs."""
        return self._process.poll() is None

    @property
    def ending(self) -> str:
        """How an ended program ended, as the end of a sentence."""
        code = self._process.poll()
        if code is None:
            return "still runs"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def last_lines(self) -> tuple[str, ...]:
        """Return the end of the program's output, oldest line first."""
        try:
            with self.program.output.open(encoding="utf-8", errors="replace") as output:
                lines = deque((line.rstrip() for line in output if line.strip()), _LINES_SHOWN)
        except OSError:
            return ()
        return tuple(lines)

    def trim_output(self) -> None:
        """Empty an output file that has grown large; services keep rotated logs of their own."""
        with contextlib.suppress(OSError):
            if self.program.output.stat().st_size > _LARGEST_OUTPUT_BYTES:
                os.truncate(self.program.output, 0)

    def wait_until(self, is_ready: Callable[[], bool], *, limit_s: float) -> None:
        """Return as soon as the program is ready.

        Raises:
            StartFailed: it ended, or was not ready within the limit.
        """
        deadline = time.monotonic() + limit_s
        while not is_ready():
            if not self.is_alive:
                raise StartFailed(
                    f"{self.program.name} {self.ending} while starting. "
                    f"All of its output: {self.program.output}",
                    log_lines=self.last_lines(),
                )
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"{self.program.name} was not ready within {limit_s:.0f} s. "
                    f"All of its output: {self.program.output}",
                    log_lines=self.last_lines(),
                )
            time.sleep(_POLL_S)

    def stop(self, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """Ask the program to stop, then kill what is left of it and of its descendants.

        Args:
            is_hurried: asked while waiting; True cuts the program's time to stop.
        """
        family = _descendants(self.pid)
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        deadline = time.monotonic() + self.program.stop_limit_s
        while self.is_alive and time.monotonic() < deadline and not is_hurried():
            time.sleep(_POLL_S)
        self.sweep(family)

    def sweep(self, family: list[psutil.Process] | None = None) -> None:
        """Kill what is left of the program, its session and the given descendants."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_LIMIT_S)
        _kill([*(family or []), *_session_members(self.pid)])


class Roster:
    """The file that remembers which programs a launcher started, for the next one to check.

    Where tethers exist it finds a Redis that is about to end; elsewhere, all that a killed
    launcher left behind.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, children: list[Child]) -> None:
        """Remember these children, and no others."""
        entries = []
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                entries.append([child.pid, psutil.Process(child.pid).create_time()])
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(entries), encoding="utf-8")
        draft.replace(self._path)

    def stop_survivors(self, *, limit_s: float) -> int:
        """Stop the remembered programs that still run, and what they started; count them."""
        survivors = [process for entry in self._entries() if (process := _same_process(*entry))]
        family = [member for process in survivors for member in _descendants(process.pid)]
        for process in survivors:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _wait_for_end(survivors, limit_s=limit_s)
        members = [member for process in survivors for member in _session_members(process.pid)]
        _kill([*survivors, *family, *members])
        return len(survivors)

    def _entries(self) -> list[tuple[int, float]]:
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
            return [(int(pid), float(started)) for pid, started in entries]
        except (OSError, ValueError, TypeError):  # none yet, or cut short by a full disk
            return []


def _same_process(pid: int, started: float) -> psutil.Process | None:
    """Return the process unless it has ended and its id was given to another."""
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - started) < _START_TIME_SLACK_S
    except psutil.NoSuchProcess:
        return None
    return process if is_same and not _has_ended(process) else None


def _has_ended(process: psutil.Process) -> bool:
    """Tell whether a process does nothing any more; a zombie only waits to be reaped."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _wait_for_end(processes: list[psutil.Process], *, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not all(map(_has_ended, processes)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _session_members(session: int) -> list[psutil.Process]:
    """Return the processes of a session, those whose parents have died included."""
    members = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == session:
                members.append(psutil.Process(pid))
    return members


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # psutil knows a reused id
            process.kill()
    _wait_for_end(processes, limit_s=_KILL_LIMIT_S)
