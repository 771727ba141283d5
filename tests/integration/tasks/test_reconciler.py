"""The reconciler against a real Redis: nothing waits for ever."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import PIPELINE, Stage
from energy_forecasting.tasks.admission import AdmissionDesk
from energy_forecasting.tasks.batch_store import BatchStore
from energy_forecasting.tasks.dead_letters import DeadLetters
from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.lost_tasks import LostTasks
from energy_forecasting.tasks.queue import TrainingQueue, redis_broker
from energy_forecasting.tasks.reconciler import Mending, Reconciler, mendings
from energy_forecasting.tasks.redis_client import api_redis
from energy_forecasting.tasks.task_keys import LEASES, WAITING_PREFIX, WITHDRAWALS
from energy_forecasting.tasks.task_store import TaskStore
from energy_forecasting.tasks.wish import Wish
from energy_forecasting.tasks.workers import WorkerRegistry

pytestmark = pytest.mark.redis

METER = Meter(meter_type="water", meter_id="m1")
OTHER = Meter(meter_type="water", meter_id="m2")


class Parts:
    """The reconciler and what it works on."""

    def __init__(self, url: str) -> None:
        self.client: redis.Redis = api_redis(url)
        self.broker = redis_broker(api_redis(url, decode_responses=False))
        self.store = TaskStore(self.client, url=url, retention=timedelta(days=1))
        self.lost = LostTasks(self.client, self.store, url=url, retention=timedelta(days=1))
        self.queue = TrainingQueue(self.broker, url=url)
        workers = WorkerRegistry(self.client, url=url)
        batches = BatchStore(self.client, self.store, workers, url=url)
        self.desk = AdmissionDesk(
            self.store, self.queue, batches, DeadLetters(self.client, url=url)
        )
        self.withdrawn: list[str] = []
        self.reconciler = Reconciler(
            self.client, self.lost, self.queue, self.broker, self.withdraw, url=url, max_losses=3
        )

    def withdraw(self, _meter: Meter, version: str) -> bool:
        self.withdrawn.append(version)
        return True

    def messages(self, lane: Lane = Lane.SINGLE) -> int:
        return int(self.client.llen(f"dramatiq:{lane.queue_name}"))

    def make_due(self, task_id: str, seconds_ago: float, lane: Lane = Lane.SINGLE) -> None:
        """Pretend that the task's message was due so long ago."""
        moment = self.store.now_ms() - round(1000 * seconds_ago)
        self.client.zadd(WAITING_PREFIX + lane, {task_id: moment})

    def counted(self, mending: Mending) -> int:
        return mendings(self.client, url="redis://")[mending]

    def close(self) -> None:
        self.client.close()
        self.broker.client.close()


@pytest.fixture
def parts(redis_url: str) -> Iterator[Parts]:
    made = Parts(redis_url)
    yield made
    made.close()


def test_a_record_whose_message_was_never_sent_gets_one(parts: Parts) -> None:
    task_id = parts.store.admit(METER, Wish()).task_id  # the process died before it sent a message
    parts.make_due(task_id, 6)

    assert parts.reconciler.reconcile() == {Mending.MESSAGE_SENT_AGAIN: 1}
    assert parts.messages() == 1
    assert parts.reconciler.reconcile() == {}
    assert parts.counted(Mending.MESSAGE_SENT_AGAIN) == 1


def test_a_task_that_waits_in_the_queue_is_left_alone(parts: Parts) -> None:
    task_id = parts.desk.admit(METER, Wish()).task_id
    parts.make_due(task_id, 3600)

    assert parts.reconciler.reconcile() == {}
    assert parts.messages() == 1


def test_a_task_whose_message_was_flushed_gets_another(parts: Parts) -> None:
    task_id = parts.desk.admit(METER, Wish()).task_id
    parts.make_due(task_id, 6)
    parts.broker.flush_all()

    assert parts.reconciler.reconcile() == {Mending.MESSAGE_SENT_AGAIN: 1}
    assert parts.messages() == 1


def test_a_task_that_later_ones_have_overtaken_gets_another_message(parts: Parts) -> None:
    # Given a task without a message, and behind it a queue that is never empty
    lost = parts.store.admit(METER, Wish()).task_id
    parts.make_due(lost, 30)
    later = parts.desk.admit(OTHER, Wish()).task_id
    parts.desk.admit(Meter(meter_type="water", meter_id="m3"), Wish())
    assert parts.reconciler.reconcile() == {}

    # When a task is taken that was due seconds later
    assert parts.store.claim(later, worker="host:1") is not None

    # Then
    assert parts.reconciler.reconcile() == {Mending.MESSAGE_SENT_AGAIN: 1}
    assert parts.messages() == 3


def test_a_delayed_retry_is_not_taken_for_lost(parts: Parts) -> None:
    claim = parts.store.claim(parts.store.admit(METER, Wish()).task_id, worker="host:1")
    assert claim is not None
    parts.store.requeue(claim, message="again", delay=timedelta(seconds=30))

    assert parts.reconciler.reconcile() == {}


def test_the_task_of_a_dead_worker_goes_back_to_the_queue(parts: Parts) -> None:
    task_id = parts.store.admit(METER, Wish()).task_id
    assert parts.store.claim(task_id, worker="host:1") is not None
    parts.client.zadd(LEASES, {task_id: 1})

    assert parts.reconciler.reconcile() == {Mending.TAKEN_FROM_LOST_WORKER: 1}
    record = parts.store.get(task_id)
    assert (record.status, record.attempt) == (Stage.PENDING, 2)
    assert parts.messages() == 1


def test_a_poison_task_is_given_up(parts: Parts) -> None:
    task_id = parts.store.admit(METER, Wish()).task_id
    done = Counter[Mending]()
    for _ in range(3):
        assert parts.store.claim(task_id, worker="host:1") is not None
        parts.client.zadd(LEASES, {task_id: 1})
        done += parts.reconciler.reconcile()

    assert done == {Mending.TAKEN_FROM_LOST_WORKER: 2, Mending.GIVEN_UP: 1}
    record = parts.store.get(task_id)
    assert record.status is Stage.FAILED
    assert record.error_details is not None
    assert record.error_details["type"] == "WORKER_LOST"


def test_what_a_lost_attempt_has_published_is_withdrawn(parts: Parts) -> None:
    task_id = parts.store.admit(METER, Wish()).task_id
    claim = parts.store.claim(task_id, worker="host:1")
    assert claim is not None
    for stage in PIPELINE[2:-2]:
        parts.store.enter(claim, stage)
    parts.store.enter(claim, Stage.SAVING_MODEL, version="v7")
    parts.client.zadd(LEASES, {task_id: 1})

    done = parts.reconciler.reconcile()

    assert parts.withdrawn == ["v7"]
    assert done[Mending.MODEL_WITHDRAWN] == 1
    again = parts.store.claim(task_id, worker="host:2")
    assert again is not None
    assert again.unfinished_versions == ("v7",)


def test_what_a_cancelled_training_has_published_is_withdrawn_should_its_worker_be_dead(
    parts: Parts,
) -> None:
    task_id = parts.store.admit(METER, Wish()).task_id
    claim = parts.store.claim(task_id, worker="host:1")
    assert claim is not None
    for stage in PIPELINE[2:-2]:
        parts.store.enter(claim, stage)
    parts.store.enter(claim, Stage.SAVING_MODEL, version="v7")
    parts.store.cancel(task_id)
    assert parts.reconciler.reconcile() == {}  # the worker may be about to do it

    parts.client.zadd(WITHDRAWALS, {task_id: 1})
    assert parts.reconciler.reconcile() == {Mending.MODEL_WITHDRAWN: 1}
    assert parts.withdrawn == ["v7"]
    assert parts.reconciler.reconcile() == {}


def test_a_task_of_an_earlier_release_is_adopted(parts: Parts) -> None:
    # Given a record that was admitted when waiting tasks were not listed
    task_id = parts.store.admit(METER, Wish()).task_id
    parts.client.zrem(WAITING_PREFIX + Lane.SINGLE, task_id)
    parts.client.hdel(f"ef:task:{task_id}", "lane")

    assert parts.reconciler.reconcile() == {Mending.STRAY_ADOPTED: 1}
    parts.make_due(task_id, 6)
    assert parts.reconciler.reconcile() == {Mending.MESSAGE_SENT_AGAIN: 1}


def test_entries_of_a_vanished_record_are_dropped(parts: Parts) -> None:
    parts.client.zadd(LEASES, {"vanished": 1})

    assert parts.reconciler.reconcile() == {Mending.RECORD_VANISHED: 1}
    assert parts.lost.tasks_without_worker() == []


def test_a_waiting_task_whose_record_has_vanished_is_not_sent_for_ever(parts: Parts) -> None:
    parts.make_due("vanished", 6, Lane.BATCH)

    assert parts.reconciler.reconcile() == {Mending.RECORD_VANISHED: 1}
    assert parts.reconciler.reconcile() == {}
    assert parts.messages(Lane.BATCH) == 0


def test_a_forced_training_takes_the_place_of_the_open_task(parts: Parts) -> None:
    first = parts.desk.admit(METER, Wish())

    second = parts.desk.admit(METER, Wish(), force=True)

    assert second.task_id != first.task_id
    assert parts.store.get(first.task_id).status is Stage.CANCELLED


def test_a_message_whose_fetch_was_answered_to_nobody_is_returned(parts: Parts) -> None:
    # Given a message that Redis has leased to this process, which never got the answer
    parts.desk.admit(METER, Wish())
    parts.broker.do_fetch(Lane.SINGLE.queue_name, 1)
    assert parts.messages() == 0

    # When
    first, second = parts.reconciler.return_strays(), parts.reconciler.return_strays()

    # Then
    assert (first, second) == (0, 1)
    assert parts.messages() == 1
    assert parts.counted(Mending.MESSAGE_RETURNED) == 1
    assert parts.reconciler.return_strays() == 0


def test_a_message_that_is_being_worked_on_is_not_returned(parts: Parts) -> None:
    parts.desk.admit(METER, Wish())
    consumer = parts.broker.consume(Lane.SINGLE.queue_name, prefetch=1, timeout=10)
    message = next(consumer)
    assert message is not None

    assert [parts.reconciler.return_strays() for _ in range(3)] == [0, 0, 0]
    consumer.ack(message)
    assert not parts.client.exists("dramatiq:training.msgs")


def test_delayed_messages_that_a_consumer_has_thrown_away_are_returned(parts: Parts) -> None:
    # Given a delayed message in the memory of a consumer that lost its connection
    task_id = parts.store.admit(METER, Wish()).task_id
    parts.queue.send(task_id, Lane.SINGLE, delay=timedelta(seconds=1))
    delayed = f"{Lane.SINGLE.queue_name}.DQ"
    assert next(parts.broker.consume(delayed, prefetch=1, timeout=10)) is not None
    assert [parts.reconciler.return_strays() for _ in range(3)] == [0, 0, 0]

    # When Dramatiq starts another one in its place
    parts.broker.consume(delayed, prefetch=1, timeout=10)

    # Then
    assert [parts.reconciler.return_strays() for _ in range(2)] == [0, 1]
    assert int(parts.client.llen(f"dramatiq:{delayed}")) == 1
