"""The real stack while its processes are killed with -9: it recovers and tells the truth."""

import os
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import RealRedis, wait_until
from tests.e2e.stack import ENDED, Stack, lives, sample_stack

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.tensorflow]

METER = {"meter_id": "ucam_b37_elec", "meter_type": "electricity"}
LONG = {**METER, "tuning": {"max_trials": 50}}


@pytest.fixture(scope="module")
def stack(
    redis_server: RealRedis, tmp_path_factory: pytest.TempPathFactory, free_port: int
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with sample_stack(redis_server.url, folder, free_port) as running:
        yield running


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
    wait_until(lambda: not lives(trainer), within_s=5)
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
    wait_until(lambda: not lives(trainer), within_s=2)


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
