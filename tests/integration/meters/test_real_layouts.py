"""The example configurations, tried on what Home Assistant and Telegraf really write."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from energy_forecasting.domain.aggregation import to_hourly
from energy_forecasting.domain.meters import Meter, ReadingKind
from energy_forecasting.domain.quality import Severity, Verdict
from energy_forecasting.forecasting.quality.report import quality_report
from energy_forecasting.meters.influx.config import InfluxConfig, load_influx_config
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.conftest import PROJECT_DIR
from tests.influx_server import InfluxServer
from tests.integration.meters.real_writers import DAYS, Written, home_assistant, telegraf
from tests.integration.meters.written_series import series_of

EXAMPLES = PROJECT_DIR / "config" / "examples"
START_S = int(np.datetime64("2026-01-05T00:00", "s").astype(np.int64))

Opened = Callable[[str, Written], InfluxMeterStore]


@pytest.fixture(params=[pytest.param("1.x", marks=pytest.mark.influxdb), "2.x"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Return a way to open a store by an example, on a server that holds what was written."""
    stores: list[InfluxMeterStore] = []

    def open_store(example: str, written: Written) -> InfluxMeterStore:
        values = json.loads((EXAMPLES / example).read_text(encoding="utf-8"))
        for key in ("token", "org", "bucket", "username", "password", "database"):
            values.pop(key, None)
        path = tmp_path / "influxdb_config.json"
        path.write_text(json.dumps({**values, **hold(written)}), encoding="utf-8")
        config = load_influx_config(path, {})
        assert config is not None
        stores.append(InfluxMeterStore(config))
        return stores[-1]

    if request.param == "2.x":
        double = request.getfixturevalue("double")

        def hold(written: Written) -> dict[str, str]:
            double.series.extend(series_of(written.lines))
            return {
                "url": double.url,
                "token": double.token,
                "org": double.org,
                "bucket": double.bucket,
            }

    else:
        server: InfluxServer = request.getfixturevalue("influx_server")
        database: str = request.getfixturevalue("influx_database")

        def hold(written: Written) -> dict[str, str]:
            server.write(database, "\n".join(written.lines), precision="ns")
            reader = server.reader
            who = {"username": reader.name, "password": reader.password}
            return {"url": server.url, "database": database, **who}

    yield open_store
    for store in stores:
        store.close()


CASES = [
    pytest.param("home_assistant.json", home_assistant, id="home_assistant"),
    pytest.param("telegraf.json", telegraf, id="telegraf"),
]


@pytest.mark.parametrize(("example", "write"), CASES)
def test_an_example_reads_what_the_program_writes(
    opened: Opened, example: str, write: Callable[[int], Written]
) -> None:
    # Given
    written = write(START_S)
    store = opened(example, written)
    # When, Then the meters are those that the example names
    summaries = store.list_meters()
    assert [str(summary.meter) for summary in summaries] == sorted(written.used)
    for summary in summaries:
        assert summary.profile.reading_kind is ReadingKind.CUMULATIVE
        assert summary.profile.timezone == "Europe/Berlin"
        assert summary.profile.unit in {"kWh", "m3"}
        check_meter(store, summary.meter, written)


def check_meter(store: InfluxMeterStore, meter: Meter, written: Written) -> None:
    described = store.describe(meter)
    assert described.has_temperature
    history = store.read_history(meter)
    assert len(history) == described.readings
    # Each hour is right to within what a register cannot tell, and hardly one is missing
    hourly = to_hourly(history, ReadingKind.CUMULATIVE)
    hours = (hourly.timestamps.astype("datetime64[s]").astype(np.int64) - START_S) // 3600
    known = np.isfinite(hourly.consumption) & (hours >= 0) & (hours < DAYS * 24)
    truth = written.used[str(meter)].reshape(-1, 60).sum(axis=1)
    assert known.sum() > 0.97 * len(truth)
    error = np.abs(hourly.consumption[known] - truth[hours[known]])
    change = np.quantile(np.diff(history.consumption), 0.95)  # belongs somewhere in a silence
    assert error.max() < 2 * written.counts[str(meter)] + change + 0.12 * truth.max()
    assert hourly.consumption[known].sum() == pytest.approx(truth[hours[known]].sum(), rel=0.01)
    # And the temperature is that outdoors; a silent night has one for all of its hours
    outdoor = written.degrees.reshape(-1, 60).mean(axis=1)
    warm = known & np.isfinite(hourly.temperature)
    assert warm.sum() > 0.97 * len(truth)
    busy = warm & (hourly.consumption > written.counts[str(meter)])
    assert np.quantile(np.abs(hourly.temperature[busy] - outdoor[hours[busy]]), 0.9) < 1
    report = quality_report(history, described.profile)
    assert report.verdict is not Verdict.UNUSABLE
    assert [f.message for f in report.findings if f.severity is Severity.SERIOUS] == []


@pytest.mark.influxdb
def test_each_meter_may_have_a_measurement_of_its_own(
    influx_server: InfluxServer, influx_database: str
) -> None:
    # Given what Home Assistant writes with measurement_attr: entity_id, and openHAB anyway
    lines = [
        f"sensor.grid_energy_total,domain=sensor,entity_id=grid_energy_total value={7 + hour}.5 "
        f"{START_S + hour * 3600}\nHeat_Energy,item=Heat_Energy value={hour}i "
        f"{START_S + hour * 3600}"
        for hour in range(48)
    ]
    influx_server.write(influx_database, "\n".join(lines))
    # When
    config = InfluxConfig.model_validate(
        {
            "url": influx_server.url,
            "username": influx_server.reader.name,
            "password": influx_server.reader.password,
            "database": influx_database,
            "fields": {"consumption": "value"},
            "reading_kind": "cumulative",
            "types": {
                "electricity": {"meters": {"house": {"measurement": "sensor.grid_energy_total"}}},
                "heat": {"meters": {"boiler": {"measurement": "Heat_Energy"}}},
            },
        }
    )
    store = InfluxMeterStore(config)
    # Then
    meters = [summary.meter for summary in store.list_meters()]
    assert [str(meter) for meter in meters] == ["electricity/house", "heat/boiler"]
    used = [to_hourly(store.read_history(m), ReadingKind.CUMULATIVE).consumption for m in meters]
    assert [consumption[:-1].tolist() for consumption in used] == [[1.0] * 47, [1.0] * 47]
    store.close()


@pytest.mark.parametrize(
    "example", ["influxdb_config.example.json", *(f"examples/{p.name}" for p in EXAMPLES.iterdir())]
)
def test_every_example_can_be_loaded(example: str) -> None:
    config = load_influx_config(PROJECT_DIR / "config" / example, {})
    assert config is not None
    assert config.profile.country in {"IT", "DE"}
