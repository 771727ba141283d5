"""The reconciler against a real Redis: nothing waits for ever."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from dramatiq.brokers.redis import RedisBroker

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import Stage
from energy_forecasting.tasks.admission import AdmissionDesk
from energy_forecasting.tasks.queue import QUEUE_NAME, TrainingQueue, redis_broker
from energy_forecasting.tasks.reconciler import Reconciler
from energy_forecasting.tasks.redis_client import api_redis
from energy_forecasting.tasks.task_store import LEASES, UNQUEUED, TaskStore

pytestmark = pytest.mark.redis

METER = Meter(meter_type="water", meter_id="m1")


class Parts:
    """The reconciler and what it works on."""

    def __init__(self, url: str) -> None:
        self.client: redis.Redis = api_redis(url)
        self.broker: RedisBroker = redis_broker(api_redis(url, decode_responses=False))
        self.store = TaskStore(self.client, url=url, retention=timedelta(days=1))
        self.queue = TrainingQueue(self.broker, self.store, url=url)
        self.reconciler = Reconciler(self.client, self.store, self.queue, url=url, max_losses=3)

    def messages(self) -> int:
        return int(self.client.llen(f"dramatiq:{QUEUE_NAME}"))

    def close(self) -> None:
        self.client.close()
        self.broker.client.close()


@pytest.fixture
def parts(redis_url: str) -> Iterator[Parts]:
    made = Parts(redis_url)
    yield made
    made.close()


def test_a_record_whose_message_was_never_sent_gets_one(parts: Parts) -> None:
    task_id = parts.store.admit(METER, {}).task_id  # the process died before it sent a message
    parts.client.zadd(UNQUEUED, {task_id: 1})

    assert parts.reconciler.reconcile() == 1
    assert parts.messages() == 1


def test_a_task_that_waits_in_the_queue_is_left_alone(parts: Parts) -> None:
    AdmissionDesk(parts.store, parts.queue).admit(METER, max_trials=0)

    assert parts.reconciler.reconcile() == 0
    assert parts.messages() == 1


def test_a_task_whose_message_was_flushed_gets_another(parts: Parts) -> None:
    AdmissionDesk(parts.store, parts.queue).admit(METER, max_trials=0)
    parts.broker.flush_all()

    assert parts.reconciler.reconcile() == 1
    assert parts.messages() == 1


def test_the_task_of_a_dead_worker_goes_back_to_the_queue(parts: Parts) -> None:
    task_id = parts.store.admit(METER, {}).task_id
    assert parts.store.claim(task_id, worker="host:1") is not None
    parts.client.zadd(LEASES, {task_id: 1})

    assert parts.reconciler.reconcile() == 1
    record = parts.store.get(task_id)
    assert (record.status, record.attempt) == (Stage.PENDING, 2)
    assert parts.messages() == 1


def test_entries_of_a_vanished_record_are_dropped(parts: Parts) -> None:
    parts.client.zadd(LEASES, {"vanished": 1})

    assert parts.reconciler.reconcile() == 0
    assert parts.store.tasks_without_worker() == []


def test_a_forced_training_takes_the_place_of_the_open_task(parts: Parts) -> None:
    desk = AdmissionDesk(parts.store, parts.queue)
    first = desk.admit(METER, max_trials=0)

    second = desk.admit(METER, max_trials=0, force=True)

    assert second.task_id != first.task_id
    assert parts.store.get(first.task_id).status is Stage.CANCELLED
