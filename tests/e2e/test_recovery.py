"""The real stack while its processes are killed with -9: it recovers and tells the truth."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis

from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore
from tests.conftest import PROJECT_DIR, RealRedis, wait_until
from tests.e2e.conftest import environment_of

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.tensorflow]

METER = {"meter_id": "ucam_b37_elec", "meter_type": "electricity"}
LONG = {**METER, "tuning": {"max_trials": 50}}
ENDED = {"SUCCESS", "FAILED", "CANCELLED"}


class Stack:
    """Worker and API as an operator starts them, on folders of their own."""

    def __init__(self, redis_url: str, folder: Path, port: int) -> None:
        self._port = port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
        self._environment = environment_of(folder) | {"REDIS_URL": redis_url}
        self.worker = self._start("dramatiq_worker.py", "--threads", "1")
        self.api = self.start_api()

    def start_api(self) -> subprocess.Popen[bytes]:
        self.api = self._start("-m", "uvicorn", "main_dramatiq:app", "--port", str(self._port))
        wait_until(self._is_healthy, within_s=30)
        return self.api

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


@pytest.fixture(scope="module")
def stack(
    redis_server: RealRedis, tmp_path_factory: pytest.TempPathFactory, free_port: int
) -> Iterator[Stack]:
    redis.Redis.from_url(redis_server.url).flushall()
    folder = tmp_path_factory.mktemp("stack")
    data = PROJECT_DIR / "data"
    meters = SqliteMeterStore(folder / "var" / "meters.sqlite")
    import_csv(data / "sample.csv.gz", meters, profiles=data / "sample_meters.csv")
    running = Stack(redis_server.url, folder, free_port)
    before = psutil.Process(running.worker.pid).children(recursive=True)
    yield running
    everything = [*before, *psutil.Process(running.worker.pid).children(recursive=True)]
    running.stop()
    wait_until(lambda: not any(map(_lives, everything)), within_s=10)


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_killed_trainer_is_replaced_and_the_task_tried_once_more(stack: Stack) -> None:
    task_id = stack.train(LONG)
    stack.wait_for_status(task_id, {"TRAINING_MODEL"}, within_s=30)
    wait_until(lambda: stack.status(task_id)["progress"] > 50, within_s=60)
    stack.busy_trainer().kill()

    wait_until(lambda: stack.status(task_id)["attempt"] == 2, within_s=5)
    told = stack.status(task_id)
    assert told["status"] in {"PENDING", "STARTED", "CONNECTING", "TRAINING_MODEL"}
    stack.http.delete(f"/trainmodel/{task_id}")


def test_a_killed_worker_loses_no_task(stack: Stack) -> None:
    task_id = stack.train({**METER, "tuning": {"max_trials": 3}})
    stack.wait_for_status(task_id, {"TRAINING_MODEL"}, within_s=30)
    trainer = stack.busy_trainer()
    stack.worker_process().kill()

    killed = time.monotonic()
    wait_until(lambda: stack.status(task_id)["attempt"] == 2, within_s=15)
    assert time.monotonic() - killed < 15
    wait_until(lambda: not _lives(trainer), within_s=5)
    record = stack.wait_for_status(task_id, ENDED, within_s=90)
    assert record["status"] == "SUCCESS"
    assert record["result"]["details"]["data_points"] == 8760


def test_a_killed_api_finds_its_tasks_again(stack: Stack) -> None:
    task_id = stack.train(LONG)
    stack.wait_for_status(task_id, {"TRAINING_MODEL"}, within_s=60)
    os.kill(stack.api.pid, signal.SIGKILL)
    stack.api.wait(5)
    stack.start_api()

    assert stack.status(task_id)["status"] == "TRAINING_MODEL"
    again = stack.http.post("/trainmodel/", json=METER).json()
    assert again["task_id"] == task_id
    assert again["deduplicated"] is True
    stack.http.delete(f"/trainmodel/{task_id}")


def test_a_running_training_is_cancelled_within_two_seconds(stack: Stack) -> None:
    task_id = stack.train(LONG)
    stack.wait_for_status(task_id, {"TRAINING_MODEL"}, within_s=60)
    wait_until(lambda: stack.status(task_id)["progress"] > 50, within_s=60)
    trainer = stack.busy_trainer()

    assert stack.http.delete(f"/trainmodel/{task_id}").json()["status"] == "CANCELLED"
    wait_until(lambda: not _lives(trainer), within_s=2)


def test_redis_away_and_back(stack: Stack, redis_server: RealRedis) -> None:
    redis_server.stop()
    started = time.monotonic()
    refused = stack.http.post("/trainmodel/", json=METER)
    refused_after_s = time.monotonic() - started
    redis_server.start()

    assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert refused_after_s < 1.0
    wait_until(lambda: stack.http.get("/health/worker").status_code == httpx.codes.OK, within_s=15)
    task_id = stack.train({**METER, "tuning": {"max_trials": 0}})
    assert stack.wait_for_status(task_id, ENDED, within_s=60)["status"] == "SUCCESS"


def test_a_training_survives_an_absence_of_redis(stack: Stack, redis_server: RealRedis) -> None:
    task_id = stack.train({**METER, "tuning": {"max_trials": 5}})
    stack.wait_for_status(task_id, {"TRAINING_MODEL"}, within_s=60)
    redis_server.stop()
    time.sleep(6)
    redis_server.start()

    wait_until(lambda: stack.http.get("/health/").status_code == httpx.codes.OK, within_s=5)
    record = stack.wait_for_status(task_id, ENDED, within_s=90)
    assert record["status"] == "SUCCESS"
    assert record["attempt"] <= 2
