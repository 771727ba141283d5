"""Gathered reads over a real Redis: few round trips, no stale answer, every fault to its asker."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

import pytest
import redis

from energy_forecasting.domain.errors import ConnectionFailed
from energy_forecasting.tasks.gathered_reads import GatheredReads
from energy_forecasting.tasks.redis_client import api_redis
from tests.conftest import RealRedis

pytestmark = pytest.mark.redis

SOON_S = 30.0


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    connection = api_redis(redis_url)
    yield connection
    connection.close()


def with_reads(
    client: redis.Redis, redis_url: str, work: Callable[[GatheredReads], Awaitable[None]]
) -> None:
    async def run() -> None:
        reads = GatheredReads(client, url=redis_url)
        try:
            await work(reads)
        finally:
            reads.close()

    asyncio.run(asyncio.wait_for(run(), SOON_S))


def calls(client: redis.Redis, command: str) -> int:
    return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_equal_reads_that_wait_together_are_one(client: redis.Redis, redis_url: str) -> None:
    client.hset("a", "field", "1")
    client.rpush("list", "x", "y", "z")

    async def work(reads: GatheredReads) -> None:
        before = calls(client, "hgetall")
        answers = await asyncio.gather(*(reads.hash_of("a") for _ in range(500)))
        assert answers == [{"field": "1"}] * 500
        assert calls(client, "hgetall") - before == 1
        assert await reads.hash_of("nobody") == {}
        assert await reads.list_from("list", 1) == ["y", "z"]
        assert await reads.list_from("list", 3) == []

    with_reads(client, redis_url, work)


def test_an_answer_is_never_older_than_its_question(client: redis.Redis, redis_url: str) -> None:
    async def work(reads: GatheredReads) -> None:
        others = [asyncio.create_task(_read_on(reads)) for _ in range(5)]
        for count in range(300):
            client.hset("a", "count", count)
            assert (await reads.hash_of("a"))["count"] == str(count)
        for other in others:
            other.cancel()

    async def _read_on(reads: GatheredReads) -> None:
        for _ in itertools.count():
            await reads.hash_of("a")

    with_reads(client, redis_url, work)


def test_who_leaves_takes_no_answer_from_the_others(client: redis.Redis, redis_url: str) -> None:
    client.hset("a", "field", "1")

    async def work(reads: GatheredReads) -> None:
        leaving, staying = (asyncio.create_task(reads.hash_of("a")) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == {"field": "1"}

    with_reads(client, redis_url, work)


def test_a_key_of_another_kind_fails_its_own_read_only(client: redis.Redis, redis_url: str) -> None:
    client.hset("a", "field", "1")
    client.set("text", "not a hash")

    async def work(reads: GatheredReads) -> None:
        wrong, right = await asyncio.gather(
            reads.hash_of("text"), reads.hash_of("a"), return_exceptions=True
        )
        assert isinstance(wrong, ConnectionFailed)
        assert right == {"field": "1"}

    with_reads(client, redis_url, work)


def test_what_cannot_be_read_is_met_by_its_asker_and_by_nobody_later(
    client: redis.Redis, redis_url: str
) -> None:
    client.hset("a", "field", "1")
    client.hset("foreign", "field", b"\xff")  # not UTF-8

    async def work(reads: GatheredReads) -> None:
        with pytest.raises(UnicodeDecodeError):
            await reads.hash_of("foreign")
        assert await reads.hash_of("a") == {"field": "1"}

    with_reads(client, redis_url, work)


def test_a_redis_that_is_away_refuses_all_who_wait_and_serves_them_again(
    client: redis.Redis, redis_url: str, redis_server: RealRedis
) -> None:
    client.hset("a", "field", "1")

    async def work(reads: GatheredReads) -> None:
        assert await reads.hash_of("a") == {"field": "1"}
        with redis_server.paused():
            first = asyncio.create_task(reads.hash_of("a"))
            await asyncio.sleep(0.1)
            later = [asyncio.create_task(reads.hash_of(key)) for key in "abc"]
            await asyncio.wait({first})
            await asyncio.sleep(0.05)  # much less than another wait for an answer
            for each in (first, *later):
                assert isinstance(each.exception(), ConnectionFailed)
        assert await reads.hash_of("a") == {"field": "1"}

    with_reads(client, redis_url, work)
