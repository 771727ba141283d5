"""Task records in a real Redis: admission, stages, fencing, retries, lost workers."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis

from energy_forecasting.domain.errors import Conflict, ConnectionFailed, NoDataFound, NotFound
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import PIPELINE, Stage
from energy_forecasting.tasks.lost_tasks import LostTasks
from energy_forecasting.tasks.redis_client import api_redis
from energy_forecasting.tasks.task_keys import LEASES
from energy_forecasting.tasks.task_store import Claim, TaskGone, TaskStore
from energy_forecasting.tasks.wish import Wish

pytestmark = pytest.mark.redis

METER = Meter(meter_type="water", meter_id="m1")
OTHER = Meter(meter_type="water", meter_id="m2")
RETENTION = timedelta(days=7)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    connection = api_redis(redis_url)
    yield connection
    connection.close()


@pytest.fixture
def store(client: redis.Redis, redis_url: str) -> TaskStore:
    return TaskStore(client, url=redis_url, retention=RETENTION)


@pytest.fixture
def lost(client: redis.Redis, store: TaskStore, redis_url: str) -> LostTasks:
    return LostTasks(client, store, url=redis_url, retention=RETENTION)


def admitted(store: TaskStore, meter: Meter = METER) -> str:
    return store.admit(meter, Wish()).task_id


def claimed(store: TaskStore, task_id: str, worker: str = "host:1") -> Claim:
    claim = store.claim(task_id, worker=worker)
    assert claim is not None
    return claim


def lose_lease(client: redis.Redis, task_id: str) -> None:
    client.zadd(LEASES, {task_id: 1})


def test_an_admitted_task_is_pending_with_the_contracts_message(store: TaskStore) -> None:
    record = store.get(admitted(store))

    assert record.status is Stage.PENDING
    assert record.progress == 0
    assert record.message == "Task queued for processing"
    assert record.attempt == 1


def test_a_meter_has_one_open_task(store: TaskStore) -> None:
    first = store.admit(METER, Wish())
    again = store.admit(METER, Wish())
    other = store.admit(OTHER, Wish())

    assert again.deduplicated
    assert again.task_id == first.task_id
    assert not other.deduplicated


def test_admission_by_many_threads_at_once_yields_one_task(store: TaskStore) -> None:
    admissions = []
    start = threading.Barrier(8)

    def admit() -> None:
        start.wait()
        admissions.append(store.admit(METER, Wish()))

    threads = [threading.Thread(target=admit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({admission.task_id for admission in admissions}) == 1
    assert sum(not admission.deduplicated for admission in admissions) == 1


def test_a_task_runs_through_all_stages_and_then_frees_its_meter(
    store: TaskStore, client: redis.Redis
) -> None:
    task_id = admitted(store)
    claim = claimed(store, task_id)
    for stage in PIPELINE[2:-1]:
        store.enter(claim, stage)
        if stage is Stage.TRAINING_MODEL:
            store.report_training(claim, 0.5, "Training model... Tuning")
            assert store.get(task_id).progress == 69
    store.succeed(claim, {"status": "success"})

    record = store.get(task_id)
    assert record.status is Stage.SUCCESS
    assert record.progress == 100
    assert record.result == {"status": "success"}
    assert record.estimated_completion is None
    assert not store.admit(METER, Wish()).deduplicated
    seen = [
        json.loads(event)["status"] for event in client.lrange(f"ef:task_events:{task_id}", 0, -1)
    ]
    assert list(dict.fromkeys(seen)) == [stage.value for stage in PIPELINE]
    assert 0 < client.pttl(f"ef:task:{task_id}") <= RETENTION.total_seconds() * 1000


def test_stages_cannot_be_skipped(store: TaskStore) -> None:
    claim = claimed(store, admitted(store))

    with pytest.raises(TaskGone, match="FORBIDDEN"):
        store.enter(claim, Stage.SAVING_MODEL)


def test_progress_never_goes_back_within_an_attempt(store: TaskStore) -> None:
    task_id = admitted(store)
    claim = claimed(store, task_id)
    for stage in PIPELINE[2:6]:
        store.enter(claim, stage)
    store.report_training(claim, 0.8, "far")
    store.report_training(claim, 0.2, "late message")

    assert store.get(task_id).progress == 81


def test_of_two_messages_for_a_task_one_gets_the_claim(store: TaskStore) -> None:
    task_id = admitted(store)

    assert store.claim(task_id, worker="host:1") is not None
    assert store.claim(task_id, worker="host:2") is None


def test_a_failure_says_why_and_is_final(store: TaskStore) -> None:
    task_id = admitted(store)
    claim = claimed(store, task_id)
    store.fail(claim, NoDataFound("Meter water/m1 has no readings.", meter_id="m1"))

    record = store.get(task_id)
    assert record.status is Stage.FAILED
    assert record.error == "Meter water/m1 has no readings."
    assert record.error_details == {"type": "NO_DATA_FOUND", "retryable": False, "meter_id": "m1"}
    with pytest.raises(TaskGone, match="FAILED"):
        store.enter(claim, Stage.CONNECTING)


def test_a_cancelled_task_refuses_its_worker_and_cancelling_again_changes_nothing(
    store: TaskStore,
) -> None:
    task_id = admitted(store)
    claim = claimed(store, task_id)

    cancelled = store.cancel(task_id)
    assert cancelled.status is Stage.CANCELLED
    assert cancelled.error_details == {"type": "CANCELLED", "retryable": False}
    assert store.cancel(task_id) == cancelled
    with pytest.raises(TaskGone, match="CANCELLED"):
        store.renew(claim)


def test_a_finished_task_cannot_be_cancelled(store: TaskStore) -> None:
    task_id = admitted(store)
    store.fail(claimed(store, task_id), NoDataFound("none"))

    with pytest.raises(Conflict):
        store.cancel(task_id)


def test_a_requeued_task_is_pending_again_with_the_next_attempt(store: TaskStore) -> None:
    task_id = admitted(store)
    first = claimed(store, task_id)
    store.requeue(first, message="InfluxDB away. Trying again", delay=timedelta(seconds=2))

    record = store.get(task_id)
    assert (record.status, record.attempt, record.progress) == (Stage.PENDING, 2, 0)
    assert claimed(store, task_id).retries == 1


def test_a_stale_attempt_cannot_write_once_the_task_has_been_given_away(
    store: TaskStore, lost: LostTasks, client: redis.Redis
) -> None:
    task_id = admitted(store)
    asleep = claimed(store, task_id)
    lose_lease(client, task_id)
    assert lost.tasks_without_worker() == [task_id]
    assert lost.release_lost(task_id, max_losses=3)
    awake = claimed(store, task_id, worker="host:2")

    with pytest.raises(TaskGone, match="STALE"):
        store.enter(asleep, Stage.CONNECTING)
    store.enter(awake, Stage.CONNECTING)


def test_a_task_that_kills_its_workers_fails_in_the_end(
    store: TaskStore, lost: LostTasks, client: redis.Redis
) -> None:
    task_id = admitted(store)
    for _ in range(2):
        claimed(store, task_id)
        lose_lease(client, task_id)
        assert lost.release_lost(task_id, max_losses=3)
    claimed(store, task_id)
    lose_lease(client, task_id)

    released = lost.release_lost(task_id, max_losses=3)
    assert released is not None
    assert not released.is_requeued
    record = store.get(task_id)
    assert record.status is Stage.FAILED
    assert record.error_details is not None
    assert record.error_details["type"] == "WORKER_LOST"


def test_a_living_worker_keeps_its_task(store: TaskStore, lost: LostTasks) -> None:
    task_id = admitted(store)
    store.renew(claimed(store, task_id))

    assert lost.tasks_without_worker() == []
    assert lost.release_lost(task_id, max_losses=3) is None
    assert store.get(task_id).status is Stage.STARTED


def test_an_estimate_appears_once_earlier_tasks_have_shown_how_long_stages_take(
    store: TaskStore,
) -> None:
    first = claimed(store, admitted(store))
    assert store.get(first.task_id).estimated_completion is None
    for stage in PIPELINE[2:-1]:
        store.enter(first, stage)
    store.succeed(first, {})

    second = claimed(store, admitted(store))

    assert store.get(second.task_id).estimated_completion is not None


def test_listing_pages_newest_first_and_filters(store: TaskStore, client: redis.Redis) -> None:
    ids = [admitted(store, Meter(meter_type="gas", meter_id=f"g{i}")) for i in range(5)]
    for place, task_id in enumerate(ids):  # tests run within a millisecond; space them out
        client.zadd("ef:tasks", {task_id: 1_000 + place})
    store.cancel(ids[2])

    page = store.find(limit=2)
    rest = store.find(limit=5, cursor=page.cursor)
    cancelled = store.find(status=Stage.CANCELLED)
    one_meter = store.find(meter_id="g4")

    assert [record.task_id for record in page.tasks] == [ids[4], ids[3]]
    assert [record.task_id for record in rest.tasks] == [ids[2], ids[1], ids[0]]
    assert rest.cursor is None
    assert [record.task_id for record in cancelled.tasks] == [ids[2]]
    assert [record.task_id for record in one_meter.tasks] == [ids[4]]


def test_an_unknown_task_is_not_found(store: TaskStore) -> None:
    with pytest.raises(NotFound):
        store.get("no-such-task")


def test_a_dead_redis_is_a_connection_error_that_hides_the_password() -> None:
    url = "redis://:hunter2@127.0.0.1:1/0"
    store = TaskStore(api_redis(url), url=url, retention=RETENTION)

    with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:1 cannot be reached") as caught:
        store.admit(METER, Wish())

    assert "hunter2" not in str(caught.value)
