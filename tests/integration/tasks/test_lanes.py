"""A real Dramatiq worker on a real Redis: batches and single requests side by side."""

import threading
import time
from collections.abc import Iterator

import dramatiq
import pytest

from energy_forecasting.tasks.actor import TrainingMiddleware, declare_train_model
from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.queue import TrainingQueue, redis_broker
from energy_forecasting.tasks.redis_client import worker_redis
from energy_forecasting.tasks.stop_order import StopOrder
from tests.conftest import wait_until

pytestmark = pytest.mark.redis

THREADS = 2
WATCHED_S = 0.5


class Desk:
    """Stands in for the pipeline: a task runs until it is told to end."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.ended: list[str] = []
        self.most_of_batch = 0
        self._may_end: set[str] = set()
        self._changed = threading.Condition()

    def run(self, task_id: str) -> None:
        with self._changed:
            self.running.append(task_id)
            of_batch = sum(each.startswith("batch") for each in self.running)
            self.most_of_batch = max(self.most_of_batch, of_batch)
            self._changed.wait_for(lambda: task_id in self._may_end, timeout=30)
            self.running.remove(task_id)
            self.ended.append(task_id)

    def end(self, *task_ids: str) -> None:
        with self._changed:
            self._may_end.update(task_ids)
            self._changed.notify_all()


class Runtime:
    """What the middleware starts."""

    def __init__(self, desk: Desk) -> None:
        self.pipeline = desk

    def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def queue(redis_url: str, desk: Desk) -> Iterator[TrainingQueue]:
    broker = redis_broker(worker_redis(redis_url, decode_responses=False))

    def build(threads: int, stop_order: StopOrder) -> Runtime:
        del threads, stop_order
        return Runtime(desk)

    middleware = TrainingMiddleware(build, grace_s=0, drain_limit_s=0)  # type: ignore[arg-type]
    broker.add_middleware(middleware)
    for lane in Lane:
        declare_train_model(broker, middleware, lane)
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    worker.start()
    yield TrainingQueue(broker, url=redis_url)
    desk.end(*(f"batch-{n}" for n in range(20)), *(f"single-{n}" for n in range(20)))
    worker.stop()
    broker.client.close()


def test_a_single_request_never_waits_behind_a_batch(queue: TrainingQueue, desk: Desk) -> None:
    # Given a batch that keeps the worker at work
    queue.send_many([f"batch-{n}" for n in range(10)], Lane.BATCH)
    wait_until(lambda: len(desk.running) == THREADS, within_s=5)
    time.sleep(WATCHED_S)
    assert len(desk.running) == THREADS
    # When
    queue.send("single-0", Lane.SINGLE)
    # Then it runs beside the batch's trainings
    wait_until(lambda: "single-0" in desk.running, within_s=2)
    assert len(desk.running) == THREADS + 1
    assert desk.most_of_batch == THREADS


def test_many_single_requests_leave_a_place_to_the_batch(queue: TrainingQueue, desk: Desk) -> None:
    for number in range(6):
        queue.send(f"single-{number}", Lane.SINGLE)
    wait_until(lambda: len(desk.running) == THREADS, within_s=5)
    queue.send_many(["batch-0", "batch-1"], Lane.BATCH)

    wait_until(lambda: "batch-0" in desk.running, within_s=2)
    assert [each for each in desk.running if each.startswith("single")] == ["single-0", "single-1"]


def test_of_two_that_wait_in_the_process_the_single_request_goes_first(
    queue: TrainingQueue, desk: Desk
) -> None:
    # Given a worker all of whose threads are at work, one with a single request
    queue.send("single-0", Lane.SINGLE)
    queue.send_many(["batch-0", "batch-1", "batch-2"], Lane.BATCH)
    wait_until(lambda: len(desk.running) == THREADS + 1, within_s=5)
    queue.send("single-1", Lane.SINGLE)
    time.sleep(WATCHED_S)
    # When a training of the batch ends
    desk.end("batch-0")
    # Then
    wait_until(lambda: "single-1" in desk.running, within_s=2)


def test_a_batch_is_trained_in_its_order(queue: TrainingQueue, desk: Desk) -> None:
    names = [f"batch-{n}" for n in range(8)]
    desk.end(*names)
    queue.send_many(names, Lane.BATCH)

    wait_until(lambda: len(desk.ended) == len(names), within_s=10)
    for name in names:
        assert abs(desk.ended.index(name) - names.index(name)) <= THREADS
