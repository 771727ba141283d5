"""A write whose answer is lost is sent again by the Redis client, and must change nothing twice."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TypeVar

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import PIPELINE, Stage
from energy_forecasting.tasks.task_store import Claim, TaskStore
from energy_forecasting.tasks.wish import Wish
from tests.conftest import RealRedis

pytestmark = pytest.mark.redis

METER = Meter(meter_type="water", meter_id="m1")

Answer = TypeVar("Answer")


class ForgetfulFront:
    """Stands before Redis; swallows the next answer to a script call and cuts the connection."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.forgets_next = False
        self.forgotten = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=[client], daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            while asked := client.recv(1 << 20):
                server.sendall(asked)
                answer = server.recv(1 << 20)
                if self.forgets_next and b"EVALSHA" in asked:
                    self.forgets_next = False
                    self.forgotten += 1
                    return
                client.sendall(answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def forgetful_front(port: int) -> Iterator[ForgetfulFront]:
    front = ForgetfulFront(port)
    thread = threading.Thread(target=front.serve, daemon=True)
    thread.start()
    yield front
    front.close()
    thread.join(5)


class Parts:
    """A store behind the front, with a client that sends again."""

    def __init__(self, front: ForgetfulFront) -> None:
        url = f"redis://127.0.0.1:{front.port}/0"
        self.front = front
        self.client = redis.Redis.from_url(
            url, decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 2)
        )
        self.store = TaskStore(self.client, url=url, retention=timedelta(days=1))

    def answer_lost(self, call: Callable[[], Answer]) -> Answer:
        self.front.forgets_next = True
        before = self.front.forgotten
        answer = call()
        assert self.front.forgotten == before + 1
        return answer

    def events(self, task_id: str) -> list[str]:
        listed = self.client.lrange(f"ef:task_events:{task_id}", 0, -1)
        return [json.loads(event)["status"] for event in listed]


@pytest.fixture
def parts(redis_server: RealRedis, redis_url: str) -> Iterator[Parts]:
    del redis_url  # empty by now
    with forgetful_front(redis_server.port) as front:
        made = Parts(front)
        made.store.admit(Meter(meter_type="water", meter_id="warm-up"), Wish())  # loads the script
        yield made
        made.client.close()


def test_every_write_of_a_run_may_lose_its_answer(parts: Parts) -> None:
    # Given
    store = parts.store
    task_id = store.admit(METER, Wish()).task_id
    # When
    claim = parts.answer_lost(lambda: store.claim(task_id, worker="host:1"))
    # Then the claim is the caller's although the task was no longer PENDING the second time
    assert isinstance(claim, Claim)
    for stage in PIPELINE[2:-1]:
        parts.answer_lost(partial(store.enter, claim, stage))
    parts.answer_lost(lambda: store.succeed(claim, {"status": "success"}))
    assert store.get(task_id).status is Stage.SUCCESS
    assert parts.events(task_id) == [stage.value for stage in PIPELINE]


def test_a_retry_whose_answer_is_lost_counts_once(parts: Parts) -> None:
    store = parts.store
    task_id = store.admit(METER, Wish()).task_id
    claim = store.claim(task_id, worker="host:1")
    assert claim is not None

    parts.answer_lost(lambda: store.requeue(claim, message="again", delay=timedelta(0)))

    assert store.get(task_id).attempt == 2
    again = store.claim(task_id, worker="host:1")
    assert again is not None
    assert again.retries == 1
