"""Batches and dead letters over HTTP: many meters in one request, added up, ended, replayed."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.domain.errors import ConnectionFailed
from energy_forecasting.domain.stages import PIPELINE
from energy_forecasting.settings import Settings
from energy_forecasting.tasks.redis_client import api_redis
from energy_forecasting.tasks.task_store import Claim, TaskStore
from energy_forecasting.tasks.workers import WorkerInfo, WorkerRegistry

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]

Work = Callable[[str], Claim]


def meters(count: int) -> list[dict[str, str]]:
    return [{"meter_id": f"m{number}", "meter_type": "water"} for number in range(count)]


@pytest.fixture
def client(settings: Settings) -> redis.Redis:
    return api_redis(settings.redis_url)


@pytest.fixture
def store(settings: Settings, client: redis.Redis) -> TaskStore:
    return bootstrap.task_store(settings, client)


@pytest.fixture
def begin(store: TaskStore) -> Work:
    """Return what takes a task to its training, as a worker would."""

    def begin(task_id: str) -> Claim:
        claim = store.claim(task_id, worker="host:1")
        assert claim is not None
        for stage in PIPELINE[2:6]:
            store.enter(claim, stage)
        return claim

    return begin


@pytest.fixture
def succeed(store: TaskStore, begin: Work) -> Callable[[str], None]:
    def succeed(task_id: str) -> None:
        claim = begin(task_id)
        store.enter(claim, PIPELINE[6])
        store.succeed(claim, {"status": "success"})

    return succeed


@pytest.fixture
def fail(store: TaskStore, begin: Work) -> Callable[[str], None]:
    def fail(task_id: str) -> None:
        store.fail(begin(task_id), ConnectionFailed("InfluxDB at http://db:8086 is away."))

    return fail


def batch_of(api: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post("/trainmodel/batch", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_batch_answers_for_each_meter_and_one_bad_meter_stops_nobody(api: TestClient) -> None:
    asked = meters(3)
    asked.insert(1, {"meter_id": "../etc", "meter_type": "water"})
    asked.append({"meter_id": "m9", "meter_type": "plutonium"})

    answer = batch_of(api, {"meters": asked})

    assert (answer["accepted"], answer["rejected"], answer["deduplicated"]) == (3, 2, 0)
    assert [task["meter_id"] for task in answer["tasks"]] == [meter["meter_id"] for meter in asked]
    refused = [task for task in answer["tasks"] if "error" in task]
    assert [task["meter_id"] for task in refused] == ["../etc", "m9"]
    assert {task["error"]["type"] for task in refused} == {"INVALID_REQUEST"}
    for task in answer["tasks"]:
        if "error" not in task:
            record = api.get(f"/trainmodel/status/{task['task_id']}").json()
            assert (record["status"], record["lane"]) == ("PENDING", "batch")
            assert record["batch_id"] == answer["batch_id"]


def test_a_batch_whose_meters_are_all_bad_is_refused(api: TestClient) -> None:
    answer = api.post(
        "/trainmodel/batch", json={"meters": [{"meter_id": "a b", "meter_type": "x"}]}
    )

    assert answer.status_code == 422
    assert "None of the 1 meters" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"meters": []}, {"meters": meters(1), "meter_type": "water"}])
def test_a_batch_names_its_meters_in_one_way(api: TestClient, body: dict[str, Any]) -> None:
    assert api.post("/trainmodel/batch", json=body).status_code == 422


def test_all_meters_of_a_type_are_one_batch(api: TestClient) -> None:
    answer = batch_of(api, {"meter_type": "water"})

    assert {task["meter_id"] for task in answer["tasks"]} == {"bwdf_dma_05", "bwdf_dma_09"}
    assert api.get(f"/trainmodel/batch/{answer['batch_id']}").json()["meter_type"] == "water"


def test_a_type_without_meters_is_no_data_found(api: TestClient) -> None:
    answer = api.post("/trainmodel/batch", json={"meter_type": "heat"})

    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "NO_DATA_FOUND"


def test_thousands_of_meters_are_admitted_in_one_call_each_with_one_message(
    api: TestClient, client: redis.Redis
) -> None:
    answer = batch_of(api, {"meters": meters(3000)})

    assert answer["accepted"] == 3000
    assert client.llen("dramatiq:training_batch") == 3000
    assert client.hlen("dramatiq:training_batch.msgs") == 3000
    assert client.llen("dramatiq:training") == 0
    listed = client.zrange("ef:tasks:waiting:batch", 0, -1)
    assert len(listed) == 3000
    batch = api.get(f"/trainmodel/batch/{answer['batch_id']}").json()
    assert batch["status"] == "PENDING"
    assert batch["message"] == "3000 trainings wait for a worker"


def test_a_listing_of_tasks_that_came_at_once_skips_and_repeats_none(api: TestClient) -> None:
    asked = batch_of(api, {"meters": meters(250)})
    seen: list[str] = []
    cursor = None
    while True:
        parameters: dict[str, Any] = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        page = api.get("/trainmodel/", params=parameters).json()
        seen += [task["task_id"] for task in page["tasks"]]
        cursor = page.get("cursor")
        if cursor is None:
            break

    assert len(seen) == 250
    assert set(seen) == {task["task_id"] for task in asked["tasks"]}


def test_progress_adds_up(
    api: TestClient,
    begin: Work,
    succeed: Callable[[str], None],
    fail: Callable[[str], None],
) -> None:
    # Given
    answer = batch_of(api, {"meters": meters(5)})
    first, second, third, fourth, _ = (task["task_id"] for task in answer["tasks"])
    # When one succeeds, one fails, one is cancelled and one is at work
    succeed(first)
    fail(second)
    api.delete(f"/trainmodel/{third}")
    begin(fourth)
    # Then
    batch = api.get(f"/trainmodel/batch/{answer['batch_id']}").json()
    assert batch["status"] == "RUNNING"
    assert batch["counts"] == {
        "waiting": 1,
        "running": 1,
        "succeeded": 1,
        "failed": 1,
        "cancelled": 1,
    }
    assert batch["progress"] == pytest.approx((3 * 100 + 50) / 5)
    assert batch["message"] == ("3 of 5 trainings have ended: 1 succeeded, 1 failed, 1 cancelled")
    failed = api.get(f"/trainmodel/batch/{answer['batch_id']}/tasks?status=FAILED").json()
    assert [task["task_id"] for task in failed["tasks"]] == [second]
    assert failed["tasks"][0]["error_details"]["type"] == "CONNECTION_ERROR"


def test_a_batch_ends_with_its_last_task(
    api: TestClient, succeed: Callable[[str], None], client: redis.Redis
) -> None:
    answer = batch_of(api, {"meters": meters(2)})
    for task in answer["tasks"]:
        assert "ended_at" not in api.get(f"/trainmodel/batch/{answer['batch_id']}").json()
        succeed(task["task_id"])

    batch = api.get(f"/trainmodel/batch/{answer['batch_id']}").json()
    assert (batch["status"], batch["progress"]) == ("FINISHED", 100)
    assert batch["ended_at"] >= batch["started_at"] >= batch["created_at"]
    for key in client.keys("ef:batch:*"):
        assert client.ttl(key) > 3600


def test_a_batch_counts_a_task_that_was_open_before_and_leaves_it_when_it_is_cancelled(
    api: TestClient, succeed: Callable[[str], None]
) -> None:
    single = api.post("/trainmodel/", json=meters(1)[0]).json()["task_id"]
    answer = batch_of(api, {"meters": [*meters(2), *meters(2)]})
    assert answer["deduplicated"] == 3
    assert answer["tasks"][0]["task_id"] == single
    path = f"/trainmodel/batch/{answer['batch_id']}"
    assert api.get(path).json()["tasks"] == 2

    told = api.delete(path).json()

    assert (told["cancelled"], told["left_running"]) == (1, 1)
    assert api.get(f"/trainmodel/status/{single}").json()["status"] == "PENDING"
    again = api.delete(path)
    assert again.status_code == 200
    assert again.json()["cancelled"] == 0
    succeed(single)
    assert api.get(path).json()["counts"]["succeeded"] == 1
    assert api.get(path).json()["status"] == "FINISHED"


def test_a_cancelled_batch_ends_queued_and_running_tasks(
    api: TestClient, begin: Work, store: TaskStore
) -> None:
    answer = batch_of(api, {"meters": meters(600)})
    running = begin(answer["tasks"][0]["task_id"])

    told = api.delete(f"/trainmodel/batch/{answer['batch_id']}").json()

    assert told["cancelled"] == 600
    assert told["batch"]["status"] == "FINISHED"
    assert told["batch"]["counts"]["cancelled"] == 600
    with pytest.raises(Exception, match="CANCELLED"):
        store.renew(running)


def test_force_cancels_what_is_open_and_starts_anew(api: TestClient) -> None:
    first = batch_of(api, {"meters": meters(2)})
    second = batch_of(api, {"meters": meters(2), "force": True})

    assert second["deduplicated"] == 0
    path = f"/trainmodel/batch/{first['batch_id']}"
    assert api.get(path).json()["counts"]["cancelled"] == 2
    assert api.get(f"/trainmodel/batch/{second['batch_id']}").json()["tasks"] == 2


def test_without_a_worker_nobody_promises_an_end(api: TestClient) -> None:
    answer = batch_of(api, {"meters": meters(2)})

    batch = api.get(f"/trainmodel/batch/{answer['batch_id']}").json()
    assert "estimated_completion" not in batch


def test_the_estimate_follows_the_batchs_own_pace(
    api: TestClient,
    client: redis.Redis,
    settings: Settings,
    succeed: Callable[[str], None],
) -> None:
    # Given a living worker and a batch of which half was trained in ten seconds
    info = WorkerInfo(
        host="h", pid=1, version="1", task=None, uptime_s=1, rss_mb=1, threads=2, trainers=2,
        trainers_rss_mb=1,
    )  # fmt: skip
    WorkerRegistry(client, url=settings.redis_url).beat("h:1", info)
    answer = batch_of(api, {"meters": meters(20)})
    for task in answer["tasks"][:10]:
        succeed(task["task_id"])
    key = f"ef:batch:{answer['batch_id']}"
    client.hset(key, "started_ms", str(int(1000 * (time.time() - 10))))
    # When
    batch = api.get(f"/trainmodel/batch/{answer['batch_id']}").json()
    # Then
    left = datetime.fromisoformat(batch["estimated_completion"]) - datetime.now().astimezone()
    assert timedelta(seconds=8) < left < timedelta(seconds=12)


def test_an_unknown_batch_is_404(api: TestClient) -> None:
    for call in (api.get, api.delete):
        answer = call("/trainmodel/batch/nobody")
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "NOT_FOUND"
    assert api.get("/trainmodel/batch/nobody/tasks").status_code == 404


def test_a_failed_training_is_a_dead_letter_until_its_meter_is_trained(
    api: TestClient, fail: Callable[[str], None], succeed: Callable[[str], None]
) -> None:
    # Given
    body = meters(1)[0] | {"tuning": {"max_trials": 3}, "deadline_s": 40}
    failed = api.post("/trainmodel/", json=body).json()["task_id"]
    fail(failed)
    listed = api.get("/trainmodel/dead-letters").json()
    assert (listed["total"], listed["tasks"][0]["task_id"]) == (1, failed)
    # When
    again = api.post(f"/trainmodel/dead-letters/{failed}/replay").json()
    # Then a new task does what the first was asked to do
    record = api.get(f"/trainmodel/status/{again['task_id']}").json()
    assert (record["status"], record["replay_of"]) == ("PENDING", failed)
    assert api.get(f"/trainmodel/status/{failed}").json()["status"] == "FAILED"
    succeed(again["task_id"])
    assert api.get("/trainmodel/dead-letters").json()["total"] == 0
    refused = api.post(f"/trainmodel/dead-letters/{failed}/replay")
    assert refused.status_code == 409


def test_a_replay_is_asked_for_what_the_first_training_was(
    api: TestClient, fail: Callable[[str], None], store: TaskStore
) -> None:
    body = meters(1)[0] | {"tuning": {"max_trials": 3}, "deadline_s": 40}
    failed = api.post("/trainmodel/", json=body).json()["task_id"]
    fail(failed)

    again = api.post(f"/trainmodel/dead-letters/{failed}/replay").json()["task_id"]

    claim = store.claim(again, worker="host:1")
    assert claim is not None
    assert (claim.wish.max_trials, claim.wish.deadline_s) == (3, 40)


def test_a_meter_that_fails_again_has_one_dead_letter(
    api: TestClient, fail: Callable[[str], None]
) -> None:
    for _ in range(2):
        failed = api.post("/trainmodel/", json=meters(1)[0]).json()["task_id"]
        fail(failed)

    listed = api.get("/trainmodel/dead-letters").json()
    assert [task["task_id"] for task in listed["tasks"]] == [failed]


def test_all_dead_letters_of_a_kind_are_replayed_as_one_batch(
    api: TestClient, fail: Callable[[str], None], store: TaskStore
) -> None:
    tasks = batch_of(api, {"meters": meters(4)})["tasks"]
    for task in tasks[:3]:
        fail(task["task_id"])
    store.cancel(tasks[3]["task_id"])

    assert api.post("/trainmodel/dead-letters/replay", json={"error_type": "X"}).status_code == 404
    again = api.post("/trainmodel/dead-letters/replay", json={"error_type": "CONNECTION_ERROR"})

    assert again.json()["accepted"] == 3
    batch = api.get(f"/trainmodel/batch/{again.json()['batch_id']}").json()
    assert batch["counts"]["waiting"] == 3
    replayed = {
        api.get(f"/trainmodel/status/{task['task_id']}").json()["replay_of"]
        for task in again.json()["tasks"]
    }
    assert replayed == {task["task_id"] for task in tasks[:3]}


def test_dead_letters_are_paged_without_gap(api: TestClient, fail: Callable[[str], None]) -> None:
    tasks = batch_of(api, {"meters": meters(9)})["tasks"]
    for task in tasks:
        fail(task["task_id"])
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(9):
        parameters: dict[str, Any] = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = api.get("/trainmodel/dead-letters", params=parameters).json()
        seen += [task["task_id"] for task in page["tasks"]]
        cursor = page.get("cursor")
        if cursor is None:
            break

    assert sorted(seen) == sorted(task["task_id"] for task in tasks)
    gone = api.get("/trainmodel/dead-letters", params={"cursor": "abc"})
    assert gone.status_code == 422
