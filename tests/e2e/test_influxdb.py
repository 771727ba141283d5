"""The real stack on a real InfluxDB 1.x with authentication, which goes away and comes back."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import psutil
import pytest
import redis

from tests.conftest import RealRedis, wait_until
from tests.e2e.conftest import environment_of
from tests.e2e.stack import ENDED, Stack, running_stack
from tests.influx_server import InfluxServer, InfluxUser
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.influxdb, pytest.mark.tensorflow]

DATABASE = "building"
HOUSE = {"meter_id": "house-1", "meter_type": "electricity"}
FACTORY = {"meter_id": "factory-1", "meter_type": "electricity"}
QUICK = {"tuning": {"max_trials": 0}, "force": True}
HOURS_OF_A_YEAR = 8_760
QUARTERS_OF_A_YEAR = 4 * HOURS_OF_A_YEAR
#: Well inside the factory's readings, and well beyond the small answers before.
MIDWAY_BYTES = 100_000
FIRST_SECOND = 1_704_067_200  # 2024-01-01
LINES_AT_ONCE = 20_000

ENDS = pytest.mark.parametrize("end", [InfluxServer.stop, InfluxServer.kill], ids=["stop", "kill"])


def a_year(meter: dict[str, str], *, step_s: int) -> list[str]:
    """Return what a logger wrote: a daily and a weekly rhythm, warmth, and chance."""
    generator = np.random.default_rng(7)
    at = np.arange(0, HOURS_OF_A_YEAR * 3600, step_s)
    hour = at / 3600
    degrees = (
        12 - 9 * np.cos(2 * np.pi * hour / HOURS_OF_A_YEAR) + generator.normal(0, 1.5, len(at))
    )
    weekday = np.where(hour // 24 % 7 < 5, 1.0, 0.6)
    used = (3 + 2 * np.sin(2 * np.pi * (hour - 9) / 24)) * weekday + np.maximum(18 - degrees, 0) / 6
    used = (used + generator.gamma(2, 0.15, len(at))) * step_s / 3600
    tags = f"meter_id={meter['meter_id']},meter_type={meter['meter_type']}"
    return [
        f"energy_consumption,{tags} consumption={value:.4f},temperature={warmth:.2f} {second}"
        for second, value, warmth in zip((at + FIRST_SECOND).tolist(), used, degrees, strict=True)
    ]


@pytest.fixture(scope="module")
def influxdb(influxd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """Yield a server with a year of two meters."""
    server = InfluxServer(influxd, tmp_path_factory.mktemp("influxdb"))
    try:
        server.start()
        server.create_database(DATABASE)
        lines = a_year(HOUSE, step_s=3600) + a_year(FACTORY, step_s=900)
        for first in range(0, len(lines), LINES_AT_ONCE):
            server.write(DATABASE, "\n".join(lines[first : first + LINES_AT_ONCE]))
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def running(
    influxdb: InfluxServer, redis_server: RealRedis, folder: Path, free_port: int
) -> Iterator[Stack]:
    redis.Redis.from_url(redis_server.url).flushall()
    environment = environment_of(folder) | {
        "REDIS_URL": redis_server.url,
        "METER_STORE": "auto",
        "INFLUXDB_CONFIG": str(folder / "no_such_file.json"),
        "INFLUXDB_URL": influxdb.url,
        "INFLUXDB_USERNAME": influxdb.member.name,
        "INFLUXDB_PASSWORD": influxdb.member.password,
        "INFLUXDB_DATABASE": DATABASE,
    }
    with running_stack(environment, free_port) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack, influxdb: InfluxServer) -> Iterator[Stack]:
    """Yield the stack; afterwards InfluxDB is back and nothing was restarted meanwhile."""
    yield running
    influxdb.start()
    assert running.api.poll() is None
    assert running.worker.poll() is None
    wait_for_health(running, "healthy")


def wait_for_health(stack: Stack, wanted: str) -> dict[str, Any]:
    wait_until(lambda: stack.health()["status"] == wanted, within_s=6)
    return stack.health()


def wait_for_retry(stack: Stack, task_id: str) -> dict[str, Any]:
    """Return the record of a task that waits for its second attempt."""
    wait_until(lambda: "Trying again" in stack.status(task_id)["message"], within_s=30)
    return stack.status(task_id)


def test_a_year_in_influxdb_becomes_a_model_and_a_forecast(stack: Stack) -> None:
    # Given
    health = wait_for_health(stack, "healthy")
    assert health["influxdb"] == "connected"
    assert health["meter_store"]["kind"] == "influxdb-influxql"
    assert health["meter_store"]["version"].startswith("1.")
    # When
    task_id = stack.train({**HOUSE, **QUICK})
    record = stack.wait_for_status(task_id, ENDED, within_s=60)
    # Then
    assert record["status"] == "SUCCESS", record
    assert record["attempt"] == 1
    assert record["result"]["details"]["data_points"] == HOURS_OF_A_YEAR
    answer = stack.http.post("/forecast/", json={**HOUSE, "horizon_hours": 24})
    assert len(answer.raise_for_status().json()["forecast"]) == 24
    listed = stack.http.get("/meters/").raise_for_status().json()
    assert {each["meter_id"] for each in listed["meters"]} == {"house-1", "factory-1"}


def test_health_is_degraded_while_influxdb_is_away_or_hangs(
    stack: Stack, influxdb: InfluxServer
) -> None:
    influxdb.stop()
    health = wait_for_health(stack, "degraded")
    assert health["influxdb"] == "disconnected"
    assert "cannot be reached" in health["meter_store"]["error"]
    influxdb.start()
    wait_for_health(stack, "healthy")
    with influxdb.paused():
        wait_for_health(stack, "degraded")
    wait_for_health(stack, "healthy")


def test_a_training_waits_for_influxdb_and_succeeds_when_it_is_back(
    stack: Stack, influxdb: InfluxServer
) -> None:
    # Given
    influxdb.stop()
    task_id = stack.train({**HOUSE, **QUICK})
    # When
    waiting = wait_for_retry(stack, task_id)
    influxdb.start()
    record = stack.wait_for_status(task_id, ENDED, within_s=60)
    # Then
    assert waiting["status"] == "PENDING"
    assert "cannot be reached" in waiting["message"]
    assert "(retry 1 of 3)" in waiting["message"]
    assert record["status"] == "SUCCESS", record
    assert record["attempt"] > 1
    assert record["result"]["details"]["data_points"] == HOURS_OF_A_YEAR


def test_a_training_whose_influxdb_stays_away_fails_and_says_why(
    stack: Stack, influxdb: InfluxServer
) -> None:
    influxdb.kill()
    task_id = stack.train({**HOUSE, **QUICK})
    record = stack.wait_for_status(task_id, ENDED, within_s=40)
    assert record["status"] == "FAILED"
    assert record["attempt"] == 4
    assert record["error_details"]["type"] == "CONNECTION_ERROR"
    assert "cannot be reached" in record["error"]


@ENDS
def test_an_influxdb_that_ends_midway_through_a_read_never_gives_a_partial_history(
    stack: Stack, influxdb: InfluxServer, end: Callable[[InfluxServer], None]
) -> None:
    # Given: the stack reaches InfluxDB through a proxy on the port that it knows
    known_port = influxdb.port
    influxdb.move()
    try:
        with TcpProxy(influxdb.port, port=known_port) as proxy:
            # When
            with proxy.holding_after(MIDWAY_BYTES) as held:
                task_id = stack.train({**FACTORY, **QUICK})
                assert held.wait(30)
                fetching = stack.status(task_id)
                end(influxdb)
            waiting = wait_for_retry(stack, task_id)
            influxdb.start()
            record = stack.wait_for_status(task_id, ENDED, within_s=60)
    finally:
        influxdb.stop()
        influxdb.port = known_port
    # Then
    assert fetching["status"] == "FETCHING_DATA"
    assert "InfluxDB" in waiting["message"]
    assert record["status"] == "SUCCESS", record
    assert record["attempt"] > 1
    assert record["result"]["details"]["data_points"] == QUARTERS_OF_A_YEAR


def test_a_password_that_was_changed_is_told_at_once(stack: Stack, influxdb: InfluxServer) -> None:
    member = influxdb.member
    influxdb.ask(f"SET PASSWORD FOR \"{member.name}\" = 'another'")
    try:
        health = wait_for_health(stack, "degraded")
        task_id = stack.train({**HOUSE, **QUICK})
        record = stack.wait_for_status(task_id, ENDED, within_s=20)
    finally:
        influxdb.ask(f"SET PASSWORD FOR \"{member.name}\" = '{member.password}'")
    assert "refuses user and password" in health["meter_store"]["error"]
    assert record["status"] == "FAILED"
    assert record["attempt"] == 1
    assert record["error_details"]["type"] == "AUTHENTICATION_ERROR"


def test_no_password_stands_where_others_may_read_it(
    stack: Stack, influxdb: InfluxServer, folder: Path, redis_server: RealRedis
) -> None:
    """After all of the above. The environment does hold it: only the same user may read that."""
    # Given
    secrets = spellings(influxdb.member)
    answers = [stack.http.get(path) for path in ("/health/", "/health/worker", "/trainmodel/")]
    written = [path for path in folder.rglob("*") if path.is_file()]
    logs = [path for path in written if path.suffix == ".log"]
    programs = [psutil.Process(each.pid) for each in (stack.api, stack.worker)]
    programs += [child for each in programs for child in each.children(recursive=True)]
    # Then
    assert all(answer.status_code == httpx.codes.OK for answer in answers)
    places = {str(answer.url): answer.content for answer in answers}
    places |= {str(path): path.read_bytes() for path in written}
    places |= {str(path): path.read_bytes() for path in redis_server.files()}
    places |= {f"process {each.pid}": " ".join(each.cmdline()).encode() for each in programs}
    assert len(logs) >= 2
    assert len(programs) >= 4
    assert any(b"cannot be reached" in places[str(log)] for log in logs)
    assert [place for place, text in places.items() for each in secrets if each in text] == []


def spellings(user: InfluxUser) -> list[bytes]:
    """Return a password as it is, in a URL and in a header."""
    pair = f"{user.name}:{user.password}".encode()
    # The first and last characters of base64 depend on what stands beside.
    return [user.password.encode(), quote(user.password).encode(), base64.b64encode(pair)[2:-4]]
