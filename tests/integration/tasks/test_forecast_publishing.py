"""Publishing from worker processes, against a real Redis: one at a time, nothing half-claimed."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Event
from typing import cast

import pytest
import redis

from energy_forecasting.domain.errors import Cancelled, Conflict, EnergyForecastingError
from energy_forecasting.domain.meters import Meter
from energy_forecasting.serving.forecast_marks import ForecastMark
from energy_forecasting.serving.forecast_publisher import ForecastPublisher
from energy_forecasting.tasks.forecast_marks import RedisForecastMarks
from energy_forecasting.tasks.forecast_publishing import ForecastPublishing
from energy_forecasting.tasks.publishing_right import LOCK, LOCK_S, TURN, PublishingRight
from energy_forecasting.tasks.redis_client import api_redis
from tests.conftest import wait_until

pytestmark = pytest.mark.redis

METER = Meter(meter_type="water", meter_id="dma.5")
OTHER = Meter(meter_type="gas", meter_id="hall")
MARK = ForecastMark(model_version="v1", last_reading=datetime(2026, 3, 1, 12, 30, tzinfo=UTC))
TARGET = "measurement energy_forecast in energy"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    made = api_redis(redis_url)
    yield made
    made.close()


@pytest.fixture
def right(client: redis.Redis, redis_url: str) -> PublishingRight:
    return PublishingRight(client, url=redis_url)


class StandInPublisher:
    """Counts passes; each does what it is told to."""

    def __init__(self) -> None:
        self.passes = 0
        self.ended_by: list[EnergyForecastingError] = []
        self.during: Callable[[], None] = lambda: None

    def publish(self, *, before_each: Callable[[], None]) -> None:
        self.passes += 1
        try:
            before_each()
            self.during()
            before_each()
        except EnergyForecastingError as error:
            self.ended_by.append(error)


def publishing(
    publisher: StandInPublisher, right: PublishingRight, *, every_s: float = 60.0
) -> ForecastPublishing:
    return ForecastPublishing(cast("ForecastPublisher", publisher), right, every_s=every_s)


def test_marks_come_back_as_they_were_set(client: redis.Redis, redis_url: str) -> None:
    marks = RedisForecastMarks(client, url=redis_url)
    later = ForecastMark(model_version="v2", last_reading=MARK.last_reading)

    marks.write(TARGET, {METER: MARK, OTHER: MARK})
    marks.write(TARGET, {OTHER: later})
    marks.write(TARGET, {})

    assert marks.read(TARGET) == {METER: MARK, OTHER: later}


def test_another_target_starts_empty(client: redis.Redis, redis_url: str) -> None:
    marks = RedisForecastMarks(client, url=redis_url)
    marks.write(TARGET, {METER: MARK})
    assert marks.read("measurement energy_forecast in elsewhere") == {}


def test_one_process_at_a_time_has_the_right(right: PublishingRight, redis_url: str) -> None:
    second_client = api_redis(redis_url)
    second = PublishingRight(second_client, url=redis_url)
    with right.held(), pytest.raises(Conflict), second.held():
        pytest.fail("two processes publish")
    with second.held() as renew:
        renew()
    second_client.close()


def test_the_right_of_a_killed_process_expires(right: PublishingRight, client: redis.Redis) -> None:
    with right.held() as renew:
        client.pexpire(LOCK, 5_000)
        renew()
        assert LOCK_S - 5 < client.ttl(LOCK) <= LOCK_S


def test_a_right_that_was_lost_cannot_be_renewed(
    right: PublishingRight, client: redis.Redis
) -> None:
    with right.held() as renew:
        client.set(LOCK, "somebody else")
        with pytest.raises(Conflict):
            renew()
    assert client.get(LOCK) == "somebody else"


def test_a_turn_is_given_to_one_process_until_the_interval_ends(
    right: PublishingRight, client: redis.Redis
) -> None:
    assert right.take_turn(60.0)
    assert not right.take_turn(60.0)
    assert 55 < client.ttl(TURN) <= 60


def test_of_two_processes_one_publishes_in_an_interval(right: PublishingRight) -> None:
    publisher = StandInPublisher()
    for process in (publishing(publisher, right), publishing(publisher, right)):
        process.publish_in_turn()
    assert publisher.passes == 1


def test_a_pass_ends_when_its_right_is_lost(right: PublishingRight, client: redis.Redis) -> None:
    publisher = StandInPublisher()

    def during() -> None:
        client.set(LOCK, "somebody else")

    publisher.during = during
    publishing(publisher, right).publish_in_turn()
    assert [type(error) for error in publisher.ended_by] == [Conflict]


def test_a_stopping_worker_ends_a_pass_under_way_and_gives_the_right_back(
    right: PublishingRight, client: redis.Redis
) -> None:
    publisher, under_way, go_on = StandInPublisher(), Event(), Event()

    def during() -> None:
        under_way.set()
        go_on.wait(5)

    publisher.during = during
    thread = publishing(publisher, right, every_s=0.05)
    thread.start()
    assert under_way.wait(5)
    thread._stop.set()
    go_on.set()
    thread.stop()

    assert [type(error) for error in publisher.ended_by] == [Cancelled]
    assert client.get(LOCK) is None
    assert not thread._thread.is_alive()


def test_an_unexpected_error_does_not_end_the_thread(right: PublishingRight) -> None:
    publisher = StandInPublisher()

    def during() -> None:
        raise ValueError("a bug")

    publisher.during = during
    thread = publishing(publisher, right, every_s=0.05)
    thread.start()
    wait_until(lambda: publisher.passes >= 2, within_s=5)
    thread.stop()


def test_a_thread_that_was_never_started_can_be_stopped(right: PublishingRight) -> None:
    publishing(StandInPublisher(), right).stop()
