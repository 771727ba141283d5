"""Runs ``task_store.lua``: the one way in which task records are changed.

Every call carries a token of its own, so a call that the Redis client repeats because the answer
was lost changes nothing twice. Reading is not its task.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import redis
from redis.client import Pipeline

from energy_forecasting.domain.meters import Meter
from energy_forecasting.tasks import task_keys
from energy_forecasting.tasks.redis_client import redis_faults_translated

_SCRIPT = (Path(__file__).parent / "task_store.lua").read_text(encoding="utf-8")
_TOKEN_BYTES = 6


class TaskScript:
    """One operation on one task per call; raises ``ConnectionFailed`` when Redis is away."""

    def __init__(self, client: redis.Redis, *, url: str) -> None:
        self._url = url
        self._script = client.register_script(_SCRIPT)

    def run(
        self, operation: str, task_id: str, *arguments: str | float, meter: Meter | None = None
    ) -> list[str]:
        """Run an operation and return its answer."""
        with redis_faults_translated(self._url):
            return cast("list[str]", self._call(operation, task_id, arguments, meter, None))

    def add_to(
        self,
        pipeline: "Pipeline",
        operation: str,
        task_id: str,
        *arguments: str | float,
        meter: Meter | None = None,
    ) -> None:
        """Put an operation into a pipeline, which answers for it when it is executed."""
        self._call(operation, task_id, arguments, meter, pipeline)

    def _call(
        self,
        operation: str,
        task_id: str,
        arguments: tuple[str | float, ...],
        meter: Meter | None,
        pipeline: "Pipeline | None",
    ) -> object:
        keys = [
            task_keys.TASK_PREFIX + task_id,
            task_keys.TASK_EVENTS_PREFIX + task_id,
            task_keys.INDEX,
            task_keys.OPEN,
            task_keys.LEASES,
            task_keys.WAITING_PREFIX,
            task_keys.live_key(meter),
            task_keys.DURATIONS,
            task_keys.DEAD,
            task_keys.DEAD_OF_METERS,
            task_keys.NEWEST_CLAIMED,
            task_keys.BATCH_PREFIX,
            task_keys.WITHDRAWALS,
        ]
        channel = task_keys.EVENT_CHANNEL_PREFIX + task_id
        head = [operation, channel, task_id, secrets.token_hex(_TOKEN_BYTES)]
        return self._script(keys=keys, args=[*head, *arguments], client=pipeline)


def flat(fields: Mapping[str, object]) -> list[str]:
    """Return field, value, field, value, ... as the script's last arguments."""
    return [str(part) for pair in fields.items() for part in pair]
