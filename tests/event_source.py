"""Reads a task's stream of events as a browser's EventSource does, one connection at a time."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import httpx

#: A stream is never silent so long: heartbeats come more often.
SILENCE_LIMIT_S = 40.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedEvent:
    """One event as it came over the wire."""

    number: int
    fields: dict[str, Any]

    @property
    def status(self) -> str:
        return str(self.fields["status"])


def received_events(
    url: str, task_id: str, *, seen: int | None = None
) -> Generator[ReceivedEvent, None, None]:
    """Yield events until the stream ends; closing the iterator cuts the connection."""
    headers = {} if seen is None else {"Last-Event-ID": str(seen)}
    path = f"{url}/trainmodel/events/{task_id}"
    with httpx.stream("GET", path, headers=headers, timeout=SILENCE_LIMIT_S) as answer:
        if answer.status_code == httpx.codes.NO_CONTENT:
            return
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield ReceivedEvent(number=int(fields["id"]), fields=json.loads(fields["data"]))
                fields = {}
