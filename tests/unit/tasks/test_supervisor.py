"""The worker's supervisor with small programs in the place of worker processes."""

import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from energy_forecasting.tasks.supervisor import SupervisedProcess, WorkerSupervisor
from tests.conftest import wait_until


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def starts(record: Path) -> int:
    return len(record.read_text()) if record.exists() else 0


def recording(record: Path, then: str) -> list[str]:
    return program(f"open({str(record)!r}, 'a').write('x'); {then}")


def tend_for(process: SupervisedProcess, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.tend()
        time.sleep(0.01)


def test_a_dead_process_is_started_again_after_a_growing_pause(tmp_path: Path) -> None:
    record = tmp_path / "starts"
    process = SupervisedProcess(recording(record, "raise SystemExit(3)"))

    # Pauses of 1 s, 2 s, 4 s: without them it would be started dozens of times.
    tend_for(process, 3.0)

    assert process.wait(time.monotonic() + 5)
    assert 2 <= starts(record) <= 3


def test_a_process_that_ended_well_is_started_again_at_once(tmp_path: Path) -> None:
    record = tmp_path / "starts"
    process = SupervisedProcess(recording(record, "pass"))

    def is_tended_until_the_third_start() -> bool:
        process.tend()
        return starts(record) == 3

    wait_until(is_tended_until_the_third_start, within_s=10)
    assert process.wait(time.monotonic() + 5)


def test_sigterm_stops_the_processes_and_kills_a_stubborn_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "starts"
    stubborn = recording(
        record,
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
    )
    supervisor = WorkerSupervisor(stubborn, processes=2, grace_s=0.5)
    # Handlers belong to the main thread, where pytest is.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_until(lambda: starts(record) == 2, within_s=5)
    time.sleep(0.2)

    supervisor._on_signal(signal.SIGTERM, None)
    thread.join(5)

    assert not thread.is_alive()
    assert all(process.wait(time.monotonic()) for process in supervisor._processes)
