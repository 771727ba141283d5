"""A pass of the publisher: what it writes, what it leaves alone, what it survives."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from energy_forecasting.domain.cadence import Cadence
from energy_forecasting.domain.errors import (
    Cancelled,
    ConnectionFailed,
    EnergyForecastingError,
    InsufficientData,
)
from energy_forecasting.domain.forecasts import Forecast
from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.published_forecast import PublishedForecast
from energy_forecasting.domain.readings import HOUR, History, to_datetime64
from energy_forecasting.meters.forecast_sink import InMemoryForecastSink
from energy_forecasting.meters.memory import InMemoryMeterStore
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.serving.forecast_marks import InMemoryForecastMarks
from energy_forecasting.serving.forecast_publisher import ForecastPublisher, PublishingReport
from energy_forecasting.serving.forecast_query import ForecastQuery
from energy_forecasting.serving.forecast_service import ForecastResult
from tests.model_cards import card, write_artifact

HALL, LAB, YARD = (Meter(meter_type="water", meter_id=name) for name in ("hall", "lab", "yard"))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURS = 24


class CountingForecasts:
    """Forecasts that tell origin and version: hours since 1970 of the origin, and their rank."""

    def __init__(self, models: ModelRegistry, meters: InMemoryMeterStore) -> None:
        self._models = models
        self.meters = meters
        self.failures: dict[Meter, Exception] = {}
        self.asked: list[Meter] = []

    def forecast(self, meter: Meter, query: ForecastQuery) -> ForecastResult:
        self.asked.append(meter)
        if meter in self.failures:
            raise self.failures[meter]
        model = self._models.champion(meter)
        history = self.meters.read_history(meter)
        origin = history.last + timedelta(hours=1)
        hours = query.horizon_hours or 0
        values = np.full((hours, 9), origin.timestamp()) + np.arange(9.0)
        forecast = Forecast(
            timestamps=to_datetime64(origin) + np.arange(hours) * HOUR,
            levels=query.quantiles,
            quantiles=values,
            median=values[:, 4],
            sighted=np.zeros(hours, dtype=np.bool_),
        )
        return ForecastResult(
            card=model,
            horizon=Horizon(origin=origin, hours=hours),
            steps=Cadence(step=timedelta(hours=1)),
            start=origin,
            history=history,
            forecast=forecast,
            last_reading=history.last,
            resolution_doubt=None,
            known_share=1.0,
        )


class FragileSink(InMemoryForecastSink):
    """A sink that is away, once it has taken so many writes."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.away_after: int | None = None

    def write_forecasts(self, forecasts: Sequence[PublishedForecast]) -> int:
        if self.away_after is not None and len(self.batches) >= self.away_after:
            raise ConnectionFailed("InfluxDB cannot be reached; start it.")
        written = super().write_forecasts(forecasts)
        self.batches.append(written)
        return written


class Parts:
    """A publisher and what it works on."""

    def __init__(self, folder: Path, *, batch_points: int = 5_000) -> None:
        self.models = ModelRegistry(folder, versions_kept=3)
        self.meters = InMemoryMeterStore()
        self.forecasts = CountingForecasts(self.models, self.meters)
        self.sink = FragileSink()
        self.marks = InMemoryForecastMarks()
        self.batch_points = batch_points
        self.publisher = self.new_publisher()

    def new_publisher(self) -> ForecastPublisher:
        """Return one as another process has it: the same marks and sink, no memory."""
        return ForecastPublisher(
            forecasts=self.forecasts,
            models=self.models,
            meters=self.meters,
            sink=self.sink,
            marks=self.marks,
            horizon_hours=HOURS,
            batch_points=self.batch_points,
        )

    def read(self, meter: Meter, *, until: datetime = NOON) -> None:
        stamps = to_datetime64(until) - np.arange(5)[::-1] * HOUR
        history = History(timestamps=stamps, consumption=np.ones(5), temperature=np.full(5, np.nan))
        self.meters.write_readings(meter, iter([history]))

    def train(self, meter: Meter, version: str = "v1") -> None:
        incoming = self.models.incoming_path()
        write_artifact(incoming, card(version, meter))
        self.models.publish(incoming, card(version, meter))

    def origin_at(self, meter: Meter, moment: datetime, version: str = "v1") -> datetime | None:
        point = self.sink.points.get((meter, version, int(moment.timestamp())))
        return None if point is None else point[0]


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = Parts(tmp_path)
    for meter in (HALL, LAB):
        made.read(meter)
        made.train(meter)
    return made


def published(report: PublishingReport) -> list[Meter]:
    return [each.meter for each in report.published]


def test_every_champion_is_forecast_from_its_last_reading_on(parts: Parts) -> None:
    # Given also readings without a model
    parts.read(YARD)
    # When
    report = parts.publisher.publish()
    # Then
    assert published(report) == [HALL, LAB]
    assert report.stopped_by is None
    assert {each.points for each in report.published} == {HOURS}
    assert len(parts.sink.points) == 2 * HOURS
    first, last = NOON + timedelta(hours=1), NOON + timedelta(hours=HOURS)
    assert parts.origin_at(HALL, first) == first
    assert parts.origin_at(HALL, last) == first
    assert parts.origin_at(HALL, last + timedelta(hours=1)) is None


def test_what_has_not_changed_is_not_forecast_again(parts: Parts) -> None:
    parts.publisher.publish()
    parts.forecasts.asked.clear()

    report = parts.publisher.publish()
    elsewhere = parts.new_publisher().publish()

    assert parts.forecasts.asked == []
    assert (report.published, report.unchanged) == ((), 2)
    assert (elsewhere.published, elsewhere.unchanged) == ((), 2)


def test_a_later_reading_moves_the_forecast_on_and_leaves_what_was_foretold_before(
    parts: Parts,
) -> None:
    parts.publisher.publish()
    parts.read(HALL, until=NOON + timedelta(hours=3))

    report = parts.publisher.publish()

    assert published(report) == [HALL]
    first = NOON + timedelta(hours=1)
    assert parts.origin_at(HALL, first) == first
    assert parts.origin_at(HALL, NOON + timedelta(hours=4)) == NOON + timedelta(hours=4)


def test_a_new_version_is_published_beside_its_predecessor(parts: Parts) -> None:
    parts.publisher.publish()
    parts.train(LAB, "v2")

    report = parts.publisher.publish()

    assert [(each.meter, each.model_version) for each in report.published] == [(LAB, "v2")]
    assert parts.origin_at(LAB, NOON + timedelta(hours=1), "v1") is not None
    assert parts.origin_at(LAB, NOON + timedelta(hours=1), "v2") is not None


def test_publishing_twice_changes_nothing(parts: Parts) -> None:
    parts.publisher.publish()
    before = dict(parts.sink.points)

    report = parts.publisher.publish(again=True)

    assert published(report) == [HALL, LAB]
    assert parts.sink.points == before


@pytest.mark.parametrize("again", [False, True])
def test_a_forecast_that_knows_less_is_never_written_over_one_that_knows_more(
    parts: Parts, again: bool
) -> None:
    # Given a forecast whose newest readings have since been taken back
    parts.read(HALL, until=NOON + timedelta(hours=3))
    parts.publisher.publish()
    before = dict(parts.sink.points)
    parts.meters = parts.forecasts.meters = InMemoryMeterStore()
    for meter in (HALL, LAB):
        parts.read(meter)
    # When
    report = parts.new_publisher().publish(again=again)
    # Then
    assert published(report) == ([LAB] if again else [])
    assert parts.sink.points == before


def test_a_meter_that_fails_does_not_stop_the_others_and_is_told_of_once(parts: Parts) -> None:
    parts.forecasts.failures[HALL] = InsufficientData("Meter water/hall has too little history.")
    with capture_logs() as logs:
        first = parts.publisher.publish()
        parts.publisher.publish()

    assert published(first) == [LAB]
    assert [(each.meter, each.reason) for each in first.unpublished] == [
        (HALL, "Meter water/hall has too little history.")
    ]
    told = [log for log in logs if log["event"] == "Forecast not published"]
    assert [log["meter_id"] for log in told] == ["hall"]


def test_a_meter_that_fails_for_another_reason_or_again_later_is_told_of_again(
    parts: Parts,
) -> None:
    failures: list[Exception | None] = [
        InsufficientData("Too little."),
        ValueError("a bug"),
        None,
        ValueError("a bug"),
    ]
    with capture_logs() as logs:
        for number, failure in enumerate(failures):
            parts.forecasts.failures.clear()
            if failure is not None:
                parts.forecasts.failures[HALL] = failure
            parts.read(HALL, until=NOON + timedelta(hours=number))
            parts.publisher.publish()

    told = [log for log in logs if log["event"] == "Forecast not published"]
    assert [log["reason"] for log in told] == [
        "Too little.",
        "an unexpected error; the log has the traceback",
        "an unexpected error; the log has the traceback",
    ]
    assert [log["log_level"] for log in told] == ["warning", "error", "error"]
    assert told[1]["exc_info"]


def test_a_damaged_model_is_one_meters_trouble(parts: Parts) -> None:
    parts.publisher.publish()
    parts.models.champion_path(HALL).write_bytes(b"half a model")
    parts.read(LAB, until=NOON + timedelta(hours=1))

    report = parts.publisher.publish()

    assert published(report) == [LAB]
    assert "hall.h5 cannot be opened" in report.unpublished[0].reason


def test_readings_that_are_gone_are_one_meters_trouble(parts: Parts) -> None:
    parts.train(YARD)

    report = parts.publisher.publish()

    assert published(report) == [HALL, LAB]
    assert report.unpublished[0].meter == YARD
    assert "has no reading" in report.unpublished[0].reason


def test_a_sink_that_is_away_leaves_nothing_marked_and_is_told_of_once(parts: Parts) -> None:
    parts.sink.away_after = 0
    with capture_logs() as logs:
        reports = [parts.publisher.publish() for _ in range(2)]
    parts.sink.away_after = None
    back = parts.publisher.publish()

    assert [report.published for report in reports] == [(), ()]
    assert {type(report.stopped_by) for report in reports} == {ConnectionFailed}
    assert [log["event"] for log in logs] == ["Publishing ended early; the next pass goes on"]
    assert published(back) == [HALL, LAB]


def test_batches_hold_several_meters_and_what_was_written_stays_marked(tmp_path: Path) -> None:
    # Given five meters, two to a batch, and a sink that breaks off after the first
    parts = Parts(tmp_path, batch_points=2 * HOURS)
    meters = [Meter(meter_type="gas", meter_id=f"m{number}") for number in range(5)]
    for meter in meters:
        parts.read(meter)
        parts.train(meter)
    parts.sink.away_after = 1
    # When
    cut_off = parts.publisher.publish()
    parts.sink.away_after = None
    rest = parts.publisher.publish()
    # Then
    assert published(cut_off) == meters[:2]
    assert published(rest) == meters[2:]
    assert parts.sink.batches == [2 * HOURS, 2 * HOURS, HOURS]


def test_a_meter_store_that_is_away_ends_the_pass(parts: Parts) -> None:
    parts.forecasts.failures[HALL] = ConnectionFailed("The meter store cannot be reached.")

    report = parts.publisher.publish()

    assert isinstance(report.stopped_by, ConnectionFailed)
    assert parts.forecasts.asked == [HALL]


def test_a_pass_ends_where_its_caller_says_and_writes_no_more(parts: Parts) -> None:
    stop: list[EnergyForecastingError] = []

    def before_each() -> None:
        if stop:
            raise stop[0]
        if parts.forecasts.asked:
            stop.append(Cancelled("The worker stops."))

    report = parts.publisher.publish(before_each=before_each)

    assert report.stopped_by is stop[0]
    assert parts.sink.points == {}


def test_progress_reaches_the_end(parts: Parts) -> None:
    shares: list[float] = []
    parts.publisher.publish(on_progress=shares.append)
    assert shares == [0.5, 1.0]


def test_without_champions_nothing_is_asked(tmp_path: Path) -> None:
    report = Parts(tmp_path).publisher.publish()
    assert (report.published, report.unpublished, report.stopped_by) == ((), (), None)
