"""Answers forecasts: finds the model, reads the recent history, evaluates the network.

Models are kept in memory until their file changes, so a new champion serves at once. A model
whose file is damaged is an error, not a silent baseline.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from threading import Lock
from zoneinfo import ZoneInfo

import numpy as np
import structlog

from energy_forecasting.api.schemas import ForecastRequest
from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.forecasts import Forecast, TemperatureSource
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS, Horizon
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.model_card import ModelCard
from energy_forecasting.domain.readings import HOUR, History, Values, to_datetime64, to_hourly
from energy_forecasting.forecasting.forecaster import RECENT_DAYS, Forecaster
from energy_forecasting.forecasting.grid import mean_by_hour
from energy_forecasting.forecasting.temperature_ahead import SHORT_GAP_HOURS, close_short_gaps
from energy_forecasting.meters.store import MeterStore
from energy_forecasting.registry.artifact import read_card, read_weights
from energy_forecasting.registry.model_registry import ModelRegistry, no_model

logger = structlog.get_logger("api.forecast")

_SENT, _STORED = TemperatureSource.REQUEST, TemperatureSource.STORE

MODELS_IN_MEMORY = 256

#: Every forecast compares with the same hour of these weeks.
FOUNDATION = timedelta(weeks=4)

#: A little more than the forecaster looks at: its days are local ones.
HISTORY_READ = timedelta(days=RECENT_DAYS + 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastResult:
    """A forecast and what it stands on."""

    card: ModelCard
    horizon: Horizon
    history: History  #: hourly, before the origin
    forecast: Forecast  #: the hours asked for
    last_reading: datetime
    known_share: float  #: of the hours of the last four weeks before the origin, 0 to 1


class ForecastService:
    """One per API process; safe to share between threads."""

    def __init__(self, models: ModelRegistry, meters: MeterStore) -> None:
        self._models = models
        self._meters = meters
        self._lock = Lock()
        self._loaded: OrderedDict[Path, tuple[int, Forecaster]] = OrderedDict()

    def forecast(self, meter: Meter, request: ForecastRequest) -> ForecastResult:
        """Forecast a meter.

        Raises:
            NotFound: the meter has no model.
            NoDataFound: it has no readings.
            InvalidRequest: the horizon cannot be served; ``field`` names what to change.
        """
        forecaster = self._forecaster(meter)
        summary = self._meters.describe(meter)
        last = summary.last_reading
        if last is None:  # the store did not look; the newest reading tells
            last = self._meters.read_history(meter).last
        next_hour = last.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        span = _span(request, next_hour, ZoneInfo(forecaster.card.timezone))
        horizon = _horizon(span, next_hour)
        readings = self._meters.read_history(
            meter, start=horizon.origin - HISTORY_READ, end=horizon.origin
        )
        history = to_hourly(readings, summary.profile.reading_kind)
        temperature, temperature_from = _sent_temperature(request, horizon, span), _SENT
        if temperature is None and forecaster.card.uses_temperature:
            temperature, temperature_from = self._stored_temperature(meter, horizon), _STORED
        forecast = replace(
            forecaster.forecast(
                history, horizon, levels=sorted(set(request.quantiles)), temperature=temperature
            ),
            temperature_from=temperature_from,
        )
        if forecast.is_baseline:
            logger.error(
                "The model's forecast was absurd; the baseline answers",
                meter_id=meter.meter_id,
                meter_type=meter.meter_type,
                version=forecaster.card.version,
                origin=horizon.origin.isoformat(),
            )
        return ForecastResult(
            card=forecaster.card,
            horizon=horizon,
            history=history,
            forecast=_from(forecast, span.start),
            last_reading=last,
            known_share=_known_share(history, horizon.origin),
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
        forecaster = Forecaster(read_card(path), read_weights(path))
        with self._lock:
            self._loaded[path] = (changed_ns, forecaster)
            while len(self._loaded) > MODELS_IN_MEMORY:
                self._loaded.popitem(last=False)
        return forecaster


def _known_share(history: History, origin: datetime) -> float:
    """Return how much of what a forecast rests on was measured and not filled in."""
    first = np.datetime64((origin - FOUNDATION).replace(tzinfo=None))
    known = np.isfinite(history.consumption) & (history.timestamps >= first)
    return float(known.sum()) / (FOUNDATION / timedelta(hours=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    """The hours that the client wants to see."""

    start: datetime
    end: datetime


def _span(request: ForecastRequest, next_hour: datetime, zone: ZoneInfo) -> _Span:
    if request.start_date is None or request.end_date is None:
        hours = request.horizon_hours or MAX_HORIZON_HOURS
        return _Span(start=next_hour, end=next_hour + timedelta(hours=hours))
    try:
        start = _moment(request.start_date, zone)
        end = _moment(request.end_date, zone, is_end=True)
    except OverflowError as error:
        raise InvalidRequest(
            "start_date and end_date must lie within the years 1 to 9999.", field="start_date"
        ) from error
    if end <= start:
        raise InvalidRequest("end_date must be after start_date.", field="end_date")
    return _Span(start=start, end=end)


def _moment(day_or_moment: date | datetime, zone: ZoneInfo, *, is_end: bool = False) -> datetime:
    """Return a whole UTC hour; a day counts from its local midnight, as an end to the next one."""
    if isinstance(day_or_moment, datetime):
        moment = day_or_moment.astimezone(UTC)
        whole = moment.replace(minute=0, second=0, microsecond=0)
        return whole + timedelta(hours=1) if is_end and whole < moment else whole
    day = day_or_moment + timedelta(days=1) if is_end else day_or_moment
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def _horizon(span: _Span, next_hour: datetime) -> Horizon:
    """Start at the hour after the last reading, or earlier when the span is in the past."""
    origin = min(span.start, next_hour)
    hours = int((span.end - origin) / timedelta(hours=1))
    if hours > MAX_HORIZON_HOURS:
        latest = origin + timedelta(hours=MAX_HORIZON_HOURS)
        raise InvalidRequest(
            f"A forecast reaches {MAX_HORIZON_HOURS} hours beyond what is known, here until "
            f"{latest.isoformat()}; end it there or earlier.",
            field="end_date",
            latest_end=latest.isoformat(),
        )
    return Horizon(origin=origin, hours=hours)


def _sent_temperature(request: ForecastRequest, horizon: Horizon, span: _Span) -> Values | None:
    """Return the client's temperatures by hour of the horizon, NaN where it sent none."""
    if request.temperature is None:
        return None
    wanted = int((span.end - span.start) / timedelta(hours=1))
    sent = np.array(request.temperature, dtype=np.float64)  # null is NaN
    if len(sent) > wanted:
        raise InvalidRequest(
            f"temperature has {len(sent)} values for {wanted} hours; send one an hour from the "
            "first hour asked for, as many as are known.",
            field="temperature",
        )
    temperature = np.full(horizon.hours, np.nan)
    first = horizon.hours - wanted  # the span may start later than the forecast
    temperature[first : first + len(sent)] = sent
    return temperature


def _from(forecast: Forecast, start: datetime) -> Forecast:
    """Leave out the hours before the span that the client asked for."""
    first = int(np.searchsorted(forecast.timestamps, np.datetime64(start.replace(tzinfo=None))))
    return replace(
        forecast,
        timestamps=forecast.timestamps[first:],
        quantiles=forecast.quantiles[first:],
        median=forecast.median[first:],
        sighted=forecast.sighted[first:],
    )
