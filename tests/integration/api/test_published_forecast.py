"""Forecasts in InfluxDB are those of the API, however they came there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.settings import Settings
from energy_forecasting.tasks.leasing_broker import LeasingBroker
from energy_forecasting.tasks.queue import redis_broker
from energy_forecasting.tasks.redis_client import worker_redis
from energy_forecasting.tasks.stop_order import StopOrder
from tests.conftest import PROJECT_DIR
from tests.influx_server import InfluxServer

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow, pytest.mark.influxdb]

METER = Meter(meter_type="water", meter_id="bwdf_dma_09")
HOURS = 36


@pytest.fixture
def influx_settings(
    settings: Settings,
    sample_store: Path,
    influx_server: InfluxServer,
    influx_database: str,
    tmp_path: Path,
) -> Settings:
    """Return settings with a meter in InfluxDB that has a model; it is published half-hourly."""
    meters = SqliteMeterStore(sample_store)
    profile = meters.describe(METER).profile
    config = tmp_path / "influxdb_config.json"
    config.write_text(
        json.dumps(
            {
                "url": influx_server.url,
                "username": influx_server.member.name,
                "password": influx_server.member.password,
                "database": influx_database,
                "unit": profile.unit,
                "timezone": profile.timezone,
                "country": profile.country,
                "reading_kind": profile.reading_kind,
            }
        )
    )
    made = settings.model_copy(
        update={
            "meter_store": "influxdb",
            "influxdb_config": config,
            "publish_forecasts_minutes": 30.0,
            "publish_horizon_hours": HOURS,
        }
    )
    store = bootstrap.meter_store(made)
    store.write_readings(METER, iter([meters.read_history(METER)]))
    store.close()
    return made


@pytest.fixture
def broker(settings: Settings) -> Iterator[LeasingBroker]:
    made = redis_broker(worker_redis(settings.redis_url, decode_responses=False))
    yield made
    made.client.close()


def publish(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does."""
    names = (
        "redis_url",
        "meter_store",
        "sqlite_path",
        "model_store",
        "influxdb_config",
        "publish_horizon_hours",
    )
    own = {name.upper(): str(getattr(settings, name)) for name in names}
    return subprocess.run(
        [sys.executable, "-m", "energy_forecasting", "publish", *arguments],
        cwd=PROJECT_DIR,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )


def points(server: InfluxServer, database: str) -> list[dict[str, Any]]:
    (result,) = server.ask("SELECT * FROM energy_forecast", database=database)
    return [
        dict(zip(series["columns"], row, strict=True))
        for series in result.get("series", [])
        for row in series["values"]
    ]


def test_a_worker_publishes_what_the_api_answers(
    influx_settings: Settings,
    broker: LeasingBroker,
    influx_server: InfluxServer,
    influx_database: str,
) -> None:
    # Given what the API answers
    body = {"meter_id": METER.meter_id, "meter_type": METER.meter_type, "horizon_hours": HOURS}
    with TestClient(create_app(bootstrap.api_services(influx_settings))) as api:
        answer = api.post("/forecast/", json=body).json()
    # When a worker process has its turn
    runtime = bootstrap.WorkerRuntime(influx_settings, broker, threads=1, stop_order=StopOrder())
    assert runtime._publishing is not None
    runtime._publishing.publish_in_turn()
    # Then
    found = points(influx_server, influx_database)
    assert len(found) == len(answer["forecast"]) == HOURS
    for point, step in zip(found, answer["forecast"], strict=True):
        quantiles = {
            f"q{100 * float(level):g}": value for level, value in step["quantiles"].items()
        }
        assert {name: point[name] for name in quantiles} == pytest.approx(quantiles, abs=1e-6)
        assert point["q50"] == pytest.approx(step["consumption"], abs=1e-6)
        assert point["model_version"] == answer["model"]["version"]


def test_a_worker_without_an_influxdb_says_that_there_is_nowhere_to_publish_to(
    settings: Settings, broker: LeasingBroker
) -> None:
    asked = settings.model_copy(update={"publish_forecasts_minutes": 30.0})
    with capture_logs() as logs:
        runtime = bootstrap.WorkerRuntime(asked, broker, threads=1, stop_order=StopOrder())

    assert runtime._publishing is None
    (told,) = (log for log in logs if log["log_level"] == "error")
    assert "nowhere to publish to" in told["reason"]


def test_a_worker_publishes_nothing_unless_it_is_asked_to(
    influx_settings: Settings, broker: LeasingBroker
) -> None:
    unasked = influx_settings.model_copy(update={"publish_forecasts_minutes": 0})
    runtime = bootstrap.WorkerRuntime(unasked, broker, threads=1, stop_order=StopOrder())
    assert runtime._publishing is None


def test_the_command_publishes_once_and_again_when_told_to(
    influx_settings: Settings, influx_server: InfluxServer, influx_database: str
) -> None:
    first = publish(influx_settings)
    written = points(influx_server, influx_database)
    second = publish(influx_settings)
    again = publish(influx_settings, "--again")

    assert (first.returncode, second.returncode, again.returncode) == (0, 0, 0), first.stderr
    assert len(written) == HOURS
    assert METER.meter_id in first.stdout
    assert f"{HOURS} points of 1 meters written to measurement energy_forecast" in first.stdout
    assert "0 points of 0 meters" in second.stdout
    assert "1 meters had nothing new" in second.stdout
    assert f"{HOURS} points of 1 meters" in again.stdout
    assert points(influx_server, influx_database) == written


def test_a_meter_that_cannot_be_forecast_is_named_with_its_reason(
    influx_settings: Settings, tmp_path: Path
) -> None:
    models = tmp_path / "models" / "gas"
    models.mkdir(parents=True)
    (models / "boiler.h5").write_bytes(b"half a model")
    with_damage = influx_settings.model_copy(update={"model_store": tmp_path / "models"})

    ended = publish(with_damage)

    assert ended.returncode == 1
    assert "1 meters could not be forecast" in ended.stdout
    assert "boiler.h5 cannot be opened" in ended.stdout


def test_the_command_names_what_is_away(
    influx_settings: Settings, influx_server: InfluxServer, free_port: int
) -> None:
    influx_server.stop()
    without_influxdb = publish(influx_settings)
    nowhere = f"redis://127.0.0.1:{free_port}/0"
    without_redis = publish(influx_settings.model_copy(update={"redis_url": nowhere}))
    embedded = publish(influx_settings.model_copy(update={"meter_store": "sqlite"}))

    for ended in (without_influxdb, without_redis, embedded):
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
    assert f"InfluxDB at {influx_server.url} cannot be reached" in without_influxdb.stdout
    assert f"Redis at 127.0.0.1:{free_port} cannot be reached" in without_redis.stdout
    assert "nowhere to publish to" in embedded.stdout
