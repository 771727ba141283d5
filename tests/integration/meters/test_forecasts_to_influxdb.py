"""Forecasts in a real InfluxDB 1.x: written, written again, refused, and asked for by Grafana."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    EnergyForecastingError,
    InvalidRequest,
)
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.published_forecast import PublishedForecast
from energy_forecasting.domain.readings import HOUR, History, to_datetime64
from energy_forecasting.meters.influx.forecast_sink import InfluxForecastSink
from energy_forecasting.meters.influx.http import InfluxHttp
from energy_forecasting.meters.influx.line_protocol import line
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.grafana_dashboards import filled_in, read_dashboard
from tests.influx_server import InfluxServer, InfluxUser
from tests.integration.meters.conftest import influxql_config

pytestmark = pytest.mark.influxdb

METER = Meter(meter_type="water", meter_id="dma.5")
VERSION = "20260115T103422Z-1f3a9c"
ORIGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURS = 48


def forecast(
    *, origin: datetime = ORIGIN, meter: Meter = METER, shift: float = 0.0
) -> PublishedForecast:
    quantiles = np.arange(HOURS)[:, None] / 3 + np.array(QUANTILE_LEVELS) + shift
    return PublishedForecast(
        meter=meter,
        model_version=VERSION,
        origin=origin,
        timestamps=to_datetime64(origin) + np.arange(HOURS) * HOUR,
        levels=QUANTILE_LEVELS,
        quantiles=quantiles,
    )


def sink_of(
    server: InfluxServer, database: str, user: InfluxUser | None = None
) -> InfluxForecastSink:
    login = user or server.member
    config = influxql_config(
        server, database, username=login.name, password=login.password, timeout_s=2.0
    )
    return InfluxForecastSink(
        InfluxHttp(config),
        url=config.url,
        container=config.container,
        measurement=config.forecasts.measurement,
        timeout_s=config.timeout_s,
    )


@pytest.fixture
def sink(influx_server: InfluxServer, influx_database: str) -> Iterator[InfluxForecastSink]:
    made = sink_of(influx_server, influx_database)
    yield made
    made.close()


def points(server: InfluxServer, database: str) -> list[dict[str, Any]]:
    (result,) = server.ask("SELECT * FROM energy_forecast", database=database)
    return [
        dict(zip(series["columns"], row, strict=True))
        for series in result.get("series", [])
        for row in series["values"]
    ]


def test_a_forecast_is_read_back_exactly(
    sink: InfluxForecastSink, influx_server: InfluxServer, influx_database: str
) -> None:
    written = sink.write_forecasts([forecast()])

    found = points(influx_server, influx_database)
    assert written == len(found) == HOURS
    assert [row["time"] for row in found] == forecast().timestamps.astype(np.int64).tolist()
    named = [f"q{number}0" for number in range(1, 10)]
    assert [[row[name] for name in named] for row in found] == forecast().quantiles.tolist()
    assert {row["model_version"] for row in found} == {VERSION}
    assert {(row["meter_type"], row["meter_id"]) for row in found} == {("water", "dma.5")}
    assert {row["origin"] for row in found} == {int(ORIGIN.timestamp())}
    assert [row["lead_hours"] for row in found] == list(range(HOURS))


def test_writing_twice_changes_nothing_and_a_later_origin_replaces_what_it_covers(
    sink: InfluxForecastSink, influx_server: InfluxServer, influx_database: str
) -> None:
    sink.write_forecasts([forecast()])
    once = points(influx_server, influx_database)
    sink.write_forecasts([forecast()])
    twice = points(influx_server, influx_database)
    later = ORIGIN + timedelta(hours=6)
    sink.write_forecasts([forecast(origin=later, shift=0.5)])
    moved_on = points(influx_server, influx_database)

    assert once == twice
    assert len(moved_on) == HOURS + 6
    assert moved_on[:6] == once[:6]
    assert {row["origin"] for row in moved_on[6:]} == {int(later.timestamp())}


def test_a_new_model_version_has_points_of_its_own(
    sink: InfluxForecastSink, influx_server: InfluxServer, influx_database: str
) -> None:
    sink.write_forecasts([forecast(), replace(forecast(), model_version="later")])
    assert len(points(influx_server, influx_database)) == 2 * HOURS


def test_who_may_only_read_cannot_publish(
    influx_server: InfluxServer, influx_database: str
) -> None:
    sink = sink_of(influx_server, influx_database, influx_server.reader)
    with pytest.raises(AuthenticationFailed):
        sink.write_forecasts([forecast()])
    sink.close()
    assert points(influx_server, influx_database) == []


def test_a_database_that_is_not_there_is_named(influx_server: InfluxServer) -> None:
    sink = sink_of(influx_server, "nowhere", influx_server.admin)
    with pytest.raises(InvalidRequest, match="nowhere"):
        sink.write_forecasts([forecast()])
    sink.close()


def test_a_field_that_holds_something_else_already_is_an_error(
    sink: InfluxForecastSink, influx_server: InfluxServer, influx_database: str
) -> None:
    second = int(ORIGIN.timestamp())
    influx_server.write(influx_database, f'energy_forecast q50="a text" {second}')
    with pytest.raises(EnergyForecastingError):
        sink.write_forecasts([forecast()])


def test_a_server_that_is_away_is_a_connection_error(
    sink: InfluxForecastSink, influx_server: InfluxServer
) -> None:
    influx_server.stop()
    with pytest.raises(ConnectionFailed):
        sink.write_forecasts([forecast()])
    influx_server.start()
    assert sink.write_forecasts([forecast()]) == HOURS


def test_hostile_names_and_texts_are_read_back_as_they_were_written(
    influx_server: InfluxServer, influx_database: str
) -> None:
    # Given every text of up to three of these characters that can be written
    texts: list[str] = []
    lines: list[str] = []
    for length in (1, 2, 3):
        for characters in itertools.product("a,= \"'\\é電", repeat=length):
            text = "".join(characters)
            try:
                lines.append(
                    line(f"m{text}", {f"k{text}": text}, {f"f{text}": text}, len(texts) + 1)
                )
            except InvalidRequest:
                continue  # versions would read it differently
            texts.append(text)
    assert len(texts) > 500
    # When
    influx_server.write(influx_database, "\n".join(lines))
    # Then
    (result,) = influx_server.ask("SELECT * FROM /.*/", database=influx_database)
    found = {}
    for series in result["series"]:
        for second, *values in series["values"]:
            held = zip(series["columns"][1:], values, strict=True)
            named = {name: value for name, value in held if value is not None}
            found[second] = (series["name"], named)
    assert found == {
        second: (f"m{text}", {f"k{text}": text, f"f{text}": text})
        for second, text in enumerate(texts, start=1)
    }


@pytest.fixture
def watched(
    sink: InfluxForecastSink, influx_server: InfluxServer, influx_database: str
) -> tuple[InfluxServer, str]:
    """Return a database in which the first half of a forecast's hours have been read meanwhile."""
    store = InfluxMeterStore(influxql_config(influx_server, influx_database))
    hours = np.arange(-HOURS, HOURS // 2)
    history = History(
        timestamps=to_datetime64(ORIGIN) + hours * HOUR,
        consumption=np.ones(len(hours)),
        temperature=np.full(len(hours), np.nan),
    )
    store.write_readings(METER, iter([history]))
    store.close()
    sink.write_forecasts([forecast()])
    other = Meter(meter_type="gas", meter_id="hall")
    sink.write_forecasts([forecast(meter=other, shift=100.0)])
    return influx_server, influx_database


def test_grafana_offers_the_meters_and_versions_that_are_published(
    watched: tuple[InfluxServer, str],
) -> None:
    server, database = watched
    dashboard = read_dashboard("energy-forecasts-influxql")
    values = {**dashboard.defaults, "meter_type": "water", "meter_id": "dma.5"}
    offered = {}
    for name, question in dashboard.questions.items():
        (result,) = server.ask(filled_in(question, values), database=database, user=server.reader)
        offered[name] = [value for _, value in result["series"][0]["values"]]

    assert offered == {
        "meter_type": ["gas", "water"],
        "meter_id": ["dma.5"],
        "model_version": [VERSION],
    }


@pytest.mark.parametrize("per_hour", ["sum", "mean"])
def test_each_panel_of_grafana_finds_what_it_asks_for(
    watched: tuple[InfluxServer, str], per_hour: str
) -> None:
    server, database = watched
    dashboard = read_dashboard("energy-forecasts-influxql")
    start, end = (f"{ORIGIN + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (-7, 7))
    values = {
        **dashboard.defaults,
        "meter_type": "water",
        "meter_id": "dma.5",
        "model_version": VERSION,
        "per_hour": per_hour,
        "timeFilter": f"time >= '{start}' AND time <= '{end}'",
    }
    found: dict[str, list[list[Any]]] = {}
    for title, target in dashboard.targets():
        (result,) = server.ask(
            filled_in(target["query"], values), database=database, user=server.reader
        )
        (series,) = result["series"]
        found[f"{title} {target['refId']}"] = series["values"]

    first, last = int(ORIGIN.timestamp()), int(ORIGIN.timestamp()) + (HOURS // 2 - 1) * 3600
    assert found["Last reading A"] == [[last, 1.0]]
    assert found["Forecast from A"][0][1] == 1000 * first
    assert found["Model version A"][0][2] == VERSION
    assert len(found["Reading and forecast A"]) == HOURS + HOURS // 2
    assert [row[1:] for row in found["Reading and forecast B"]] == [
        [row[0], row[4], row[8]] for row in forecast().quantiles.tolist()
    ]
    # The error panel joins by time.
    read, foretold = (
        {moment for moment, _ in found[f"Forecast error {ref}"]} for ref in ("A", "B")
    )
    assert len(read & foretold) == HOURS // 2
