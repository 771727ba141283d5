"""The Dramatiq queues that carry task ids to workers.

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
from dramatiq.common import dq_name
from dramatiq.middleware import Middleware

from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.leasing_broker import LeasingBroker
from energy_forecasting.tasks.redis_client import redis_faults_translated

#: A worker process that has been silent so long is taken for dead and its messages go back.
HEARTBEAT_TIMEOUT_MS = 10_000
#: Look for dead workers on every call (out of a million); they are rare, waiting for one is not.
ALWAYS = 1_000_000
#: Messages that one pipeline carries.
_PIPELINE_CALLS = 500


def redis_broker(client: redis.Redis, middleware: Sequence[Middleware] = ()) -> LeasingBroker:
    """Return a broker on the client; the client must not decode responses."""
    broker = LeasingBroker(
        client=client,
        middleware=list(middleware),
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        maintenance_chance=ALWAYS,
    )
    for lane in Lane:
        broker.declare_queue(lane.queue_name)
    return broker


class TrainingQueue:
    """Sends task ids to workers.

    Every call raises ``ConnectionFailed`` when Redis cannot be reached. A message that is not
    sent, because the process dies before, or that gets lost, is sent by the reconciler.
    """

    def __init__(self, broker: RedisBroker, *, url: str) -> None:
        self._broker = broker
        self._url = url

    def send(self, task_id: str, lane: Lane, *, delay: timedelta | None = None) -> None:
        """Put a message into the lane's queue, to be delivered after the delay."""
        delay_ms = int(delay.total_seconds() * 1000) if delay else None
        with redis_faults_translated(self._url):
            self._broker.enqueue(_message(task_id, lane), delay=delay_ms)

    def send_many(self, task_ids: Sequence[str], lane: Lane) -> None:
        """Put a message for each task into the lane's queue, in order and few round trips."""
        with redis_faults_translated(self._url):
            # Dramatiq asks Redis once for a limit of its own; in a pipeline it could not.
            self._broker.do_qsize(lane.queue_name)
            for first in range(0, len(task_ids), _PIPELINE_CALLS):
                pipeline = self._broker.client.pipeline(transaction=False)
                sender = redis_broker(pipeline)
                sender.broker_id = self._broker.broker_id  # or Redis would learn of a new worker
                for task_id in task_ids[first : first + _PIPELINE_CALLS]:
                    sender.enqueue(_message(task_id, lane))
                pipeline.execute()

    def is_empty(self, lane: Lane) -> bool:
        """Whether no message of the lane waits for a worker, due or delayed."""
        namespace, name = self._broker.namespace, lane.queue_name
        with redis_faults_translated(self._url):
            pipeline = self._broker.client.pipeline(transaction=False)
            pipeline.llen(f"{namespace}:{name}")
            pipeline.llen(f"{namespace}:{dq_name(name)}")
            return not any(pipeline.execute())


def _message(task_id: str, lane: Lane) -> "dramatiq.Message[None]":
    return dramatiq.Message(
        queue_name=lane.queue_name,
        actor_name=lane.actor_name,
        args=(task_id,),
        kwargs={},
        options={},
    )
