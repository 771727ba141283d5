"""Dead letters: failed trainings that nobody has mended yet, to be listed and tried again.

A meter has one at most, its latest; a later success of the meter removes it. Written by
``task_store.lua`` when a task fails; here they are only read. A dead letter expires with its
record (TASK_RETENTION_DAYS).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import redis

from energy_forecasting.domain.errors import Conflict, InvalidRequest, NotFound
from energy_forecasting.domain.meters import Meter
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import DEAD, TASK_PREFIX
from energy_forecasting.tasks.wish import Wish, wish_of

#: The most dead letters that one call looks at.
SCAN_LIMIT = 10_000
_CHUNK = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A failed task and what was asked of it."""

    record: TaskRecord
    wish: Wish

    @property
    def meter(self) -> Meter:
        """The meter that is not trained."""
        return self.record.meter


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterPage:
    """Dead letters, the latest failure first."""

    tasks: list[TaskRecord]
    total: int  #: of all dead letters, whatever was asked for
    cursor: str | None  #: pass it on to get the next page; None at the end


class DeadLetters:
    """Reads dead letters; every call raises ``ConnectionFailed`` when Redis is away."""

    def __init__(self, client: redis.Redis, *, url: str) -> None:
        self._client = client
        self._url = url

    def get(self, task_id: str) -> DeadLetter:
        """Return one dead letter.

        Raises:
            NotFound: there is no such task.
            Conflict: the task is no dead letter.
        """
        with redis_faults_translated(self._url):
            is_dead = self._client.zscore(DEAD, task_id) is not None
        found = self._read([task_id])
        if not found:
            raise NotFound("There is no task with this id; its record may have expired.")
        if not is_dead:
            status = found[0].record.status
            raise Conflict(
                f"The task is no dead letter: it is {status}, or its meter has been trained or "
                "has failed again since.",
                status=status,
            )
        return found[0]

    def page(
        self, *, error_type: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> DeadLetterPage:
        """Return dead letters, of one error type or all.

        Raises:
            InvalidRequest: the cursor names no dead letter any more.
        """
        first = 0
        if cursor is not None:
            with redis_faults_translated(self._url):
                rank = cast("int | None", self._client.zrevrank(DEAD, cursor))
            if rank is None:
                raise InvalidRequest(
                    "cursor names no dead letter any more; start again without it.", field="cursor"
                )
            first = rank + 1
        letters = self._matching(error_type=error_type, meter_type=None, first=first)
        tasks = [letter.record for _, letter in zip(range(limit + 1), letters, strict=False)]
        is_last = len(tasks) <= limit
        return DeadLetterPage(
            tasks=tasks[:limit],
            total=self.count(),
            cursor=None if is_last else tasks[limit - 1].task_id,
        )

    def count(self) -> int:
        """Return how many there are."""
        with redis_faults_translated(self._url):
            return self._client.zcard(DEAD)

    def all(
        self, *, error_type: str | None = None, meter_type: str | None = None, limit: int
    ) -> list[DeadLetter]:
        """Return the latest dead letters, of one error type or meter type where these are given."""
        letters = self._matching(error_type=error_type, meter_type=meter_type, first=0)
        return [letter for _, letter in zip(range(limit), letters, strict=False)]

    def _matching(
        self, *, error_type: str | None, meter_type: str | None, first: int
    ) -> Iterator[DeadLetter]:
        for start in range(first, first + SCAN_LIMIT, _CHUNK):
            with redis_faults_translated(self._url):
                task_ids = cast(
                    "list[str]", self._client.zrevrange(DEAD, start, start + _CHUNK - 1)
                )
            for letter in self._read(task_ids):
                found_type = (letter.record.error_details or {}).get("type")
                if error_type in (None, found_type) and meter_type in (
                    None,
                    letter.record.meter_type,
                ):
                    yield letter
            if len(task_ids) < _CHUNK:
                return

    def _read(self, task_ids: list[str]) -> list[DeadLetter]:
        pipeline = self._client.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.hgetall(TASK_PREFIX + task_id)
        with redis_faults_translated(self._url):
            hashes = cast("list[dict[str, str]]", pipeline.execute())
        return [
            DeadLetter(
                record=TaskRecord.from_hash(task_id, fields),
                wish=wish_of(json.loads(fields["options"])),
            )
            for task_id, fields in zip(task_ids, hashes, strict=True)
            if fields
        ]
