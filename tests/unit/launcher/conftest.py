"""What the launcher's tests share: programs to start, and a way to see whether they have gone."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from energy_forecasting.launcher.processes import Program

MakeProgram = Callable[..., Program]


@pytest.fixture
def shell_program(tmp_path: Path) -> MakeProgram:
    """Return a maker of programs from lines of shell; they run in the test's folder."""

    def make(script: str, *, name: str = "The test program", stop_limit_s: float = 5.0) -> Program:
        return Program(
            name=name,
            command=("sh", "-c", script),
            folder=tmp_path,
            environment=os.environ,
            output=tmp_path / "output" / f"{name}.log",
            stop_limit_s=stop_limit_s,
        )

    return make


def wait_for(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait until something has happened; fail when it does not."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {within_s} s"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Tell whether a process does anything still; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
