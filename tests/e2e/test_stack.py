"""The documented way to run the system, and ``make demo`` and ``make run``, with real parts."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore
from tests.conftest import PROJECT_DIR, wait_until
from tests.e2e.conftest import ORPHAN_LIMIT_S, Workplace

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.tensorflow]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
START_LIMIT_S = 60.0
DATA = PROJECT_DIR / "data"


@contextmanager
def running(workplace: Workplace, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program of the project; stop it as an operator would."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=PROJECT_DIR,
        env=workplace.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.terminate()


@contextmanager
def running_quietly(workplace: Workplace, *arguments: str) -> Iterator[None]:
    """Run a service; its console goes to the test's, where pytest shows it after a failure."""
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=PROJECT_DIR, env=workplace.environment
    ) as service:
        try:
            yield
        finally:
            service.terminate()


def drive(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the operator's script."""
    return subprocess.run(
        [sys.executable, "test_dramatiq_system.py", *arguments],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def start_session(workplace: Workplace, command: str, *arguments: str) -> list[str]:
    state = str(workplace.folder / "var")
    return ["-m", "energy_forecasting", command, "--state", state, *arguments]


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def read_until(program: subprocess.Popen[str], words: str) -> str:
    """Return what the program has printed up to the line with these words."""
    assert program.stdout is not None
    printed = ""
    for line in program.stdout:
        printed += line
        if words in line:
            return printed
    pytest.fail(f"the program ended without {words!r}; it printed:\n{printed}")


def test_the_documented_way_leads_from_health_to_a_forecast(
    workplace: Workplace, redis_url: str, free_port: int
) -> None:
    workplace.environment["REDIS_URL"] = redis_url
    meters = SqliteMeterStore(Path(workplace.environment["SQLITE_PATH"]))
    import_csv(DATA / "sample.csv.gz", meters, profiles=DATA / "sample_meters.csv")
    url = f"http://127.0.0.1:{free_port}"
    api = ("-m", "uvicorn", "main_dramatiq:app", "--port", str(free_port))

    with running_quietly(workplace, *api):
        wait_until(lambda: answers(f"{url}/health/"), within_s=START_LIMIT_S)
        without_worker = drive("ucam_b37_elec", "electricity", url)
        with running_quietly(workplace, "dramatiq_worker.py"):
            wait_until(lambda: answers(f"{url}/health/worker"), within_s=START_LIMIT_S)
            well = drive("ucam_b37_elec", "electricity", url)
            unknown = drive("nobody", "water", url)
    without_api = drive("ucam_b37_elec", "electricity", url)

    assert "FAILED: No worker lives. Start one" in without_worker.stdout
    assert well.returncode == 0, well.stdout + well.stderr
    assert "All is well." in well.stdout
    assert (workplace.folder / "models" / "electricity" / "ucam_b37_elec.h5").is_file()
    assert "FAILED: The training ended FAILED" in unknown.stdout
    assert f"FAILED: No API at {url}" in without_api.stdout
    failures = (without_worker, unknown, without_api)
    assert [(each.returncode, each.stderr) for each in failures] == [(1, "")] * 3


def test_the_demo_trains_the_sample_meters_and_leaves_nothing_running(
    workplace: Workplace,
) -> None:
    picture = workplace.folder / "forecast.png"
    demo = start_session(workplace, "demo", "--exit", "--picture", str(picture))

    with running(workplace, *demo) as program:
        printed, _ = program.communicate(timeout=240)

    assert program.returncode == 0, printed
    assert printed.count("Model training completed successfully!") == 4
    assert "/docs" in printed
    assert "curl -s -X POST http://127.0.0.1:" in printed
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert picture.read_bytes().startswith(PNG_SIGNATURE)
    assert not workplace.processes()


def test_ctrl_c_ends_a_serving_stack_well(workplace: Workplace) -> None:
    with running(workplace, *start_session(workplace, "run")) as program:
        read_until(program, "Ctrl-C stops everything")
        program.send_signal(signal.SIGINT)
        printed, _ = program.communicate(timeout=60)

    assert program.returncode == 0, printed
    assert "Everything has stopped." in printed
    assert not workplace.processes()


@pytest.mark.parametrize("stage", ["", "Redis", "Meters"])
def test_ctrl_c_while_starting_ends_in_a_sentence_and_stops_what_was_started(
    workplace: Workplace, stage: str
) -> None:
    with running(workplace, *start_session(workplace, "demo")) as program:
        if stage:
            read_until(program, stage)
        else:
            time.sleep(0.3)
        program.send_signal(signal.SIGINT)
        printed, _ = program.communicate(timeout=60)

    assert program.returncode == 130, printed
    assert "Stopped early; nothing" in printed
    assert "Traceback" not in printed
    assert not workplace.processes()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has tethers")
def test_a_launcher_killed_with_9_takes_its_programs_along_and_can_be_started_again(
    workplace: Workplace,
) -> None:
    with running(workplace, *start_session(workplace, "run")) as program:
        read_until(program, "Ctrl-C stops everything")
        program.kill()
    wait_until(lambda: not workplace.processes(), within_s=ORPHAN_LIMIT_S)

    with running(workplace, *start_session(workplace, "run")) as again:
        assert "already in" in read_until(again, "Ctrl-C stops everything")
        again.terminate()
        again.communicate(timeout=60)

    assert again.returncode == 0


def test_a_second_stack_in_the_same_folder_is_refused(workplace: Workplace) -> None:
    with running(workplace, *start_session(workplace, "run")) as first:
        read_until(first, "Ctrl-C stops everything")
        with running(workplace, *start_session(workplace, "run")) as second:
            printed, _ = second.communicate(timeout=60)
        first.terminate()
        first.communicate(timeout=60)

    assert second.returncode == 1
    assert f"already runs (process {first.pid}, API at http://127.0.0.1:" in printed


def test_a_port_that_was_asked_for_and_is_taken_is_told_before_anything_starts(
    workplace: Workplace,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with running(workplace, *start_session(workplace, "run", "--port", port)) as program:
            printed, _ = program.communicate(timeout=60)

    assert program.returncode == 1
    assert printed.startswith(f"Port {port} is taken by another program.")


def test_a_folder_that_cannot_be_made_is_told(workplace: Workplace) -> None:
    (workplace.folder / "var").touch()

    with running(workplace, *start_session(workplace, "run")) as program:
        printed, _ = program.communicate(timeout=60)

    assert program.returncode == 1
    assert "var cannot be written: File exists." in printed
    assert not (workplace.folder / "models").exists()
