"""Follows the events of all tasks as they are published, to strike at a stage in the moment.

It may miss events while Redis restarts; nothing is judged by it.
"""

import json
import threading
import time
from collections import deque
from dataclasses import dataclass

import redis

from energy_forecasting.domain.stages import Stage
from energy_forecasting.tasks.task_keys import EVENT_CHANNEL_PREFIX
from tests.chaos.patience import end_thread

_REMEMBERED = 1000
_RECONNECT_S = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One event, just published."""

    number: int  #: of all that were seen
    task_id: str
    stage: Stage


class EventStream:
    """A thread that listens; others wait for what it hears."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, decode_responses=True, socket_timeout=1.0)
        self._heard: deque[Seen] = deque(maxlen=_REMEMBERED)
        self._number = 0
        self._condition = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="events", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        end_thread(self._thread, self._stop)
        self._client.close()

    def next_entry(
        self, stage: Stage, *, within_s: float, task_id: str | None = None
    ) -> str | None:
        """Wait until a task, or the one named, enters a stage; return its id, None if none did."""
        deadline = time.monotonic() + within_s
        with self._condition:
            # Of a task that is named, an entry just before the call counts, too.
            heard = self._number if task_id is None else 0
            while True:
                for seen in self._heard:
                    is_new = seen.number > heard and task_id in (None, seen.task_id)
                    if is_new and seen.stage is stage:
                        return seen.task_id
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._condition.wait(left)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen_while_connected()
            except (redis.RedisError, OSError):
                self._stop.wait(_RECONNECT_S)

    def _listen_while_connected(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call] # redis-py's
            channel.psubscribe(f"{EVENT_CHANNEL_PREFIX}*")
            while not self._stop.is_set():
                message = channel.get_message(timeout=0.2)
                if message is not None:
                    self._note(str(message["data"]))

    def _note(self, text: str) -> None:
        event = json.loads(text.partition(" ")[2])
        with self._condition:
            self._number += 1
            self._heard.append(
                Seen(number=self._number, task_id=event["task_id"], stage=Stage(event["status"]))
            )
            self._condition.notify_all()
