"""Connections to Redis and the translation of their faults.

The API must answer within a second when Redis is away, so it never retries; a worker rather
waits out a short absence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from energy_forecasting.domain.errors import AuthenticationFailed, ConnectionFailed


def api_redis(url: str, *, decode_responses: bool = True) -> redis.Redis:
    """Return a client that fails fast: 0.25 s to connect, 0.5 s to answer, no retry."""
    return redis.Redis.from_url(
        url,
        decode_responses=decode_responses,
        socket_connect_timeout=0.25,
        socket_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
    )


def events_redis(url: str) -> redis.asyncio.Redis:
    """Return a client for an event loop: 1 s to connect and to answer, no retry.

    A busy event loop is late by itself, hence the longer times.
    """
    return redis.asyncio.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=1.0,
        socket_timeout=1.0,
        retry=AsyncRetry(NoBackoff(), 0),
    )


def worker_redis(url: str, *, decode_responses: bool = True) -> redis.Redis:
    """Return a client that retries for some seconds before it gives up."""
    return redis.Redis.from_url(
        url,
        decode_responses=decode_responses,
        socket_connect_timeout=2.0,
        socket_timeout=5.0,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), 4),
    )


@contextmanager
def redis_faults_translated(url: str) -> Iterator[None]:
    """Turn redis-py's exceptions into ours, naming the server but never its password."""
    try:
        yield
    except redis.exceptions.AuthenticationError as error:
        raise AuthenticationFailed(
            f"Redis at {address(url)} refuses the credentials in REDIS_URL; correct them.",
            server="redis",
        ) from error
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
        raise ConnectionFailed(
            f"Redis at {address(url)} cannot be reached; start it or correct REDIS_URL.",
            server="redis",
        ) from error
    except redis.exceptions.ResponseError as error:
        # Out of memory, read-only replica, still loading: it answers, but it does not serve.
        raise ConnectionFailed(
            f"Redis at {address(url)} refuses to serve: {error}", server="redis"
        ) from error
    except redis.exceptions.RedisError as error:
        raise ConnectionFailed(
            f"What answers at {address(url)} is not a Redis: {error}", server="redis"
        ) from error


def address(url: str) -> str:
    """Return host and port of a Redis URL, without user and password.

    >>> address("redis://:secret@db.example:6380/0")
    'db.example:6380'
    """
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}" if parts.netloc else parts.path
