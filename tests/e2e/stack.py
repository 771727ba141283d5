"""Worker and API as an operator starts them, for tests that spoil what they need."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore
from tests.conftest import PROJECT_DIR, wait_until
from tests.e2e.conftest import environment_of

ENDED = {"SUCCESS", "FAILED", "CANCELLED"}


class Stack:
    """Worker and API in one environment, with a client."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self._port = port
        self._environment = environment
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        self.worker = self._start("dramatiq_worker.py", "--threads", "1")
        self.api = self._start("-m", "uvicorn", "main_dramatiq:app", "--port", str(self._port))

    def start_api(self) -> None:
        self.api = self._start("-m", "uvicorn", "main_dramatiq:app", "--port", str(self._port))
        self.wait_for_api()

    def wait_for_api(self) -> None:
        wait_until(self._is_healthy, within_s=30)

    def health(self) -> dict[str, Any]:
        return dict(self.http.get("/health/").raise_for_status().json())

    def train(self, body: dict[str, Any]) -> str:
        answer = self.http.post("/trainmodel/", json=body)
        return str(answer.raise_for_status().json()["task_id"])

    def status(self, task_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/trainmodel/status/{task_id}").raise_for_status().json())

    def wait_for_status(self, task_id: str, wanted: set[str], *, within_s: float) -> dict[str, Any]:
        wait_until(lambda: self.status(task_id)["status"] in wanted, within_s=within_s)
        return self.status(task_id)

    def worker_process(self) -> psutil.Process:
        wait_until(lambda: bool(psutil.Process(self.worker.pid).children()), within_s=10)
        return psutil.Process(self.worker.pid).children()[0]

    def busy_trainer(self) -> psutil.Process:
        processes = self.worker_process().children(recursive=True)
        trainers = [each for each in processes if "forkserver" in " ".join(each.cmdline())]
        return max(trainers, key=lambda process: process.create_time())

    def stop(self) -> None:
        for process in (self.api, self.worker):
            process.terminate()
        for process in (self.api, self.worker):
            process.wait(20)
        self.http.close()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=PROJECT_DIR, env=self._environment
        )

    def _is_healthy(self) -> bool:
        try:
            return self.http.get("/health/").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def running_stack(environment: dict[str, str], port: int) -> Iterator[Stack]:
    """Run a stack; afterwards nothing of it may be left."""
    running = Stack(environment, port)
    everything: list[psutil.Process] = []
    try:
        running.wait_for_api()
        everything = psutil.Process(running.worker.pid).children(recursive=True)
        yield running
    finally:
        everything += psutil.Process(running.worker.pid).children(recursive=True)
        running.stop()
    wait_until(lambda: not any(map(lives, everything)), within_s=10)


@contextmanager
def sample_stack(redis_url: str, folder: Path, port: int) -> Iterator[Stack]:
    """Run a stack on an empty Redis with the sample meters."""
    redis.Redis.from_url(redis_url).flushall()
    data = PROJECT_DIR / "data"
    meters = SqliteMeterStore(folder / "var" / "meters.sqlite")
    import_csv(data / "sample.csv.gz", meters, profiles=data / "sample_meters.csv")
    with running_stack(environment_of(folder) | {"REDIS_URL": redis_url}, port) as running:
        yield running


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
