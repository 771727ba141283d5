"""Publishes what the champions forecast, so that a dashboard shows it beside the readings.

One pass forecasts each meter that has a champion and something new: a later reading or another
version. The same readings and version give the same points, so a pass that was cut off is repeated
without harm. It goes only forward: a forecast that knows less than the one published last is not
written over it. It cannot tell that readings were corrected, or that a new temperature forecast
came, while the last reading stayed the same; ``again`` publishes such meters too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    Cancelled,
    ConnectionFailed,
    EnergyForecastingError,
)
from energy_forecasting.domain.meters import Meter, MeterSummary
from energy_forecasting.domain.published_forecast import PublishedForecast
from energy_forecasting.meters.forecast_sink import ForecastSink
from energy_forecasting.meters.store import MeterStore
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.serving.forecast_marks import ForecastMark, ForecastMarks
from energy_forecasting.serving.forecast_query import ForecastQuery
from energy_forecasting.serving.forecast_service import ForecastResult

#: So many points are written at once, give or take one meter's.
BATCH_POINTS = 5_000

_BUG = "an unexpected error; the log has the traceback"

logger = structlog.get_logger("serving.publisher")


class Forecasts(Protocol):
    """What the publisher needs of ``ForecastService``."""

    def forecast(self, meter: Meter, query: ForecastQuery) -> ForecastResult:
        """Forecast a meter."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedMeter:
    """A meter whose forecast has been written."""

    meter: Meter
    model_version: str
    origin: datetime
    points: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpublishedMeter:
    """A meter that could not be forecast."""

    meter: Meter
    reason: str  #: a sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishingReport:
    """What one pass did."""

    target: str
    published: tuple[PublishedMeter, ...]
    unpublished: tuple[UnpublishedMeter, ...]
    unchanged: int  #: meters with nothing new
    stopped_by: EnergyForecastingError | None  #: why the pass ended early; None: it did not


class ForecastPublisher:
    """One per process; a pass runs in one thread at a time."""

    def __init__(
        self,
        *,
        forecasts: Forecasts,
        models: ModelRegistry,
        meters: MeterStore,
        sink: ForecastSink,
        marks: ForecastMarks,
        horizon_hours: int,
        batch_points: int = BATCH_POINTS,
    ) -> None:
        self._forecasts = forecasts
        self._models = models
        self._meters = meters
        self._sink = sink
        self._marks = marks
        self._query = ForecastQuery(horizon_hours=horizon_hours)
        self._batch_points = batch_points
        #: What was last said of a meter, or of a pass (None), so that it is said once.
        self._told: dict[Meter | None, str] = {}

    def publish(
        self,
        *,
        again: bool = False,
        before_each: Callable[[], None] = lambda: None,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> PublishingReport:
        """Run one pass.

        Args:
            again: also what is published already.
            before_each: called before each meter and each write; ends the pass by raising one of
                our errors.
            on_progress: takes the share of the meters that have been looked at.
        """
        run = _Pass(self._sink, self._marks)
        stopped_by = None
        try:
            self._run(run, again=again, before_each=before_each, on_progress=on_progress)
        except EnergyForecastingError as error:
            stopped_by = error
        report = run.report(stopped_by)
        self._tell(report)
        return report

    def _run(
        self,
        run: "_Pass",
        *,
        again: bool,
        before_each: Callable[[], None],
        on_progress: Callable[[float], None],
    ) -> None:
        meters = self._models.meters()
        if not meters:
            return
        marks = self._marks.read(self._sink.target)
        summaries = {summary.meter: summary for summary in self._meters.list_meters()}
        for looked_at, meter in enumerate(meters, start=1):
            before_each()
            try:
                result = self._news_of(meter, summaries, marks, again=again)
            except (ConnectionFailed, AuthenticationFailed):
                raise  # no other meter would fare better
            except EnergyForecastingError as error:
                run.fail(meter, error.message)
                self._say_once(meter, error.error_type, error.message)
            except Exception:  # noqa: BLE001 - told with its traceback
                # One meter's bug must not keep the others from their forecasts.
                run.fail(meter, f"Meter {meter} met {_BUG}.")
                self._say_once(meter, _BUG, _BUG, is_bug=True)
            else:
                self._told.pop(meter, None)
                run.add(meter, result)
            if run.waiting_points >= self._batch_points:
                before_each()
                run.write()
            on_progress(looked_at / len(meters))
        before_each()
        run.write()

    def _news_of(
        self,
        meter: Meter,
        summaries: Mapping[Meter, MeterSummary],
        marks: Mapping[Meter, ForecastMark],
        *,
        again: bool,
    ) -> ForecastResult | None:
        """Forecast a meter; None when what is published already says as much."""
        mark = marks.get(meter)
        if mark is None:
            return self._forecasts.forecast(meter, self._query)
        version = self._models.champion(meter).version
        last = (summaries.get(meter) or self._meters.describe(meter, counted=False)).last_reading
        if last is not None:
            found = ForecastMark(model_version=version, last_reading=last)
            if not _is_news(found, mark, again=again):
                return None
        result = self._forecasts.forecast(meter, self._query)
        return result if _is_news(_mark_of(result), mark, again=again) else None

    def _say_once(self, meter: Meter, cause: str, reason: str, *, is_bug: bool = False) -> None:
        if self._told.get(meter) != cause:
            say = logger.exception if is_bug else logger.warning
            say(
                "Forecast not published",
                meter_id=meter.meter_id,
                meter_type=meter.meter_type,
                reason=reason,
            )
        self._told[meter] = cause

    def _tell(self, report: PublishingReport) -> None:
        if report.published:
            logger.info(
                "Forecasts published",
                target=report.target,
                meters=len(report.published),
                points=sum(each.points for each in report.published),
                failed=len(report.unpublished),
                unchanged=report.unchanged,
            )
        if report.stopped_by is None or isinstance(report.stopped_by, Cancelled):
            self._told.pop(None, None)
        elif self._told.get(None) != report.stopped_by.error_type:
            self._told[None] = report.stopped_by.error_type
            logger.warning(
                "Publishing ended early; the next pass goes on", reason=report.stopped_by.message
            )


class _Pass:
    """What waits to be written and what has been done; a batch is marked once it is written."""

    def __init__(self, sink: ForecastSink, marks: ForecastMarks) -> None:
        self._sink = sink
        self._marks = marks
        self._waiting: list[PublishedForecast] = []
        self._new_marks: dict[Meter, ForecastMark] = {}
        self._published: list[PublishedMeter] = []
        self._unpublished: list[UnpublishedMeter] = []
        self._unchanged = 0

    @property
    def waiting_points(self) -> int:
        return sum(map(len, self._waiting))

    def add(self, meter: Meter, result: ForecastResult | None) -> None:
        if result is None:
            self._unchanged += 1
            return
        self._waiting.append(
            PublishedForecast(
                meter=meter,
                model_version=result.card.version,
                origin=result.horizon.origin,
                timestamps=result.forecast.timestamps,
                levels=result.forecast.levels,
                quantiles=result.forecast.quantiles,
            )
        )
        self._new_marks[meter] = _mark_of(result)

    def fail(self, meter: Meter, reason: str) -> None:
        self._unpublished.append(UnpublishedMeter(meter=meter, reason=reason))

    def write(self) -> None:
        if not self._waiting:
            return
        self._sink.write_forecasts(self._waiting)
        self._marks.write(self._sink.target, self._new_marks)
        self._published += [
            PublishedMeter(
                meter=forecast.meter,
                model_version=forecast.model_version,
                origin=forecast.origin,
                points=len(forecast),
            )
            for forecast in self._waiting
        ]
        self._waiting, self._new_marks = [], {}

    def report(self, stopped_by: EnergyForecastingError | None) -> PublishingReport:
        return PublishingReport(
            target=self._sink.target,
            published=tuple(self._published),
            unpublished=tuple(self._unpublished),
            unchanged=self._unchanged,
            stopped_by=stopped_by,
        )


def _mark_of(result: ForecastResult) -> ForecastMark:
    return ForecastMark(model_version=result.card.version, last_reading=result.last_reading)


def _is_news(found: ForecastMark, published: ForecastMark, *, again: bool) -> bool:
    """Whether a forecast is to be written over the published one: never when it knows less."""
    return found.last_reading >= published.last_reading and (again or found != published)
