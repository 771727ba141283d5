"""Reads from Redis for an event loop, gathered: all that wait at once go out in one round trip.

Equal reads that wait together are one read, so hundreds of clients that follow the same task cost
Redis what one of them does. A read is sent only after it was asked for, so an answer is never
older than its question. No queue forms for threads or connections: one of each serves all.

The thread is there for its patience, not for its speed: what an event loop waits for times out
when the loop itself is late, although the answer has come.

Only for reads: a gathered write could not tell its askers apart. Belongs to one event loop.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any, cast

import redis

from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.tasks.redis_client import redis_faults_translated

_Command = tuple[str | int, ...]


class GatheredReads:
    """Reads keys; every call raises ``ConnectionFailed`` when Redis cannot be reached.

    Args:
        client: fails fast.
        url: of the Redis, for messages.
    """

    def __init__(self, client: redis.Redis, *, url: str) -> None:
        self._client = client
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reads")
        self._url = url
        self._waiting: dict[_Command, asyncio.Future[Any]] = {}
        self._sending: asyncio.Task[None] | None = None

    async def hash_of(self, key: str) -> dict[str, str]:
        """Return the fields of a hash; none when the key is not there. Others may share it."""
        return cast("dict[str, str]", await self._read("HGETALL", key))

    async def list_from(self, key: str, first: int) -> list[str]:
        """Return a list from an index to its end; none when the key is not there."""
        return cast("list[str]", await self._read("LRANGE", key, first, -1))

    def close(self) -> None:
        """Give the thread up; nothing may be read any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _read(self, *command: str | int) -> object:
        answer = self._waiting.get(command)
        if answer is None:
            answer = self._waiting[command] = asyncio.get_running_loop().create_future()
            if self._sending is None:
                # Belongs to none of those who ask.
                self._sending = asyncio.create_task(self._send(), context=Context())
        # Others may wait for the same answer when this one's client leaves.
        return await asyncio.shield(answer)

    async def _send(self) -> None:
        """Send round trips as long as somebody waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                gathered, self._waiting = self._waiting, {}
                try:
                    with redis_faults_translated(self._url):
                        answers = await loop.run_in_executor(
                            self._thread, self._round_trip, tuple(gathered)
                        )
                except Exception as fault:  # noqa: BLE001 - met by those who asked
                    # Who has come since would meet the same fault, but later.
                    self._refuse(gathered, fault)
                    self._refuse(self._waiting, fault)
                    self._waiting = {}
                else:
                    for question, answer in zip(gathered.values(), answers, strict=True):
                        self._hand_out(question, answer)
        finally:
            self._sending = None

    def _round_trip(self, commands: tuple[_Command, ...]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call] # untyped there
            return pipeline.execute(raise_on_error=False)

    def _hand_out(self, question: asyncio.Future[Any], answer: object) -> None:
        try:
            with redis_faults_translated(self._url):
                if isinstance(answer, Exception):
                    raise answer
        except EnergyForecastingError as fault:
            self._refuse({(): question}, fault)
        else:
            question.set_result(answer)

    def _refuse(self, questions: dict[_Command, asyncio.Future[Any]], fault: Exception) -> None:
        for question in questions.values():
            question.set_exception(fault)
            question.exception()  # all who asked may have left
