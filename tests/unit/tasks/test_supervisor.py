"""The worker's supervisor with small programs in the place of worker processes."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from energy_forecasting.logs import LOG_FILE_VARIABLE
from energy_forecasting.tasks import supervisor
from energy_forecasting.tasks.supervisor import StopLimits, SupervisedProcess, WorkerSupervisor
from energy_forecasting.tasks.worker_signals import DRAIN
from tests.conftest import PROJECT_DIR, wait_until

LIMITS = StopLimits(grace_s=20, drain_s=20, teardown_s=20, ready_s=30)

#: What a worker process does with signals and its pipe, without the work.
OBEDIENT = """
import os, signal, sys, time
record = open({record!r}, 'a', buffering=1)
def end(number, frame):
    print('stop' if number == signal.SIGTERM else 'drain', os.getpid(), file=record)
    {on_signal}
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGUSR1, end)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
print('start', os.getpid(), file=record)
{on_start}
while True:
    time.sleep(0.05)
"""
TELLS_READY = "os.write(int(sys.argv[sys.argv.index('--ready-fd') + 1]), b'1')"
ENDS = "sys.exit(0)"


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def worker(record: Path, *, on_start: str = TELLS_READY, on_signal: str = ENDS) -> list[str]:
    return program(OBEDIENT.format(record=str(record), on_start=on_start, on_signal=on_signal))


def events(record: Path, name: str) -> list[int]:
    """Return the process ids of an event's lines."""
    lines = record.read_text().splitlines() if record.exists() else []
    return [int(line.split()[1]) for line in lines if line.split()[0] == name]


def starts(record: Path) -> int:
    return len(record.read_text()) if record.exists() else 0


def recording(record: Path, then: str) -> list[str]:
    return program(f"open({str(record)!r}, 'a').write('x'); {then}")


def tend_for(process: SupervisedProcess, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.tend()
        time.sleep(0.01)


@contextmanager
def running(
    command: list[str], monkeypatch: pytest.MonkeyPatch, *, processes: int, limits: StopLimits
) -> Iterator[tuple[Callable[[int], None], threading.Thread]]:
    """Run a supervisor in a thread; yield what signals it, and the thread."""
    tended = WorkerSupervisor(command, processes=processes, limits=limits)
    # Handlers belong to the main thread, where pytest is.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    thread = threading.Thread(target=tended.run)
    thread.start()
    try:
        yield tended._signals.put, thread
    finally:
        for _ in range(2):
            tended._signals.put(signal.SIGTERM)
        thread.join(60)
        assert not thread.is_alive()


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_dead_process_is_started_again_after_a_growing_pause(tmp_path: Path) -> None:
    record = tmp_path / "starts"
    process = SupervisedProcess(recording(record, "raise SystemExit(3)"))

    # Pauses of 1 s, 2 s, 4 s: without them it would be started dozens of times.
    tend_for(process, 3.0)

    assert process.child is None or process.child.wait(time.monotonic() + 5)
    assert 2 <= starts(record) <= 3


def test_a_process_that_keeps_dying_leaves_no_open_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_BACKOFF_S", 0.0)
    record = tmp_path / "starts"
    process = SupervisedProcess(recording(record, "raise SystemExit(3)"))
    before = psutil.Process().num_fds()

    def is_tended_until_the_tenth_start() -> bool:
        process.tend()
        return starts(record) >= 10

    wait_until(is_tended_until_the_tenth_start, within_s=60)
    assert psutil.Process().num_fds() <= before + 2
    assert process.child is None or process.child.wait(time.monotonic() + 5)


def test_a_process_that_ended_well_is_started_again_at_once(tmp_path: Path) -> None:
    record = tmp_path / "starts"
    process = SupervisedProcess(recording(record, "pass"))

    def is_tended_until_the_third_start() -> bool:
        process.tend()
        return starts(record) == 3

    wait_until(is_tended_until_the_third_start, within_s=10)
    assert process.child is not None
    assert process.child.wait(time.monotonic() + 5)


def test_sigterm_stops_the_processes_and_kills_a_stubborn_one_with_its_descendants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    record, children = tmp_path / "record", tmp_path / "children"
    grandchild = (
        "import subprocess; "
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']); "
        f"print('child', child.pid, file=open({str(children)!r}, 'a'))"
    )
    stubborn = worker(record, on_start=grandchild, on_signal="pass")
    limits = StopLimits(grace_s=0.5, drain_s=20, teardown_s=0.5)
    with running(stubborn, monkeypatch, processes=2, limits=limits) as (send, thread):
        wait_until(lambda: len(events(children, "child")) == 2, within_s=20)
        pids = events(record, "start") + events(children, "child")
        # When
        ordered = time.monotonic()
        send(signal.SIGTERM)
        thread.join(30)
        took_s = time.monotonic() - ordered
    # Then
    assert len(pids) == 4
    assert len(events(record, "stop")) == 2
    assert took_s >= 1.0
    wait_until(lambda: not any(map(lives, pids)), within_s=10)


def test_a_second_sigterm_leaves_no_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "record"
    stubborn = worker(record, on_signal="pass")
    limits = StopLimits(grace_s=3600, drain_s=3600, teardown_s=1.0)
    with running(stubborn, monkeypatch, processes=1, limits=limits) as (send, thread):
        wait_until(lambda: len(events(record, "start")) == 1, within_s=20)
        send(signal.SIGTERM)
        wait_until(lambda: len(events(record, "stop")) == 1, within_s=20)
        assert thread.is_alive()
        send(signal.SIGINT)
        thread.join(30)
        assert not thread.is_alive()
    assert len(events(record, "stop")) == 2


def test_sigusr1_drains_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "record"
    with running(worker(record), monkeypatch, processes=2, limits=LIMITS) as (send, thread):
        wait_until(lambda: len(events(record, "start")) == 2, within_s=20)
        send(DRAIN)
        thread.join(30)
        assert not thread.is_alive()
    assert sorted(events(record, "drain")) == sorted(events(record, "start"))


def test_sighup_replaces_every_process_and_drains_it_only_when_its_successor_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: processes that are ready a while after their start
    record = tmp_path / "record"
    ready = f"time.sleep(0.5); print('ready', os.getpid(), file=record); {TELLS_READY}"
    command = worker(record, on_start=ready)
    with running(command, monkeypatch, processes=2, limits=LIMITS) as (send, _):
        wait_until(lambda: len(events(record, "ready")) == 2, within_s=20)
        old = events(record, "start")
        # When
        send(signal.SIGHUP)
        wait_until(lambda: len(events(record, "drain")) == 2, within_s=30)
        new = events(record, "start")[2:]
        # Then
        assert sorted(events(record, "drain")) == sorted(old)
        assert len(new) == 2
        assert all(map(lives, new))
        told = [line.split()[0] for line in record.read_text().splitlines()]
        assert told[-6:] == ["start", "ready", "drain"] * 2
        assert events(record, "stop") == []


@pytest.mark.parametrize(
    ("on_start", "ready_s", "sentence"),
    [
        ("sys.exit(3)", 30.0, "ended before it was ready"),
        ("time.sleep(0.1)", 1.0, "not ready within 1 s"),
    ],
    ids=["dies", "is late"],
)
def test_the_old_processes_stay_when_a_successor_fails(
    on_start: str,
    ready_s: float,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given: only those that are started after the upgrade of the code are bad
    record, bad = tmp_path / "record", tmp_path / "bad"
    command = worker(record, on_start=f"if os.path.exists({str(bad)!r}): {on_start}")
    limits = StopLimits(grace_s=20, drain_s=20, teardown_s=20, ready_s=ready_s)
    with (
        capture_logs() as logs,
        running(command, monkeypatch, processes=2, limits=limits) as (send, _),
    ):
        wait_until(lambda: len(events(record, "start")) == 2, within_s=20)
        old = events(record, "start")
        bad.touch()
        # When
        send(signal.SIGHUP)
        wait_until(
            lambda: any(sentence in each["event"] for each in logs),
            within_s=20,
        )
        # Then
        time.sleep(0.5)
        assert all(map(lives, old))
        assert len(events(record, "start")) == 3
        assert events(record, "drain") == []
        wait_until(lambda: not lives(events(record, "start")[2]), within_s=10)


def test_a_predecessor_that_does_not_end_is_killed_when_its_time_to_drain_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "record"
    limits = StopLimits(grace_s=0.5, drain_s=0.5, teardown_s=0.5, ready_s=30)
    command = worker(record, on_signal="pass")
    with running(command, monkeypatch, processes=1, limits=limits) as (send, _):
        wait_until(lambda: len(events(record, "start")) == 1, within_s=20)
        send(signal.SIGHUP)
        wait_until(lambda: len(events(record, "drain")) == 1, within_s=20)
        old, new = events(record, "start")
        wait_until(lambda: not lives(old), within_s=10)
        assert lives(new)


def test_sigterm_in_the_middle_of_an_upgrade_stops_successor_and_predecessor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a predecessor that drains for long
    record = tmp_path / "record"
    command = worker(record, on_signal="number == signal.SIGTERM and sys.exit(0)")
    with running(command, monkeypatch, processes=1, limits=LIMITS) as (send, thread):
        wait_until(lambda: len(events(record, "start")) == 1, within_s=20)
        send(signal.SIGHUP)
        wait_until(lambda: len(events(record, "drain")) == 1, within_s=20)
        # When
        send(signal.SIGTERM)
        thread.join(15)
        assert not thread.is_alive()
    assert sorted(events(record, "stop")) == sorted(events(record, "start"))


def test_a_closed_terminal_stops_the_supervisor(tmp_path: Path) -> None:
    """SIGHUP asks for an upgrade; from a terminal that is gone it means the end."""
    # Given: a supervisor as the foreground program of a terminal of its own
    record, text = tmp_path / "record", tmp_path / "supervise.py"
    text.write_text(
        # As the worker's door does: what is logged to a terminal that is gone must not raise.
        "from pathlib import Path\n"
        "from energy_forecasting.logs import configure_logging\n"
        "from energy_forecasting.tasks.supervisor import StopLimits, WorkerSupervisor\n"
        f"configure_logging(log_dir=Path({str(tmp_path)!r}))\n"
        f"WorkerSupervisor({worker(record)!r}, processes=1, limits=StopLimits("
        "grace_s=20, drain_s=20, teardown_s=20)).run()\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        # As a shell would start it: another test may have left the signal ignored, as nohup does.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.chdir(PROJECT_DIR)
        os.execve(  # noqa: S606 - our own program, in the terminal that pty made
            sys.executable,
            [sys.executable, str(text)],
            {**os.environ, "PYTHONPATH": str(PROJECT_DIR), LOG_FILE_VARIABLE: ""},
        )
    try:
        wait_until(lambda: len(events(record, "start")) == 1, within_s=30)
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: len(events(record, "drain")) == 1, within_s=30)
        assert lives(pid)
        # When
        os.close(terminal)
        # Then
        wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, within_s=30)
        assert len(events(record, "stop")) == 1
    finally:
        if lives(pid):
            os.kill(pid, signal.SIGKILL)


def test_signals_that_rain_down_never_block_the_supervisor() -> None:
    """A handler that sets an Event can wait for ever for the lock that it has interrupted."""
    text = (
        "from energy_forecasting.tasks.worker_signals import SignalQueue\n"
        "import os, signal\n"
        "signals = SignalQueue()\n"
        "signals.listen(signal.SIGUSR2)\n"
        "print('listening', flush=True)\n"
        "count = 0\n"
        "while count < 5000 and signals.next(within_s=20): count += 1\n"
        "print(count, flush=True)\n"
        "os._exit(0)\n"  # before the interpreter takes the handler away
    )
    with subprocess.Popen(program(text), cwd=PROJECT_DIR, stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        listener.stdout.readline()
        deadline = time.monotonic() + 60
        while listener.poll() is None and time.monotonic() < deadline:
            listener.send_signal(signal.SIGUSR2)
        assert listener.poll() == 0
        assert listener.stdout.read() == b"5000\n"
