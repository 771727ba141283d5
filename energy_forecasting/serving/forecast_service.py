"""Answers forecasts: finds the model, reads the recent history, evaluates the network.

Models are kept in memory until their file changes, so a new champion serves at once. A model
whose file is damaged is an error, not a silent baseline.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from zoneinfo import ZoneInfo

import numpy as np
import structlog

from energy_forecasting.domain.aggregation import to_hourly
from energy_forecasting.domain.cadence import Cadence
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import DataQualityError, InvalidRequest
from energy_forecasting.domain.forecasts import Forecast, TemperatureSource
from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.meters import Meter, MeterProfile, MeterSummary, ReadingKind
from energy_forecasting.domain.model_card import ModelCard
from energy_forecasting.domain.monitoring import LiveRecord
from energy_forecasting.domain.readings import HOUR, History, Values, to_datetime64
from energy_forecasting.domain.resolutions import (
    FINE_READINGS,
    checked_resolution,
    found_resolution,
)
from energy_forecasting.forecasting.explaining.explanation import Explanation
from energy_forecasting.forecasting.forecaster import Forecaster
from energy_forecasting.forecasting.grid import mean_by_hour
from energy_forecasting.forecasting.stepping import Stepper, level_over_steps
from energy_forecasting.forecasting.temperature_ahead import SHORT_GAP_HOURS, close_short_gaps
from energy_forecasting.meters.store import MeterStore
from energy_forecasting.registry.artifact import read_artifact
from energy_forecasting.registry.model_registry import ModelRegistry, no_model
from energy_forecasting.serving.forecast_query import ForecastQuery
from energy_forecasting.serving.forecast_steps import (
    Span,
    answer_steps,
    asked_span,
    horizon_of,
    hours_in,
    span_in_steps,
)

logger = structlog.get_logger("serving.forecast")

_SENT, _STORED = TemperatureSource.REQUEST, TemperatureSource.STORE

MODELS_IN_MEMORY = 256

#: Every forecast compares with the same hour of these weeks.
FOUNDATION = timedelta(weeks=4)

#: What a reading covers may be a day, whose start lies before what a forecaster looks at.
LONGEST_STEP = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastResult:
    """A forecast and what it stands on."""

    card: ModelCard
    horizon: Horizon  #: the hours that the model forecast
    steps: Cadence  #: of history and forecast
    start: datetime  #: of the first step that is not known
    history: History  #: before it
    forecast: Forecast  #: the steps asked for
    last_reading: datetime
    resolution_doubt: str | None  #: what is wrong with the steps of the recent readings
    known_share: float  #: of the hours of the last four weeks before the origin, 0 to 1
    explanation: Explanation | None = None  #: of the hours asked for, where it was wished


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitoringResult:
    """How a champion has done since its training."""

    card: ModelCard
    last_reading: datetime
    record: LiveRecord | None  #: without a temperature ahead; None as long as no reading has come
    record_known_temperature: LiveRecord | None  #: None also where the model uses none


class ForecastService:
    """One per process; safe to share between threads."""

    def __init__(self, models: ModelRegistry, meters: MeterStore) -> None:
        self._models = models
        self._meters = meters
        self._lock = Lock()
        self._loaded: OrderedDict[Path, tuple[int, Forecaster]] = OrderedDict()

    def forecast(self, meter: Meter, query: ForecastQuery) -> ForecastResult:
        """Forecast a meter.

        Raises:
            NotFound: the meter has no model.
            NoDataFound: it has no readings.
            InvalidRequest: the horizon cannot be served; ``field`` names what to change.
        """
        forecaster = self._forecaster(meter)
        card = forecaster.card
        summary = self._meters.describe(meter, counted=False)
        last = self._last_reading(summary)
        profile = summary.profile
        asked = asked_span(query, ZoneInfo(card.timezone))
        readings = self._recent_readings(forecaster, profile.reading_kind, asked, last)
        own = _own_steps(readings, profile, card)
        steps = answer_steps(query.resolution_minutes, own)
        next_step = steps.start_of(_known_until(own, profile.reading_kind, last))
        span = span_in_steps(asked, query.horizon_hours, steps, next_step)
        horizon = horizon_of(span, steps, next_step)
        history = to_hourly(readings, profile.reading_kind).before(horizon.origin)
        temperature, temperature_from = _sent_temperature(query, horizon, span), _SENT
        if temperature is None and card.uses_temperature:
            temperature, temperature_from = self._stored_temperature(meter, horizon), _STORED
        if temperature is not None:
            temperature = level_over_steps(temperature, horizon, steps)
        hourly = replace(
            forecaster.forecast(
                history, horizon, levels=sorted(set(query.quantiles)), temperature=temperature
            ),
            temperature_from=temperature_from,
        )
        stepper = Stepper(steps=steps, kind=profile.reading_kind, card=card)
        past, forecast = stepper.bring(hourly, readings=readings, history=history)
        if forecast.is_baseline:
            logger.error(
                "The model's forecast was absurd; the baseline answers",
                meter_id=meter.meter_id,
                meter_type=meter.meter_type,
                version=card.version,
                origin=horizon.origin.isoformat(),
            )
        explanation = None
        if query.explain:
            shown = _within(hourly, span)
            explanation = stepper.bring_explanation(
                forecaster.explain(history, horizon, shown, temperature=temperature),
                shown.timestamps,
            )
        return ForecastResult(
            card=card,
            horizon=horizon,
            steps=steps,
            start=min(span.start, next_step),
            history=past,
            forecast=_within(forecast, span),
            explanation=explanation,
            last_reading=last,
            resolution_doubt=_resolution_doubt(readings, profile),
            known_share=_known_share(history, horizon.origin),
        )

    def monitor(self, meter: Meter) -> MonitoringResult:
        """Tell how a meter's model has done on the readings since its training.

        Raises:
            NotFound: the meter has no model.
            NoDataFound: it has no readings.
        """
        forecaster = self._forecaster(meter)
        card = forecaster.card
        summary = self._meters.describe(meter, counted=False)
        last = self._last_reading(summary)
        profile = summary.profile
        readings = self._recent_readings(forecaster, profile.reading_kind, None, last)
        own = _own_steps(readings, profile, card)
        known_until = _known_until(own, profile.reading_kind, last)
        origin = known_until.replace(minute=0, second=0, microsecond=0)
        history = to_hourly(readings, profile.reading_kind).before(origin)
        return MonitoringResult(
            card=card,
            last_reading=last,
            record=forecaster.record(history, origin, TemperatureSource.UNUSED),
            record_known_temperature=forecaster.record(history, origin, TemperatureSource.REQUEST)
            if card.uses_temperature
            else None,
        )

    def _last_reading(self, summary: MeterSummary) -> datetime:
        if summary.last_reading is not None:
            return summary.last_reading
        # The store did not look; the newest reading tells.
        return self._meters.read_history(summary.meter).last

    def _recent_readings(
        self, forecaster: Forecaster, kind: ReadingKind, asked: Span | None, last: datetime
    ) -> History:
        """Read what a forecast looks at; for a span in the past what was known then."""
        until = last + timedelta(seconds=1)
        if asked is not None and asked.start < until:
            # A register's reading closes the step before it.
            closing = timedelta(seconds=1 if kind is ReadingKind.CUMULATIVE else 0)
            until = asked.start + closing
        meter = Meter(meter_type=forecaster.card.meter_type, meter_id=forecaster.card.meter_id)
        start = forecaster.needs_from(until) - LONGEST_STEP
        return self._meters.read_history(
            meter, start=start, end=until, whole_hours_before=until - FINE_READINGS
        )

    def _stored_temperature(self, meter: Meter, horizon: Horizon) -> Values:
        """Return what the store forecasts for each hour of a horizon, NaN where nothing."""
        hours = horizon.hours + SHORT_GAP_HOURS  # so that the last hours lie between two values
        held = self._meters.read_temperature_forecast(
            meter, start=horizon.origin, end=horizon.origin + timedelta(hours=hours)
        )
        at = (held.timestamps - to_datetime64(horizon.origin)) // HOUR
        by_hour = mean_by_hour(at.astype(np.int64), held.degrees, hours)
        return close_short_gaps(by_hour)[: horizon.hours]

    def _forecaster(self, meter: Meter) -> Forecaster:
        path = self._models.champion_path(meter)
        try:
            changed_ns = path.stat().st_mtime_ns
        except FileNotFoundError as error:
            raise no_model(meter) from error
        with self._lock:
            loaded = self._loaded.get(path)
            if loaded is not None and loaded[0] == changed_ns:
                self._loaded.move_to_end(path)
                return loaded[1]
        forecaster = Forecaster(*read_artifact(path))
        with self._lock:
            self._loaded[path] = (changed_ns, forecaster)
            while len(self._loaded) > MODELS_IN_MEMORY:
                self._loaded.popitem(last=False)
        return forecaster


def _known_until(own: Cadence, kind: ReadingKind, last_reading: datetime) -> datetime:
    """Return the end of what the last reading tells: a register's closes the step before it."""
    if kind is ReadingKind.CUMULATIVE:
        return own.closed_by(last_reading)
    return own.known_until(last_reading)


def _known_share(history: History, origin: datetime) -> float:
    """Return how much of what a forecast rests on was measured and not filled in."""
    first = np.datetime64((origin - FOUNDATION).replace(tzinfo=None))
    known = np.isfinite(history.consumption) & (history.timestamps >= first)
    return float(known.sum()) / (FOUNDATION / timedelta(hours=1))


def _own_steps(readings: History, profile: MeterProfile, card: ModelCard) -> Cadence:
    """Return the steps of the readings; where they do not tell, those that are declared."""
    step = found_resolution(readings.timestamps) or profile.resolution
    if step is None:
        step = timedelta(minutes=card.resolution_minutes or 60)
    calendar = LocalCalendar(timezone=card.timezone, country=card.country)
    return Cadence.of(readings.timestamps, step, calendar)


def _resolution_doubt(readings: History, profile: MeterProfile) -> str | None:
    try:
        checked_resolution(readings.timestamps, profile.resolution)
    except DataQualityError as error:
        return error.message
    return None


def _sent_temperature(query: ForecastQuery, horizon: Horizon, span: Span) -> Values | None:
    """Return the client's temperatures by hour of the horizon, NaN where it sent none."""
    if query.temperature is None:
        return None
    # The span may start later than the forecast, and within an hour.
    first = (span.start - horizon.origin) // timedelta(hours=1)
    wanted = min(hours_in(span.start, span.end), horizon.hours - first)
    sent = np.array(query.temperature, dtype=np.float64)  # null is NaN
    if len(sent) > wanted:
        raise InvalidRequest(
            f"temperature has {len(sent)} values for {wanted} hours; send one an hour from the "
            "first hour asked for, as many as are known.",
            field="temperature",
        )
    temperature = np.full(horizon.hours, np.nan)
    temperature[first : first + len(sent)] = sent
    return temperature


def _within(forecast: Forecast, span: Span) -> Forecast:
    """Leave out the steps that the client did not ask for."""
    bounds = [to_datetime64(span.start), to_datetime64(span.end)]
    first, beyond = np.searchsorted(forecast.timestamps, bounds)
    return replace(
        forecast,
        timestamps=forecast.timestamps[first:beyond],
        quantiles=forecast.quantiles[first:beyond],
        median=forecast.median[first:beyond],
        sighted=forecast.sighted[first:beyond],
    )
