"""Listen to a task."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from energy_forecasting.api.deps import TaskEventsDep
from energy_forecasting.api.event_stream import EventStream
from energy_forecasting.api.schemas import UNKNOWN
from energy_forecasting.domain.errors import InvalidRequest

router = APIRouter(prefix="/trainmodel", tags=["training"])

EXAMPLE = """\
retry: 2000

data: {"task_id":"0b0e...","status":"PENDING","progress":0,"message":"Task queued for processing",\
"attempt":1,"updated_at":"2026-01-15T10:33:31.204000Z"}
id: 0

data: {"task_id":"0b0e...","status":"STARTED","progress":0,"message":"Worker picked up the task",\
"attempt":1,"updated_at":"2026-01-15T10:33:31.239000Z"}
id: 1

: ping

data: {"task_id":"0b0e...","status":"SUCCESS","progress":100,\
"message":"Model training completed successfully!",\
"attempt":1,"updated_at":"2026-01-15T10:33:35.702000Z"}
id: 14

"""

NOTHING_FOLLOWS = 204
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One event per stage or step of progress; the stream ends after SUCCESS, "
        "FAILED or CANCELLED",
        "content": {"text/event-stream": {"example": EXAMPLE}},
    },
    NOTHING_FOLLOWS: {"description": "The task has ended and Last-Event-ID is its last event"},
    **UNKNOWN,
}

_NUMBER = re.compile(r"[0-9]{1,9}")


@router.get(
    "/events/{task_id}",
    summary="Listen to a task",
    response_class=StreamingResponse,
    responses=RESPONSES,
)
async def events(
    task_id: str,
    hub: TaskEventsDep,
    last_event_id: Annotated[
        str | None,
        Header(description="The id of the last event seen; left out: from the first one"),
    ] = None,
) -> Response:
    """Send the task's events, past and coming, as server-sent events.

    A browser's `EventSource` goes on by itself after a lost connection, without gap or repeat: it
    sends the last id as `Last-Event-ID`. A comment every 15 seconds keeps the connection open.
    A stream may end before the task does (Redis or the API restarted, the client read too
    slowly); come back with the last id. Result and time left are in the task's status.
    """
    listener = await hub.open(task_id, seen=_number(last_event_id))
    return EventStream(hub, listener) if listener else Response(status_code=NOTHING_FOLLOWS)


def _number(last_event_id: str | None) -> int | None:
    if not last_event_id:
        return None
    if not _NUMBER.fullmatch(last_event_id):
        raise InvalidRequest(
            "Last-Event-ID is the id of an event, a whole number; leave it out to hear every "
            "event.",
            field="Last-Event-ID",
        )
    return int(last_event_id)
