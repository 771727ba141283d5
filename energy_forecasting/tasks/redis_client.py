"""Connections to Redis, and their faults as errors of ours.

The API must answer within a second when Redis is away, so it never retries; a worker rather
waits out a short absence.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from energy_forecasting.tasks.redis_faults import address, fault_of

__all__ = ["address", "api_redis", "redis_faults_translated", "worker_redis"]


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
    except (redis.exceptions.RedisError, OSError) as error:
        raise fault_of(error, url) from error
