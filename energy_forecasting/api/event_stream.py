"""A task's events as a response of kind ``text/event-stream`` (HTML standard, section 9.2).

The framing is FastAPI's; its ``EventSourceResponse`` is not used, as a route of that kind can no
longer answer 404 or 503. A client that has left is noticed by the server, or at the next write.
"""

from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Receive, Scope, Send

from energy_forecasting.tasks.event_listener import EventListener
from energy_forecasting.tasks.task_events import TaskEvents

#: A comment so often keeps proxies from closing a silent stream.
HEARTBEAT_S = 15.0
#: When the client is to come back after a stream that ended early.
RETRY_MS = 2_000


class EventStream(StreamingResponse):
    """Sends what a listener hears and gives the listener back, however the stream ends."""

    media_type = "text/event-stream"

    def __init__(self, hub: TaskEvents, listener: EventListener) -> None:
        # Keeps nginx from collecting events.
        super().__init__(_frames(listener), headers={"X-Accel-Buffering": "no"})
        self._hub = hub
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.close(self._listener)


async def _frames(listener: EventListener) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RETRY_MS)
    async for event in listener.events(heartbeat_s=HEARTBEAT_S):
        if event is None:
            yield KEEPALIVE_COMMENT
        else:
            text = event.model_dump_json(exclude_none=True)
            yield format_sse_event(data_str=text, id=str(event.number))
