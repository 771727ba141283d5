"""Events of tasks as they happen, for any number of listeners over one subscription to Redis.

A listener subscribes first, then reads what its task's list holds, then drops what comes twice, so
that nothing falls in between. When the subscription is lost every stream ends: what was published
meanwhile is in the lists, and whoever opens another stream from the last number seen gets it.

Belongs to one event loop. Never tries to subscribe again by itself; the next listener does.
"""

import asyncio
import contextlib
from contextvars import Context
from typing import Any, cast

import redis.asyncio
import structlog
from redis.asyncio.client import PubSub

from energy_forecasting.domain.errors import ConnectionFailed, EnergyForecastingError
from energy_forecasting.tasks.event_listener import EventListener
from energy_forecasting.tasks.gathered_reads import GatheredReads
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_event import TaskEvent
from energy_forecasting.tasks.task_keys import EVENT_CHANNEL_PREFIX, TASK_EVENTS_PREFIX
from energy_forecasting.tasks.task_store import no_such_task

#: After so long without a word Redis is asked for one, and after as long again given up.
SILENCE_S = 5.0

_CONFIRMATION_S = 1.0

logger = structlog.get_logger("tasks.events")


class TaskEvents:
    """Lets clients listen to tasks.

    Args:
        client: for the subscription; closed with this.
        reads: of the same Redis.
        url: of the Redis, for messages.
    """

    def __init__(self, client: redis.asyncio.Redis, reads: GatheredReads, *, url: str) -> None:
        self._client = client
        self._reads = reads
        self._url = url
        self._listeners: dict[str, set[EventListener]] = {}
        self._subscribing = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._is_ending = False

    @property
    def listener_count(self) -> int:
        """How many clients listen now."""
        return sum(map(len, self._listeners.values()))

    async def open(self, task_id: str, *, seen: int | None) -> EventListener | None:
        """Return a listener, to be given back with ``close``; None when nothing can follow.

        Args:
            task_id: the task to listen to.
            seen: number of the last event that the client has; None: it has none. A number that
                the task has not reached counts as none: its Redis lost its last second.

        Raises:
            NotFound: there is no such task.
            ConnectionFailed: Redis cannot be reached, or the process is about to stop.
        """
        if self._is_ending:
            raise ConnectionFailed("The API is stopping; ask again in a moment.", server="api")
        listener = EventListener(task_id)
        self._listeners.setdefault(task_id, set()).add(listener)
        try:
            with redis_faults_translated(self._url):
                await self._subscribe()
            past = await self._past(task_id, seen)
        except BaseException:
            self.close(listener)
            raise
        last = past[-1]
        if last.is_last and last.number == seen:
            self.close(listener)
            return None
        listener.replay(
            [event for event in past if event.number != seen], following=last.number + 1
        )
        return listener

    def close(self, listener: EventListener) -> None:
        """Take a listener back; one that was taken back before is no error."""
        audience = self._listeners.get(listener.task_id, set())
        audience.discard(listener)
        if not audience:
            self._listeners.pop(listener.task_id, None)

    def end(self) -> None:
        """End every stream and let none begin, as the process is about to stop."""
        self._is_ending = True
        self._end_streams()

    async def aclose(self) -> None:
        """End everything and leave Redis."""
        self.end()
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        await self._client.aclose()

    async def _past(self, task_id: str, seen: int | None) -> list[TaskEvent]:
        """Return the task's events from the last one seen on, which is included."""
        key = TASK_EVENTS_PREFIX + task_id
        first = seen or 0
        texts = await self._reads.list_from(key, first)
        if not texts and first:
            first = 0
            texts = await self._reads.list_from(key, first)
        if not texts:
            raise no_such_task(task_id)
        return [TaskEvent.from_text(number, text) for number, text in enumerate(texts, first)]

    async def _subscribe(self) -> None:
        """Return once Redis has confirmed that every event will be heard."""
        async with self._subscribing:
            if self._reading is not None and not self._reading.done():
                return
            subscription = self._client.pubsub()
            try:
                await subscription.psubscribe(EVENT_CHANNEL_PREFIX + "*")
                await _next_message(subscription, within_s=_CONFIRMATION_S)
            except BaseException:
                await _leave(subscription)
                raise
            # Its log lines belong to no request.
            self._reading = asyncio.create_task(self._read(subscription), context=Context())

    async def _read(self, subscription: PubSub) -> None:
        try:
            with redis_faults_translated(self._url):
                await self._pass_on(subscription)
        except EnergyForecastingError as fault:
            logger.warning(
                "Event subscription lost; its streams end",
                reason=fault.message,
                streams=self.listener_count,
            )
        finally:
            self._end_streams()
            await _leave(subscription)

    async def _pass_on(self, subscription: PubSub) -> None:
        """Hand each event to those who listen to its task, until the subscription is lost."""
        while True:
            message = await subscription.get_message(timeout=SILENCE_S)
            if message is None:
                await subscription.ping()
                message = await _next_message(subscription, within_s=SILENCE_S)
            if message["type"] == "pmessage":
                self._tell(message["channel"].removeprefix(EVENT_CHANNEL_PREFIX), message["data"])

    def _tell(self, task_id: str, text: str) -> None:
        audience = self._listeners.get(task_id)
        if not audience:
            return
        number, _, body = text.partition(" ")
        event = TaskEvent.from_text(int(number), body)
        for listener in list(audience):
            if not listener.tell(event):
                self.close(listener)

    def _end_streams(self) -> None:
        for audience in self._listeners.values():
            for listener in audience:
                listener.end()


async def _next_message(subscription: PubSub, *, within_s: float) -> dict[str, Any]:
    message = await subscription.get_message(timeout=within_s)
    if message is None:
        raise redis.exceptions.TimeoutError("no word on the subscription")
    return cast("dict[str, Any]", message)


async def _leave(subscription: PubSub) -> None:
    await subscription.aclose()  # type: ignore[no-untyped-call] # redis-py left its types out
