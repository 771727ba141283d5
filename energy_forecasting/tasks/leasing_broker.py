"""A Redis broker that knows which messages its process really holds, and returns the others.

Dramatiq leases a message to the process that fetched it until it is acknowledged. When the
answer to a fetch or an acknowledgement is lost on its way, the message stays leased to a living
process that does not have it, for as long as that process lives. ``return_strays`` finds such
messages. It also turns a Redis time-out into the connection error that Dramatiq's threads
survive. It cannot tell a message whose lease Redis itself has lost; the reconciler does.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import redis
from dramatiq import Message, MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import dq_name
from dramatiq.errors import ConnectionClosed


class LeasingBroker(RedisBroker):
    """A ``RedisBroker`` with a record of the messages in this process."""

    def __init__(self, *, client: redis.Redis, **options: object) -> None:
        super().__init__(client=client, **options)
        self.held = HeldMessages()

    @property
    def consumer_class(self) -> type["_LeasingConsumer"]:
        """What Dramatiq's consumer threads fetch with."""
        return _LeasingConsumer

    def return_strays(self) -> int:
        """Put back into their queues what is leased to this process but not held by it.

        A message must be missing at two calls in a row, as it may just be on its way. Call it
        every few seconds. Returns how many were put back.
        """
        returned = 0
        for queue_name in sorted(self.queues):
            for name in (queue_name, dq_name(queue_name)):
                key = f"{self.namespace}:__acks__.{self.broker_id}.{name}"
                leased = {_text(each) for each in cast("set[bytes]", self.client.smembers(key))}
                strays = self.held.strays(name, leased)
                if strays:
                    self.do_requeue(name, *strays)
                returned += len(strays)
        return returned


class HeldMessages:
    """The Redis ids of the messages that this process has fetched and not yet settled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, set[str]] = {}
        self._missing: dict[str, set[str]] = {}

    def add(self, queue_name: str, redis_id: str) -> None:
        """Note a message that has come."""
        with self._lock:
            self._held.setdefault(queue_name, set()).add(redis_id)

    def drop(self, queue_name: str, redis_ids: Iterable[str]) -> None:
        """Note messages that are settled."""
        with self._lock:
            self._held.setdefault(queue_name, set()).difference_update(redis_ids)

    def drop_all(self, queue_name: str) -> None:
        """Note that all messages of a queue have left this process's memory."""
        with self._lock:
            self._held.pop(queue_name, None)

    def strays(self, queue_name: str, leased: set[str]) -> set[str]:
        """Return which leased messages are not held now and were not at the last call."""
        with self._lock:
            missing = leased - self._held.get(queue_name, set())
            strays = missing & self._missing.get(queue_name, set())
            self._missing[queue_name] = missing - strays
            return strays


class _LeasingConsumer(_RedisConsumer):
    """Dramatiq's consumer of one queue, which notes what it holds."""

    def __init__(self, broker: LeasingBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)
        self._held = broker.held
        if queue_name.endswith(".DQ"):
            # A consumer thread that starts anew has thrown away the delayed messages it had.
            self._held.drop_all(queue_name)

    def __next__(self) -> MessageProxy | None:
        with _time_outs_as_lost_connections():
            message = super().__next__()
        if message is not None:
            self._held.add(self.queue_name, _redis_id(message))
        return cast("MessageProxy | None", message)

    def ack(self, message: MessageProxy) -> None:
        with _time_outs_as_lost_connections():  # on which Dramatiq tries again
            super().ack(message)
        self._held.drop(self.queue_name, [_redis_id(message)])

    def nack(self, message: MessageProxy) -> None:
        with _time_outs_as_lost_connections():
            super().nack(message)
        self._held.drop(self.queue_name, [_redis_id(message)])

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        listed = list(messages)
        try:
            with _time_outs_as_lost_connections():
                super().requeue(listed)
        finally:
            # They have left the memory in any case; those that Redis did not get are strays.
            self._held.drop(self.queue_name, map(_redis_id, listed))


@contextmanager
def _time_outs_as_lost_connections() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise ConnectionClosed(error) from error


def _redis_id(message: "MessageProxy | Message[object]") -> str:
    return str(message.options["redis_message_id"])


def _text(redis_id: bytes | str) -> str:
    return redis_id.decode() if isinstance(redis_id, bytes) else redis_id
