"""How fast the service starts, answers and trains, and how much memory it takes.

``python -m benchmarks.service [--rounds N]`` from the project folder

Protocol: a Redis, a worker and an API of their own on free ports, with the sample meters, on an
otherwise idle machine; medians over the rounds, smallest and largest beside. Times include HTTP
on loopback. Caveats: one machine, one client, everything on the same cores, so absolute figures
travel badly; the training times are of one year of hourly readings.
"""

import argparse
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

from energy_forecasting.launcher.redis_server import find_redis
from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore

PROJECT_DIR = Path(__file__).resolve().parent.parent
METER = {"meter_id": "ucam_b37_elec", "meter_type": "electricity"}
OTHER_METER = {"meter_id": "bwdf_dma_05", "meter_type": "water"}
POLL_S = 0.002
MEGABYTE = 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(__doc__.split("\n\n", 1)[1])
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}\n")
    with tempfile.TemporaryDirectory() as folder, redis_running(Path(folder)) as url:
        environment = prepared_environment(Path(folder), url)
        show(
            "import main_dramatiq",
            "s",
            times(rounds, lambda: import_s("main_dramatiq", environment)),
        )
        show("import task_system", "s", times(rounds, lambda: import_s("task_system", environment)))
        show("API start to first answer", "s", times(rounds, lambda: api_start_s(environment)))
        measure_running(rounds, environment)


def measure_running(rounds: int, environment: dict[str, str]) -> None:
    """Measure what needs API and worker up."""
    port = free_port()
    with (
        program(api_command(port), environment) as api,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        wait_for(lambda: answers(http, "/health/"))
        started = time.perf_counter()
        with program([sys.executable, "dramatiq_worker.py"], environment) as worker:
            wait_for(lambda: answers(http, "/health/worker"))
            show("worker start to ready", "s", [time.perf_counter() - started])
            show("training right after start (cold trainers)", "s", [training_s(http, METER)])
            training_s(http, OTHER_METER)  # the second trainer warms up too
            time.sleep(5)
            show(
                "training, warm, 2 tuning trials",
                "s",
                times(rounds, lambda: training_s(http, METER)),
            )
            show(
                "training, warm, no tuning",
                "s",
                times(rounds, lambda: training_s(http, METER, max_trials=0)),
            )
            show("POST answered", "ms", times(rounds, lambda: post_ms(http)))
            show("POST to STARTED, idle worker", "ms", times(3 * rounds, lambda: started_ms(http)))
            show("forecast, a week ahead", "ms", times(20 * rounds, lambda: forecast_ms(http)))
            show("status", "ms", times(20 * rounds, lambda: status_ms(http)))
            show_memory("API", [api])
            show_memory("worker: supervisor", [worker])
            show_memory("worker: Dramatiq process", worker.children())
            trainers = [each for each in worker.children(recursive=True) if is_trainer(each)]
            show_memory("forkserver and trainers", trainers)


def times(rounds: int, measure: Callable[[], float]) -> list[float]:
    """Repeat a measurement."""
    return [measure() for _ in range(rounds)]


def show(what: str, unit: str, values: list[float]) -> None:
    """Print a median with its range."""
    spread = f"({min(values):.3g} to {max(values):.3g}, n={len(values)})" if len(values) > 1 else ""
    print(f"{what:<46} {statistics.median(values):8.3g} {unit:<3} {spread}", flush=True)


def show_memory(what: str, processes: list[psutil.Process]) -> None:
    """Print resident and private memory of some processes."""
    for process in processes:
        memory = process.memory_full_info()
        resident, private = memory.rss / MEGABYTE, memory.uss / MEGABYTE
        print(f"memory, {what:<38} {resident:8.0f} MB resident, {private:.0f} MB private")


def import_s(module: str, environment: dict[str, str]) -> float:
    """Return how long a fresh interpreter takes to import a module and end."""
    started = time.perf_counter()
    run = [sys.executable, "-c", f"import {module}"]
    subprocess.run(run, cwd=PROJECT_DIR, env=environment, check=True)  # noqa: S603
    return time.perf_counter() - started


def api_start_s(environment: dict[str, str]) -> float:
    """Return how long the API takes from its start to its first answer."""
    port = free_port()
    started = time.perf_counter()
    with (
        program(api_command(port), environment),
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        wait_for(lambda: answers(http, "/health/"))
        return time.perf_counter() - started


def training_s(http: httpx.Client, meter: dict[str, str], max_trials: int = 2) -> float:
    """Return the seconds from POST to SUCCESS."""
    started = time.perf_counter()
    task_id = post(http, meter, max_trials)
    ended = {"SUCCESS", "FAILED", "CANCELLED"}
    record: dict[str, Any] = {}
    while record.get("status") not in ended:
        time.sleep(0.01)
        record = http.get(f"/trainmodel/status/{task_id}").json()
    if record["status"] != "SUCCESS":
        sys.exit(f"The training failed: {record.get('error')}")
    return time.perf_counter() - started


def started_ms(http: httpx.Client) -> float:
    """Return the milliseconds from POST until a status is no longer PENDING."""
    time.sleep(0.37)  # at changing phases of the worker's polling
    started = time.perf_counter()
    task_id = post(http, METER)
    while http.get(f"/trainmodel/status/{task_id}").json()["status"] == "PENDING":
        time.sleep(POLL_S)
    elapsed_ms = (time.perf_counter() - started) * 1000
    http.delete(f"/trainmodel/{task_id}")
    time.sleep(1.5)  # the trainer is replaced
    return elapsed_ms


def post_ms(http: httpx.Client) -> float:
    """Return how long admission takes."""
    started = time.perf_counter()
    task_id = post(http, METER)
    elapsed_ms = (time.perf_counter() - started) * 1000
    http.delete(f"/trainmodel/{task_id}")
    time.sleep(1.5)
    return elapsed_ms


def forecast_ms(http: httpx.Client) -> float:
    """Return how long a week's forecast takes."""
    started = time.perf_counter()
    http.post("/forecast/", json={**METER, "horizon_hours": 168}).raise_for_status()
    return (time.perf_counter() - started) * 1000


def status_ms(http: httpx.Client) -> float:
    """Return how long a status takes."""
    task_id = http.get("/trainmodel/?limit=1").json()["tasks"][0]["task_id"]
    started = time.perf_counter()
    http.get(f"/trainmodel/status/{task_id}").raise_for_status()
    return (time.perf_counter() - started) * 1000


def post(http: httpx.Client, meter: dict[str, str], max_trials: int = 2) -> str:
    """Queue a training and return its task."""
    answer = http.post("/trainmodel/", json={**meter, "tuning": {"max_trials": max_trials}})
    return str(answer.raise_for_status().json()["task_id"])


def answers(http: httpx.Client, path: str) -> bool:
    """Whether a path answers 200."""
    try:
        return http.get(path).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait, at most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("The service did not come up within a minute.")
        time.sleep(POLL_S)


def is_trainer(process: psutil.Process) -> bool:
    """Whether a process is the forkserver or one of its children."""
    return any("forkserver" in part for part in process.cmdline())


def api_command(port: int) -> list[str]:
    """Return the documented start of the API."""
    return [sys.executable, "-m", "uvicorn", "main_dramatiq:app", "--port", str(port)]


def prepared_environment(folder: Path, url: str) -> dict[str, str]:
    """Return an environment with stores of its own, the sample meters imported."""
    data = PROJECT_DIR / "data"
    meters = folder / "meters.sqlite"
    import_csv(
        data / "sample.csv.gz", SqliteMeterStore(meters), profiles=data / "sample_meters.csv"
    )
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    own = {
        "REDIS_URL": url,
        "METER_STORE": "sqlite",
        "SQLITE_PATH": str(meters),
        "MODEL_STORE": str(folder / "models"),
        "LOG_DIR": str(folder / "logs"),
        "API_KEYS": str(folder / "api_keys.json"),
    }
    return {**kept, **own}


@contextmanager
def redis_running(folder: Path) -> Iterator[str]:
    """Run a Redis with an append-only file."""
    port = free_port()
    command = [str(find_redis().path), "--port", str(port), "--dir", str(folder)]
    command += ["--appendonly", "yes", "--save", "", "--bind", "127.0.0.1"]
    url = f"redis://127.0.0.1:{port}/0"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:  # noqa: S603
        client = redis.Redis.from_url(url)
        wait_for(lambda: pings(client))
        yield url
        server.terminate()


def pings(client: redis.Redis) -> bool:
    """Whether Redis answers."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def program(command: list[str], environment: dict[str, str]) -> Iterator[psutil.Process]:
    """Run one of our programs and stop it."""
    with subprocess.Popen(  # noqa: S603
        command, cwd=PROJECT_DIR, env=environment, stderr=subprocess.DEVNULL
    ) as child:
        yield psutil.Process(child.pid)
        child.terminate()


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
