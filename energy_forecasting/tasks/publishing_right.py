"""The right to publish: of all processes on one Redis, one at a time has it.

Keys: ``forecasts:publisher`` is held for the length of a pass, ``forecasts:turn`` for that of an
interval. The right expires by itself, so a process that is killed with it is in
nobody's way for long. It cannot stop a process that has lost it in the middle of a write.
"""

import contextlib
from collections.abc import Callable, Iterator

import redis
from redis.exceptions import LockError

from energy_forecasting.domain.errors import Conflict
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import PREFIX

LOCK = f"{PREFIX}forecasts:publisher"
TURN = f"{PREFIX}forecasts:turn"
#: Longer than one meter's forecast or one write may take.
LOCK_S = 120.0


class PublishingRight:
    """Taken for the length of one pass."""

    def __init__(self, client: redis.Redis, *, url: str) -> None:
        self._client = client
        self._url = url

    @contextlib.contextmanager
    def held(self) -> Iterator[Callable[[], None]]:
        """Hold the right; what is yielded renews it and is to be called every LOCK_S at least.

        Raises:
            Conflict: another process has it, or, from a renewal, has taken it since.
            ConnectionFailed: Redis is away.
        """
        lock = self._client.lock(LOCK, timeout=LOCK_S, thread_local=False)
        with redis_faults_translated(self._url):
            if not lock.acquire(blocking=False):
                raise Conflict("Another process is publishing forecasts; let it finish.")

        def renew() -> None:
            with redis_faults_translated(self._url):
                try:
                    lock.reacquire()
                except LockError as lost:
                    raise Conflict("The right to publish was lost meanwhile.") from lost

        try:
            yield renew
        finally:
            with contextlib.suppress(redis.RedisError):  # lost or Redis away: it expires by itself
                lock.release()

    def take_turn(self, every_s: float) -> bool:
        """Whether it is the caller who shall publish in this interval; said to one process only.

        Raises:
            ConnectionFailed: Redis is away.
        """
        with redis_faults_translated(self._url):
            return bool(self._client.set(TURN, "1", nx=True, px=round(1000 * every_s)))
