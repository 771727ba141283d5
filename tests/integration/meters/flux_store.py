"""What the tests of the Flux store share: a meter, its readings, a store for a while."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore

METER = Meter(meter_type="electricity", meter_id="office-1")
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)


def readings(count: int, step_s: int = 3600, start: str = "2024-03-01T00:00:00") -> History:
    """Return readings at even steps, of amounts and temperatures that all differ."""
    random = np.random.default_rng(count)
    return History(
        timestamps=np.datetime64(start, "s") + np.arange(count) * np.timedelta64(step_s, "s"),
        consumption=random.gamma(2.0, 1.0, count),
        temperature=random.normal(10.0, 5.0, count),
    )


def assert_same(read: History, expected: History) -> None:
    np.testing.assert_array_equal(read.timestamps, expected.timestamps)
    np.testing.assert_array_equal(read.consumption, expected.consumption)
    np.testing.assert_array_equal(read.temperature, expected.temperature)


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


def values_of(field: str) -> Callable[[str], bool]:
    """Tell which queries ask for the values of a field as they are."""
    kept = '\n  |> keep(columns: ["_time", "_value"])'
    return lambda flux: f'r["_field"] == "{field}" and' in flux and _calls(flux).endswith(kept)


def span_of(flux: str) -> tuple[str, str]:
    """Return start and stop of a query."""
    found = re.search(r"range\(start: (\S+), stop: (\S+)\)", flux)
    assert found
    return found[1], found[2]


def _calls(flux: str) -> str:
    return "" if "aggregateWindow" in flux else flux
