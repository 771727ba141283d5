"""The Dramatiq queue that carries task ids to workers.

A message holds nothing but the task's id: what to do stands in the record, so a message that is
delivered twice, or late, can do no harm. Middleware is listed in full; Dramatiq's retries and
time limits are left out because the record counts attempts and killing the trainer ends overlong
work (an exception raised into a thread cannot stop native code).
"""

from collections.abc import Sequence
from datetime import timedelta

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware

from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_store import TaskStore

QUEUE_NAME = "training"
ACTOR_NAME = "train_model"

#: A worker process that has been silent so long is taken for dead and its messages go back.
HEARTBEAT_TIMEOUT_MS = 10_000
#: Look for dead workers on every call (out of a million); they are rare, waiting for one is not.
ALWAYS = 1_000_000


def redis_broker(client: redis.Redis, middleware: Sequence[Middleware] = ()) -> RedisBroker:
    """Return a broker on the client; the client must not decode responses."""
    broker = RedisBroker(  # type: ignore[no-untyped-call]
        client=client,
        middleware=list(middleware),
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        maintenance_chance=ALWAYS,
    )
    broker.declare_queue(QUEUE_NAME)
    return broker


class TrainingQueue:
    """Sends task ids to workers, and notes in the record that it did."""

    def __init__(self, broker: dramatiq.Broker, store: TaskStore, *, url: str) -> None:
        self._broker = broker
        self._store = store
        self._url = url

    def send(self, task_id: str, *, delay: timedelta | None = None) -> None:
        """Put a message into the queue, to be delivered after the delay.

        Should the process die before that is noted, the reconciler sends another; it is dropped.

        Raises:
            ConnectionFailed: Redis cannot be reached.
        """
        message: dramatiq.Message[None] = dramatiq.Message(
            queue_name=QUEUE_NAME, actor_name=ACTOR_NAME, args=(task_id,), kwargs={}, options={}
        )
        delay_ms = int(delay.total_seconds() * 1000) if delay else None
        with redis_faults_translated(self._url):
            self._broker.enqueue(message, delay=delay_ms)
        self._store.mark_enqueued(task_id)

    def is_empty(self) -> bool:
        """Whether no message waits, is delayed or is being worked on."""
        with redis_faults_translated(self._url):
            # RedisBroker makes its do_... commands on demand, so no type knows them.
            return not self._broker.do_qsize(QUEUE_NAME)  # type: ignore[attr-defined]
