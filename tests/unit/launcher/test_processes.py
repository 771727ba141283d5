import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.processes import Child, Roster
from tests.unit.launcher.conftest import MakeProgram, is_running, wait_for

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has tethers")


def wait_for_pid(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def assert_gone(pid: int) -> None:
    wait_for(lambda: not is_running(pid))


def test_a_program_that_becomes_ready_is_waited_for(shell_program: MakeProgram) -> None:
    child = Child.start(shell_program("sleep 0.2; touch ready; sleep 60"))
    ready = child.program.folder / "ready"

    child.wait_until(ready.exists, limit_s=10)

    assert child.is_alive
    child.stop()


def test_a_program_that_is_never_ready_is_given_up_at_the_limit(
    shell_program: MakeProgram,
) -> None:
    child = Child.start(shell_program("echo still loading; sleep 60"))

    with pytest.raises(StartFailed, match=r"The test program was not ready within 1 s") as failure:
        child.wait_until(lambda: False, limit_s=1.0)

    assert failure.value.log_lines == ("still loading",)
    child.stop()


def test_a_program_that_dies_while_starting_is_noticed_at_once_with_its_last_words(
    shell_program: MakeProgram,
) -> None:
    child = Child.start(shell_program("seq 1 100; echo out of luck >&2; exit 3"))
    started = time.monotonic()

    with pytest.raises(StartFailed, match=r"ended with exit code 3 while starting") as failure:
        child.wait_until(lambda: False, limit_s=60)

    assert time.monotonic() - started < 10
    assert failure.value.log_lines[-2:] == ("100", "out of luck")
    assert len(failure.value.log_lines) == 12


def test_a_command_that_does_not_exist_ends_in_a_sentence(shell_program: MakeProgram) -> None:
    program = shell_program("")
    child = Child.start(
        type(program)(
            name="Redis",
            command=("/nowhere/redis-server",),
            folder=program.folder,
            environment=os.environ,
            output=program.output,
            stop_limit_s=1.0,
        )
    )

    with pytest.raises(StartFailed) as failure:
        child.wait_until(lambda: False, limit_s=10)

    assert "cannot be started: No such file or directory" in failure.value.log_lines[-1]


def test_stopping_asks_first(shell_program: MakeProgram) -> None:
    child = Child.start(shell_program("trap 'echo bye; exit 0' TERM; touch ready; sleep 60 & wait"))
    child.wait_until((child.program.folder / "ready").exists, limit_s=10)

    child.stop()

    assert child.last_lines() == ("bye",)
    assert child.ending == "ended with exit code 0"


def test_stopping_kills_a_program_that_will_not_listen_and_all_that_it_started(
    shell_program: MakeProgram,
) -> None:
    script = "trap '' TERM; (sleep 60 & echo $! > grandchild; wait) & wait"
    child = Child.start(shell_program(script, stop_limit_s=0.3))
    grandchild = wait_for_pid(child.program.folder / "grandchild")

    child.stop()

    assert child.ending == "was ended by SIGKILL"
    assert_gone(grandchild)


def test_stopping_finds_what_outlived_a_killed_program(shell_program: MakeProgram) -> None:
    child = Child.start(shell_program("sleep 60 & echo $! > grandchild; wait"))
    grandchild = wait_for_pid(child.program.folder / "grandchild")
    os.kill(child.pid, signal.SIGKILL)
    child.wait_until(lambda: not child.is_alive, limit_s=10)

    child.stop()

    assert_gone(grandchild)


def test_a_hurried_stop_does_not_wait_for_the_limit(shell_program: MakeProgram) -> None:
    child = Child.start(shell_program("trap '' TERM; touch ready; sleep 60", stop_limit_s=60))
    child.wait_until((child.program.folder / "ready").exists, limit_s=10)
    started = time.monotonic()

    child.stop(is_hurried=lambda: True)

    assert time.monotonic() - started < 10
    assert not child.is_alive


def test_a_program_is_out_of_reach_of_the_terminals_ctrl_c(shell_program: MakeProgram) -> None:
    child = Child.start(shell_program("sleep 60"))

    assert os.getsid(child.pid) == child.pid
    child.stop()


@LINUX_ONLY
def test_a_launcher_killed_with_9_leaves_no_program_behind(tmp_path: Path) -> None:
    launcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"""if True:
            import os, time
            from pathlib import Path
            from energy_forecasting.launcher.processes import Child, Program
            Child.start(Program(
                name="It", command=("sh", "-c", "echo $$ > pid; exec sleep 60"),
                folder=Path({str(tmp_path)!r}), environment=os.environ,
                output=Path({str(tmp_path)!r}) / "it.log", stop_limit_s=1.0,
            ))
            time.sleep(60)
            """,
        ]
    )
    orphan = wait_for_pid(tmp_path / "pid")

    launcher.kill()
    launcher.wait()

    assert_gone(orphan)


def test_the_roster_finds_and_stops_what_a_killed_launcher_left(
    shell_program: MakeProgram, tmp_path: Path
) -> None:
    child = Child.start(shell_program("sleep 60 & echo $! > grandchild; wait"))
    grandchild = wait_for_pid(tmp_path / "grandchild")
    Roster(tmp_path / "programs.json").write([child])

    stopped = Roster(tmp_path / "programs.json").stop_survivors(limit_s=5)

    assert stopped == 1
    assert_gone(grandchild)
    child.stop()


def test_the_roster_spares_a_stranger_that_was_given_an_old_id(tmp_path: Path) -> None:
    stranger = psutil.Process(os.getpid())
    (tmp_path / "programs.json").write_text(f"[[{stranger.pid}, {stranger.create_time() - 60}]]")

    assert Roster(tmp_path / "programs.json").stop_survivors(limit_s=1) == 0


@pytest.mark.parametrize("content", ["", "{", "[1]", '[["a", 1]]', "null"])
def test_a_roster_that_cannot_be_read_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "programs.json").write_text(content)

    assert Roster(tmp_path / "programs.json").stop_survivors(limit_s=1) == 0


def test_an_output_that_has_grown_large_is_emptied_while_it_is_written(
    shell_program: MakeProgram,
) -> None:
    child = Child.start(shell_program("while true; do echo line; sleep 0.05; done"))
    with child.program.output.open("r+b") as output:
        output.truncate(30_000_000)

    child.trim_output()

    child.wait_until(lambda: child.last_lines() == ("line",), limit_s=10)
    assert child.program.output.stat().st_size < 1000
    child.stop()
