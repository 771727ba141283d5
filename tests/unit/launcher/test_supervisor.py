import os
import signal
import threading
import time
from pathlib import Path

import pytest

from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.interrupts import Interrupts
from energy_forecasting.launcher.processes import Child, Roster
from energy_forecasting.launcher.supervisor import Supervisor
from tests.unit.launcher.conftest import MakeProgram, is_running, wait_for


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def interrupts() -> Interrupts:
    return Interrupts()


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str], interrupts: Interrupts) -> Supervisor:
    roster = Roster(tmp_path / "programs.json")
    return Supervisor(roster, interrupts=interrupts, on_restart=said.append)


def tend_for(limit_s: float, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        supervisor.tend()
        time.sleep(0.05)


def kill(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.wait_until(lambda: not child.is_alive, limit_s=5)


def test_a_program_that_was_killed_is_started_again(
    supervisor: Supervisor, shell_program: MakeProgram, said: list[str], tmp_path: Path
) -> None:
    def pids() -> list[int]:
        return [int(pid) for pid in (tmp_path / "pids").read_text().split()]

    (tmp_path / "pids").touch()
    first = supervisor.launch(shell_program("echo $$ >> pids; exec sleep 60", name="The API"))
    wait_for(lambda: len(pids()) == 1)
    kill(first)

    supervisor.tend()

    wait_for(lambda: len(pids()) == 2)
    assert said == ["The API was ended by SIGKILL; starting it again."]
    supervisor.stop_all()
    assert not any(is_running(pid) for pid in pids())


def test_a_program_that_keeps_dying_ends_it_with_its_last_words(
    supervisor: Supervisor, shell_program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("energy_forecasting.launcher.supervisor._RESTART_DELAY_S", 0.01)
    child = supervisor.launch(shell_program("echo no memory; exit 1", name="The worker"))
    child.wait_until(lambda: not child.is_alive, limit_s=5)

    with pytest.raises(StartFailed, match=r"The worker keeps dying; the last time it ended") as end:
        tend_for(10.0, supervisor)

    assert end.value.log_lines == ("no memory",)
    supervisor.stop_all()


def test_the_last_program_started_is_the_first_to_be_stopped(
    supervisor: Supervisor, shell_program: MakeProgram, tmp_path: Path
) -> None:
    for name in ("redis", "worker", "api"):
        script = f"trap 'echo {name} >> order; exit' TERM; touch {name}; sleep 60 & wait"
        child = supervisor.launch(shell_program(script, name=name))
        child.wait_until((tmp_path / name).exists, limit_s=5)

    supervisor.stop_all()

    assert (tmp_path / "order").read_text().split() == ["api", "worker", "redis"]


def test_a_program_started_again_under_its_name_replaces_the_ended_one(
    supervisor: Supervisor, shell_program: MakeProgram, said: list[str]
) -> None:
    first = supervisor.launch(shell_program("exit 1", name="The API"))
    first.wait_until(lambda: not first.is_alive, limit_s=5)
    supervisor.launch(shell_program("sleep 60", name="The API"))

    supervisor.tend()

    assert said == []
    supervisor.stop_all()


def test_ctrl_c_while_stopping_makes_it_short_but_leaves_nothing_running(
    supervisor: Supervisor, shell_program: MakeProgram, interrupts: Interrupts, tmp_path: Path
) -> None:
    children = []
    for name in ("redis", "api"):
        script = f"trap '' TERM; touch {name}; sleep 60"
        child = supervisor.launch(shell_program(script, name=name, stop_limit_s=60))
        child.wait_until((tmp_path / name).exists, limit_s=5)
        children.append(child)
    started = time.monotonic()
    impatience = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    impatience.start()

    with interrupts, pytest.raises(KeyboardInterrupt):
        supervisor.stop_all()

    impatience.join()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert time.monotonic() - started < 30
    assert not any(child.is_alive for child in children)
