"""Stores filled with readings, each behind the same small interface."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.influx import http
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore
from energy_forecasting.meters.memory import InMemoryMeterStore
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.meters.store import MeterStore
from tests.influx_server import InfluxServer
from tests.integration.meters.influx_double import InfluxDouble

FORECAST_SOURCE = {
    "measurement": "weather_forecast",
    "field": "degrees",
    "tags": {"meter_id": "meter_id", "meter_type": "meter_type"},
}

REAL = pytest.param("influxdb-influxql", marks=pytest.mark.influxdb)


class FilledStore(Protocol):
    """A store under test and the way to put readings behind it."""

    kind: str

    @property
    def store(self) -> MeterStore: ...

    def holds(self, meter: Meter, *histories: History) -> None: ...

    def foresees(self, meter: Meter, forecast: TemperatureForecast) -> None: ...


@dataclass
class WrittenStore:
    """A store that takes readings in itself."""

    kind: str
    store: MeterStore

    def holds(self, meter: Meter, *histories: History) -> None:
        self.store.write_readings(meter, iter(histories))

    def foresees(self, meter: Meter, forecast: TemperatureForecast) -> None:
        self.store.write_temperature_forecast(meter, forecast)


@dataclass
class InfluxStore:
    """The Flux store on a double; each history becomes a series of its own."""

    double: InfluxDouble
    store: InfluxMeterStore
    kind: str = field(default="influxdb-flux")

    def holds(self, meter: Meter, *histories: History) -> None:
        for number, history in enumerate(histories):
            self.double.add_history(meter, history, logger=f"logger-{number}")

    def foresees(self, meter: Meter, forecast: TemperatureForecast) -> None:
        at = (forecast.timestamps.astype(np.int64) * 1_000_000_000).tolist()
        points = zip(at, forecast.degrees.tolist(), strict=True)
        self.double.add_points(meter, "degrees", points, _measurement="weather_forecast")


@dataclass
class RealInflux:
    """The InfluxQL store on a real server; each history becomes a series of its own."""

    server: InfluxServer
    database: str
    store: InfluxMeterStore
    kind: str = field(default="influxdb-influxql")

    def holds(self, meter: Meter, *histories: History) -> None:
        for number, history in enumerate(histories):
            tags = f"meter_id={meter.meter_id},meter_type={meter.meter_type},logger=l{number}"
            self.server.write(self.database, "\n".join(_lines(tags, history)))

    def foresees(self, meter: Meter, forecast: TemperatureForecast) -> None:
        self.store.write_temperature_forecast(meter, forecast)


def _lines(tags: str, history: History) -> Iterator[str]:
    """Write readings as any other program might; a point needs at least one value."""
    at = history.timestamps.astype(np.int64).tolist()
    readings = zip(at, history.consumption.tolist(), history.temperature.tolist(), strict=True)
    for second, *values in readings:
        named = zip(("consumption", "temperature"), values, strict=True)
        fields = ",".join(f"{name}={value!r}" for name, value in named if np.isfinite(value))
        if fields:
            yield f"energy_consumption,{tags} {fields} {second}"


def influxql_config(server: InfluxServer, database: str, **changes: object) -> InfluxConfig:
    values: dict[str, object] = {
        "url": server.url,
        "username": server.member.name,
        "password": server.member.password,
        "database": database,
        "temperature_forecast": FORECAST_SOURCE,
        "timeout_s": 5.0,
    }
    return InfluxConfig.model_validate({**values, **changes})


def influx_config(double: InfluxDouble, **changes: object) -> InfluxConfig:
    values: dict[str, object] = {
        "url": double.url,
        "token": double.token,
        "org": double.org,
        "bucket": double.bucket,
        "timeout_s": 5.0,
    }
    return InfluxConfig.model_validate({**values, **changes})


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store that asks again wait next to nothing before it does."""
    monkeypatch.setattr(http, "_FIRST_WAIT_S", 0.01)


@pytest.fixture
def double() -> Iterator[InfluxDouble]:
    with InfluxDouble() as running:
        yield running
    assert running.complaints == []


@pytest.fixture
def influx(double: InfluxDouble) -> Iterator[InfluxStore]:
    store = InfluxMeterStore(influx_config(double, temperature_forecast=FORECAST_SOURCE))
    yield InfluxStore(double, store)
    store.close()


@pytest.fixture
def influxql(influx_server: InfluxServer, influx_database: str) -> Iterator[RealInflux]:
    store = InfluxMeterStore(influxql_config(influx_server, influx_database))
    yield RealInflux(influx_server, influx_database, store)
    store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> SqliteMeterStore:
    return SqliteMeterStore(tmp_path / "var" / "meters.sqlite")


@pytest.fixture(params=["memory", "sqlite", "influxdb-flux", REAL])
def filled(request: pytest.FixtureRequest) -> FilledStore:
    match request.param:
        case "memory":
            return WrittenStore("memory", InMemoryMeterStore())
        case "sqlite":
            return WrittenStore("sqlite", request.getfixturevalue("sqlite_store"))
        case "influxdb-flux":
            store: InfluxStore = request.getfixturevalue("influx")
            return store
        case _:
            real: RealInflux = request.getfixturevalue("influxql")
            return real


@pytest.fixture(params=["memory", "sqlite", "influxdb-flux", REAL])
def writable(request: pytest.FixtureRequest) -> MeterStore:
    return _writable(request)


@pytest.fixture(params=["memory", "sqlite"])
def embedded(request: pytest.FixtureRequest) -> MeterStore:
    """Return a store of ours alone: it keeps profiles and writes all or nothing."""
    return _writable(request)


def _writable(request: pytest.FixtureRequest) -> MeterStore:
    match request.param:
        case "memory":
            return InMemoryMeterStore()
        case "sqlite":
            store: SqliteMeterStore = request.getfixturevalue("sqlite_store")
            return store
        case "influxdb-flux":
            influx: InfluxStore = request.getfixturevalue("influx")
            return influx.store
        case _:
            real: RealInflux = request.getfixturevalue("influxql")
            return real.store
