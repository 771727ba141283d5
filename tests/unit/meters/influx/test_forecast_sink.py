"""Forecasts as points of InfluxDB, and the sink that writes them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.published_forecast import PublishedForecast
from energy_forecasting.domain.readings import HOUR, to_datetime64
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.forecast_points import forecast_lines, quantile_field
from energy_forecasting.meters.influx.forecast_sink import InfluxForecastSink

METER = Meter(meter_type="water", meter_id="dma.5")
ORIGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class RecordingWriter:
    """Takes lines as InfluxDB would."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, list[str], float]] = []

    def write(self, container: str, lines: list[str], deadline: Deadline) -> None:
        self.writes.append((container, lines, deadline.seconds))

    def close(self) -> None: ...


def sink_of(writer: RecordingWriter, *, measurement: str) -> InfluxForecastSink:
    return InfluxForecastSink(
        writer,
        url="http://localhost:8086",
        container="energy",
        measurement=measurement,
        timeout_s=7.0,
    )


def forecast(*, hours: int = 2, starts_after: timedelta = timedelta(0)) -> PublishedForecast:
    return PublishedForecast(
        meter=METER,
        model_version="20260115T103422Z-1f3a9c",
        origin=ORIGIN,
        timestamps=to_datetime64(ORIGIN + starts_after) + np.arange(hours) * HOUR,
        levels=(0.1, 0.5, 0.9),
        quantiles=np.array([[1.0, 1 / 3, 2.5]] * hours),
    )


def test_a_point_names_meter_version_quantiles_origin_and_lead() -> None:
    lines = list(forecast_lines("energy_forecast", forecast()))

    head = "energy_forecast,meter_id=dma.5,meter_type=water,model_version=20260115T103422Z-1f3a9c"
    values = "q10=1.0,q50=0.3333333333333333,q90=2.5,origin=1772366400i"
    assert lines == [
        f"{head} {values},lead_hours=0.0 1772366400",
        f"{head} {values},lead_hours=1.0 1772370000",
    ]


def test_a_step_within_an_hour_has_a_lead_of_its_own() -> None:
    (point,) = forecast_lines("m", forecast(hours=1, starts_after=timedelta(minutes=15)))
    assert "lead_hours=0.25 1772367300" in point


@pytest.mark.parametrize(("level", "name"), [(0.1, "q10"), (0.29, "q29"), (0.025, "q2.5")])
def test_quantiles_are_named_in_percent(level: float, name: str) -> None:
    assert quantile_field(level) == name


def test_a_batch_of_forecasts_is_one_request() -> None:
    writer = RecordingWriter()
    sink = sink_of(writer, measurement="foretold")

    written = sink.write_forecasts([forecast(), forecast(hours=3)])

    assert written == 5
    ((container, lines, seconds),) = writer.writes
    assert (container, len(lines), seconds) == ("energy", 5, 7.0)
    assert sink.target == "measurement foretold of energy at http://localhost:8086"


def test_nothing_to_write_is_no_request() -> None:
    writer = RecordingWriter()
    sink = sink_of(writer, measurement="m")
    assert sink.write_forecasts([]) == 0
    assert writer.writes == []


def test_a_measurement_that_cannot_be_written_is_refused_before_anything_is_sent() -> None:
    writer = RecordingWriter()
    sink = sink_of(writer, measurement="_internal")
    with pytest.raises(InvalidRequest, match="_internal"):
        sink.write_forecasts([forecast()])
    assert writer.writes == []
