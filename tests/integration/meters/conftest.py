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
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore
from energy_forecasting.meters.memory import InMemoryMeterStore
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.meters.store import MeterStore
from tests.integration.meters.influx_double import InfluxDouble


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
def double() -> Iterator[InfluxDouble]:
    with InfluxDouble() as running:
        yield running
    assert running.complaints == []


@pytest.fixture
def influx(double: InfluxDouble) -> Iterator[InfluxStore]:
    source = {
        "measurement": "weather_forecast",
        "field": "degrees",
        "tags": {"meter_id": "meter_id", "meter_type": "meter_type"},
    }
    store = InfluxMeterStore(influx_config(double, temperature_forecast=source))
    yield InfluxStore(double, store)
    store.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> SqliteMeterStore:
    return SqliteMeterStore(tmp_path / "var" / "meters.sqlite")


@pytest.fixture(params=["memory", "sqlite", "influxdb-flux"])
def filled(request: pytest.FixtureRequest) -> FilledStore:
    match request.param:
        case "memory":
            return WrittenStore("memory", InMemoryMeterStore())
        case "sqlite":
            return WrittenStore("sqlite", request.getfixturevalue("sqlite_store"))
        case _:
            store: InfluxStore = request.getfixturevalue("influx")
            return store


@pytest.fixture(params=["memory", "sqlite"])
def writable(request: pytest.FixtureRequest) -> MeterStore:
    if request.param == "memory":
        return InMemoryMeterStore()
    store: SqliteMeterStore = request.getfixturevalue("sqlite_store")
    return store
