"""Asks Redis whether it takes tasks, which is more than whether it answers.

A read-only replica, or a Redis whose memory or disk is full, goes on answering what it holds; so
the probe writes a key that dies by itself. It cannot tell whether a worker lives.
"""

import redis

from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import PREFIX

PROBE = f"{PREFIX}probe"
_PROBE_MS = 1_000


class RedisProbe:
    """One round trip; safe to share between threads."""

    def __init__(self, client: redis.Redis, *, url: str) -> None:
        self._client = client
        self._url = url

    def check(self) -> None:
        """Write a key.

        Raises:
            ConnectionFailed: Redis cannot be reached, or takes nothing; the message tells why.
            AuthenticationFailed: it refuses the credentials, or what the service does with them.
        """
        with redis_faults_translated(self._url):
            self._client.set(PROBE, "1", px=_PROBE_MS)
