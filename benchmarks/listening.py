"""Listeners of tasks' events, who check that nothing is missing and nothing doubled."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx

_SILENCE_LIMIT_S = 60.0
_PAUSE_S = 0.5


@dataclass(kw_only=True, slots=True)
class Heard:
    """What the listeners heard together."""

    events: int = 0
    tasks_to_the_end: int = 0
    streams_cut: int = 0  #: before the task's end
    wrong_numbers: int = 0  #: a gap or a repeat
    refusals: int = 0  #: answers other than 200


async def listen(url: str, current_task: Callable[[], str], heard: Heard) -> None:
    """Listen to one task after the other until cancelled."""
    async with httpx.AsyncClient(base_url=url, timeout=_SILENCE_LIMIT_S) as http:
        while True:
            await _hear_out(http, current_task(), heard)
            await asyncio.sleep(_PAUSE_S)


async def _hear_out(http: httpx.AsyncClient, task_id: str, heard: Heard) -> None:
    following = 0
    while True:
        headers = {"Last-Event-ID": str(following - 1)} if following else {}
        try:
            async with http.stream(
                "GET", f"/trainmodel/events/{task_id}", headers=headers
            ) as answer:
                if answer.status_code == httpx.codes.NO_CONTENT:
                    heard.tasks_to_the_end += 1
                    return
                if answer.status_code != httpx.codes.OK:
                    heard.refusals += 1
                    return
                async for line in answer.aiter_lines():
                    if line.startswith("id: "):
                        heard.events += 1
                        heard.wrong_numbers += int(line[4:]) != following
                        following = int(line[4:]) + 1
        except httpx.TransportError:
            heard.streams_cut += 1
        await asyncio.sleep(_PAUSE_S)
