"""Readings, stores and servers for the tests on a real InfluxDB 1.x."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.certificates import Certificates
from tests.influx_server import InfluxServer
from tests.integration.meters.conftest import RealInflux, influxql_config

METER = Meter(meter_type="electricity", meter_id="office-1")
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)
#: Readings of the large history: more than one question asks for, some 5 MB of answers.
MINUTES = 115_200

Call = Callable[[InfluxMeterStore], object]
EVERY_CALL: dict[str, Call] = {
    "check": lambda store: store.check(),
    "list": lambda store: store.list_meters(),
    "describe": lambda store: store.describe(METER),
    "read": lambda store: store.read_history(METER),
    "read forecast": lambda store: store.read_temperature_forecast(
        METER, start=MIDNIGHT, end=MIDNIGHT + timedelta(days=1)
    ),
    "write": lambda store: store.write_readings(METER, iter([a_day()])),
}
every_call = pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL.keys())


def history_of(
    consumption: list[float], *, start: datetime = MIDNIGHT, step_s: int = 3600
) -> History:
    first = np.datetime64(start.replace(tzinfo=None), "s")
    n = len(consumption)
    return History(
        timestamps=first + np.arange(n) * np.timedelta64(step_s, "s"),
        consumption=np.array(consumption, dtype=np.float64),
        temperature=10.0 + np.arange(n) % 24 / 4,
    )


def a_day() -> History:
    return history_of([1 + hour / 7 for hour in range(24)])


def large_history() -> History:
    return history_of([minute / 7 for minute in range(MINUTES)], step_s=60)


def is_same(one: History, other: History) -> bool:
    fields = ("timestamps", "consumption", "temperature")
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in fields
    )


@contextmanager
def store_of(config: InfluxConfig) -> Iterator[InfluxMeterStore]:
    store = InfluxMeterStore(config)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@contextmanager
def special_server(
    influxd: str,
    folder: Path,
    *,
    limits: dict[str, int | str] | None = None,
    row_limit: int = 0,
    certificates: Certificates | None = None,
) -> Iterator[InfluxServer]:
    """Run a server with settings of its own and the database ``meters``."""
    server = InfluxServer(
        influxd, folder, limits=limits, row_limit=row_limit, certificates=certificates
    )
    try:
        server.start()
        server.create_database("meters")
        yield server
    finally:
        server.close()


def fill(server: InfluxServer, database: str, history: History) -> None:
    real = RealInflux(server, database, InfluxMeterStore(influxql_config(server, database)))
    real.holds(METER, history)
    real.store.close()
