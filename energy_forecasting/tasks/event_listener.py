"""What one client hears of one task: first what has happened, then what happens.

Holds a bounded number of events. A client that reads too slowly loses its listener, not an
event: it opens another one from the last number it has seen.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from energy_forecasting.tasks.task_event import TaskEvent

#: Events that wait for one client; a task has fewer in all, unless it is tried again and again.
QUEUE_LIMIT = 256


class EventListener:
    """A place in one task's audience; belongs to one event loop."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self._replay: Sequence[TaskEvent] = ()
        self._next = 0  #: number of the first event that is neither replayed nor yielded
        self._arrived: asyncio.Queue[TaskEvent | None] = asyncio.Queue(QUEUE_LIMIT)

    def replay(self, past: Sequence[TaskEvent], *, following: int) -> None:
        """Begin with these events; ``following`` is the number of the one after them."""
        self._replay = past
        self._next = following

    def tell(self, event: TaskEvent) -> bool:
        """Pass on what has just happened; False when the client is too slow and was dropped."""
        try:
            self._arrived.put_nowait(event)
        except asyncio.QueueFull:
            self.end()
            return False
        return True

    def end(self) -> None:
        """End the stream now, without what still waits; the client may open another one."""
        while not self._arrived.empty():
            self._arrived.get_nowait()
        self._arrived.put_nowait(None)

    async def events(self, *, heartbeat_s: float) -> AsyncIterator[TaskEvent | None]:
        """Yield each event once, in order, and None whenever none came for so long.

        Ends after the task's last event; before it when the listener was dropped or an event is
        missing.
        """
        for event in self._replay:
            yield event
            if event.is_last:
                return
        while True:
            try:
                async with asyncio.timeout(heartbeat_s):
                    arrived = await self._arrived.get()
            except TimeoutError:
                yield None
                continue
            if arrived is None or arrived.number > self._next:
                return
            if arrived.number < self._next:  # the replay had it
                continue
            self._next += 1
            yield arrived
            if arrived.is_last:
                return
