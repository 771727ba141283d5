"""Trainings per hour against a real Redis: exact, shared, given back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from energy_forecasting.domain.errors import ConnectionFailed
from energy_forecasting.tasks.redis_client import api_redis
from energy_forecasting.tasks.task_keys import STARTED_PREFIX
from energy_forecasting.tasks.training_allowance import TrainingAllowance

pytestmark = pytest.mark.redis

CALLER = "key:0a1b2c3d"
COUNTS = STARTED_PREFIX + CALLER


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    made = api_redis(redis_url)
    yield made
    made.close()


@pytest.fixture
def allowance(client: redis.Redis, redis_url: str) -> TrainingAllowance:
    return TrainingAllowance(client, url=redis_url)


def minute_now(client: redis.Redis) -> int:
    return int(client.time()[0]) // 60


def test_many_at_once_are_granted_as_far_as_there_is_room(allowance: TrainingAllowance) -> None:
    first = allowance.reserve(CALLER, 7, per_hour=10)
    second = allowance.reserve(CALLER, 7, per_hour=10)
    third = allowance.reserve(CALLER, 7, per_hour=10)

    assert (first.granted, second.granted, third.granted) == (7, 3, 0)
    assert first.retry_after_s == 0
    assert 3500 < second.retry_after_s <= 3660


def test_what_was_not_started_is_given_back(allowance: TrainingAllowance) -> None:
    reservation = allowance.reserve(CALLER, 10, per_hour=10)

    allowance.settle(reservation, started=4)

    assert allowance.reserve(CALLER, 10, per_hour=10).granted == 6


def test_what_was_started_beyond_is_counted(allowance: TrainingAllowance) -> None:
    allowance.reserve(CALLER, 1, per_hour=1)
    none_left = allowance.reserve(CALLER, 1, per_hour=1)

    allowance.settle(none_left, started=1)

    assert allowance.reserve(CALLER, 2, per_hour=3).granted == 1


def test_callers_do_not_share(allowance: TrainingAllowance) -> None:
    allowance.reserve(CALLER, 5, per_hour=5)

    assert allowance.reserve("key:other", 5, per_hour=5).granted == 5


def test_a_minute_counts_until_it_lies_an_hour_back(
    allowance: TrainingAllowance, client: redis.Redis
) -> None:
    now = minute_now(client)
    client.hset(COUNTS, mapping={now - 61: 100, now - 60: 1, now - 30: 2})

    reservation = allowance.reserve(CALLER, 9, per_hour=5)

    assert reservation.granted == 2
    assert 0 < reservation.retry_after_s <= 60  # then the oldest leaves
    assert client.hexists(COUNTS, str(now - 60))
    assert not client.hexists(COUNTS, str(now - 61))


def test_after_the_limit_was_lowered_the_wait_is_until_one_is_really_free(
    allowance: TrainingAllowance, client: redis.Redis
) -> None:
    now = minute_now(client)
    client.hset(COUNTS, mapping={now - 50: 1, now - 20: 5, now - 10: 1})

    reservation = allowance.reserve(CALLER, 1, per_hour=2)

    assert reservation.granted == 0
    assert 40 * 60 < reservation.retry_after_s <= 41 * 60


def test_the_count_goes_away_by_itself(allowance: TrainingAllowance, client: redis.Redis) -> None:
    allowance.reserve(CALLER, 1, per_hour=1)

    assert 3600 < int(client.ttl(COUNTS)) <= 7200


def test_together_nobody_gets_more_than_there_is(redis_url: str) -> None:
    def reserved(_: int) -> int:
        client = api_redis(redis_url)
        allowance = TrainingAllowance(client, url=redis_url)
        granted = sum(allowance.reserve(CALLER, 3, per_hour=100).granted for _ in range(10))
        client.close()
        return granted

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(reserved, range(8))) == 100


def test_without_redis_nothing_is_granted() -> None:
    url = "redis://127.0.0.1:1/0"

    with pytest.raises(ConnectionFailed):
        TrainingAllowance(api_redis(url), url=url).reserve(CALLER, 1, per_hour=1)
