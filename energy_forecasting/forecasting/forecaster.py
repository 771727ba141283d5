"""Forecasting with a trained model: NumPy alone, a few milliseconds, no TensorFlow.

A forecast looks only at readings before the origin and only at the last RECENT_DAYS of them;
where readings have come since the training, its calibration follows them (``live_calibration.py``).
It cannot look further ahead than a week: beyond that last week's values are not known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import InsufficientData, InvalidRequest
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS, Forecast, TemperatureSource
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS, Horizon
from energy_forecasting.domain.model_card import BASELINE, ForecastMethod, ModelCard
from energy_forecasting.domain.monitoring import LiveRecord
from energy_forecasting.domain.readings import (
    HOUR,
    History,
    Timestamps,
    Values,
    to_datetime64,
)
from energy_forecasting.forecasting.calibration import normal_tails
from energy_forecasting.forecasting.evaluation import Weights
from energy_forecasting.forecasting.explaining.circumstances import Circumstances
from energy_forecasting.forecasting.explaining.explanation import (
    AT_REST,
    LAST_WEEK,
    RECENT_ERRORS,
    Explanation,
    at_hours,
    explain_network,
    with_floor,
)
from energy_forecasting.forecasting.explaining.explanation_sentences import (
    describe_baseline,
    describe_network,
)
from energy_forecasting.forecasting.explaining.usual_conditions import usual_grid, usual_temperature
from energy_forecasting.forecasting.features import FeatureRows, Rows
from energy_forecasting.forecasting.grid import Flags, Hours, LocalGrid, local_hour
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK
from energy_forecasting.forecasting.levels import at_levels, checked_levels
from energy_forecasting.forecasting.live.adaptive_calibration import Adaptation
from energy_forecasting.forecasting.live.live_calibration import LiveCalibration
from energy_forecasting.forecasting.live.replay import replay_needs_from
from energy_forecasting.forecasting.model_quantiles import (
    RECENT_DAYS,
    evaluate,
    is_absurd,
    model_features,
    with_some_temperature,
)
from energy_forecasting.forecasting.quality.outliers import is_intermittent
from energy_forecasting.forecasting.seasonal_naive import (
    RESIDUAL_QUANTILES,
    naive_quantiles,
    week_ago,
)
from energy_forecasting.forecasting.temperature_ahead import TemperatureAhead

#: Without any reading in so many days before the origin there is nothing to forecast from.
SILENT_DAYS_ALLOWED = 28

_MEDIAN = QUANTILE_LEVELS.index(0.5)
_MOSTLY = 0.5

_ABSURD = "The model's own forecast lay far outside of what this meter has ever shown."


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Outlook:
    """The question put to a model, on the local grid."""

    grid: LocalGrid  #: ends at the origin
    origin: int  #: grid hour
    leads: Hours  #: [n] of the hours asked; the autumn hour appears twice
    temperature: Values  #: [n] as it was given, NaN where unknown


class Forecaster:
    """Forecasts one meter from its card and weights; safe to call from several threads."""

    def __init__(self, card: ModelCard, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
        self._card = card
        self._weights: Weights = weights
        self._calendar = LocalCalendar(timezone=card.timezone, country=card.country)
        self._live = LiveCalibration(card, self._weights)

    @property
    def _floor(self) -> float:
        return 0.0 if self._card.non_negative else -np.inf

    @property
    def card(self) -> ModelCard:
        """The card of the model in use."""
        return self._card

    def needs_from(self, origin: datetime) -> datetime:
        """Return the moment from which on a forecast from an origin looks at readings."""
        return replay_needs_from(self._card, origin)

    def record(
        self, history: History, origin: datetime, source: TemperatureSource
    ) -> LiveRecord | None:
        """Return how the model has done since its training; None where nothing can be said."""
        return self._live.at(history, origin, source).record

    def forecast(
        self,
        history: History,
        horizon: Horizon,
        *,
        levels: Sequence[float] = QUANTILE_LEVELS,
        temperature: Values | None = None,
    ) -> Forecast:
        """Forecast the hours of a horizon.

        Args:
            history: hourly readings; those ``needs_from`` the origin suffice.
            horizon: the hours ahead.
            levels: quantile levels from .01 to .99.
            temperature: [horizon.hours] degrees Celsius of the hours ahead, NaN where unknown;
                None when nothing is known. See ``temperature_ahead`` for who answers then.

        Raises:
            InvalidRequest: horizon, levels or temperature do not fit; ``field`` says which.
            InsufficientData: no usable reading in the last four weeks before the origin.
        """
        wanted = checked_levels(levels)
        _check_horizon(horizon)
        _check_temperature(temperature, horizon)
        timestamps = _timestamps(horizon)
        outlook = self._outlook(history, horizon, timestamps, temperature)
        is_baseline, sighted = False, np.zeros(horizon.hours, dtype=np.bool_)
        if self._card.method is ForecastMethod.SEASONAL_NAIVE:
            table = self._weights[RESIDUAL_QUANTILES]
            quantiles = _naive(outlook, table)
        else:
            ahead = self._temperature_ahead(outlook)
            quantiles = self._quantiles(self._features(outlook, ahead), ahead)[outlook.leads]
            if is_absurd(self._card, quantiles):
                is_baseline = True
                quantiles = _naive(outlook, np.array(self._card.baseline_residuals))
            elif ahead is not None:
                sighted = ahead.covered[outlook.leads]
        source = _replayed_source(sighted)
        live = self._live.at(history, horizon.origin, source)
        if not is_baseline:
            quantiles = _adapted(quantiles, outlook, live.adaptation)
        # A season that begins is for the model, whatever it lost to zero in the season before.
        if self._card.zero_median and is_intermittent(outlook.grid.consumption[-HOURS_PER_WEEK:]):
            quantiles[:, : _MEDIAN + 1] = 0.0
        is_naive = is_baseline or self._card.method is ForecastMethod.SEASONAL_NAIVE
        own_tails = BASELINE if is_naive else source.value
        tails = self._card.tails.get(own_tails) or normal_tails()
        at_wanted = at_levels(quantiles, wanted, leads=outlook.leads, tails=tails)
        return Forecast(
            timestamps=timestamps,
            levels=wanted,
            quantiles=np.maximum(at_wanted, self._floor),
            median=np.maximum(quantiles[:, _MEDIAN], self._floor),
            sighted=sighted,
            is_baseline=is_baseline,
            live=live.record,
        )

    def explain(
        self,
        history: History,
        horizon: Horizon,
        forecast: Forecast,
        *,
        temperature: Values | None = None,
    ) -> Explanation:
        """Take a forecast apart into what drives it.

        Args:
            history: as given for the forecast.
            horizon: as given for the forecast.
            forecast: what it answered, or some of those hours.
            temperature: as given for the forecast.
        """
        card, timestamps = self._card, _timestamps(horizon)
        outlook = self._outlook(history, horizon, timestamps, temperature)
        usual = _as_usual(outlook, card)
        shown = np.isin(timestamps, forecast.timestamps)
        leads = outlook.leads[shown]
        warmer = _warmer(outlook, usual, shown) if forecast.temperature_hours else None
        about = Circumstances.of(
            outlook.grid, outlook.origin + leads, usual.grid.consumption, warmer
        )
        if forecast.is_baseline or card.method is ForecastMethod.SEASONAL_NAIVE:
            reason = _ABSURD if forecast.is_baseline else card.method_reason
            return Explanation(
                parts={LAST_WEEK: forecast.median}, sentences=describe_baseline(reason, about)
            )
        ahead = self._temperature_ahead(outlook)
        built = self._features(outlook, ahead)
        usually = self._features(usual, ahead and self._temperature_ahead(usual))
        median_of = partial(self._median, base=built.base[0], ahead=ahead)
        parts = at_hours(explain_network(median_of, built, usually), leads)
        own = self._quantiles(built, ahead)[outlook.leads]
        sighted = np.zeros(len(own), np.bool_) if ahead is None else ahead.covered[outlook.leads]
        live = self._live.at(history, horizon.origin, _replayed_source(sighted))
        moved = (_adapted(own, outlook, live.adaptation) - own)[shown, _MEDIAN]
        if moved.any():
            parts[RECENT_ERRORS] = moved
        parts = with_floor(parts, self._floor)
        if card.zero_median and not forecast.median.any():
            parts[AT_REST] = -np.sum(list(parts.values()), axis=0)
        return Explanation(
            parts=parts, sentences=describe_network(parts, about, unit=card.unit, scale=card.scale)
        )

    def _outlook(
        self,
        history: History,
        horizon: Horizon,
        timestamps: Timestamps,
        temperature: Values | None,
    ) -> _Outlook:
        recent = _recent(history, horizon)
        end = local_hour(horizon.origin, self._calendar)
        grid = LocalGrid.from_history(
            recent,
            self._calendar,
            start=end - RECENT_DAYS * HOURS_PER_DAY,
            end=end,
        )
        return _Outlook(
            grid=grid,
            origin=len(grid),
            leads=grid.hours_of(timestamps) - len(grid),
            temperature=np.full(horizon.hours, np.nan) if temperature is None else temperature,
        )

    def _temperature_ahead(self, outlook: _Outlook) -> TemperatureAhead | None:
        if not self._card.uses_temperature:
            return None
        return TemperatureAhead.of(
            outlook.temperature,
            outlook.leads,
            outlook.grid,
            trust=self._card.temperature_trust,
        )

    def _features(self, outlook: _Outlook, ahead: TemperatureAhead | None) -> FeatureRows:
        return model_features(
            self._card,
            self._weights,
            outlook.grid,
            np.array([outlook.origin]),
            int(outlook.leads.max()) + 1,
            temperature_ahead=None if ahead is None else ahead.degrees[None, :],
        )

    def _quantiles(self, built: FeatureRows, ahead: TemperatureAhead | None) -> Values:
        return self._evaluated(built.values[0], base=built.base[0], ahead=ahead)

    def _median(self, rows: Rows, *, base: Values, ahead: TemperatureAhead | None) -> Values:
        return self._evaluated(rows, base=base, ahead=ahead)[:, _MEDIAN]

    def _evaluated(self, rows: Rows, *, base: Values, ahead: TemperatureAhead | None) -> Values:
        """Evaluate the features of consecutive leads, [m, f], of a base, [m]."""
        leads = np.arange(len(rows))
        trust = np.zeros(len(rows)) if ahead is None else ahead.trust
        return evaluate(self._card, self._weights, rows, base=base, leads=leads, trust=trust)


def _replayed_source(sighted: Flags) -> TemperatureSource:
    """Return which past forecasts resemble this one: those with temperature or those without."""
    known = sighted.mean() >= _MOSTLY
    return TemperatureSource.REQUEST if known else TemperatureSource.UNUSED


def _adapted(quantiles: Values, outlook: _Outlook, adaptation: Adaptation) -> Values:
    hours_of_day = (outlook.origin + outlook.leads) % HOURS_PER_DAY
    return adaptation.apply(quantiles, outlook.leads, hours_of_day)


def _naive(outlook: _Outlook, table: npt.NDArray[np.floating]) -> Values:
    hours = outlook.origin + outlook.leads % MAX_HORIZON_HOURS
    return naive_quantiles(week_ago(outlook.grid, hours), hours % HOURS_PER_DAY, table)


def _recent(history: History, horizon: Horizon) -> History:
    """Cut out the days before the origin that a forecast looks at."""
    known = history.before(horizon.origin)
    # Three days more: the grid starts at a local midnight and follows the clock changes.
    start = to_datetime64(horizon.origin - timedelta(days=RECENT_DAYS + 3))
    first = int(np.searchsorted(known.timestamps, start))
    recent = History(
        timestamps=known.timestamps[first:],
        consumption=known.consumption[first:],
        temperature=known.temperature[first:],
    )
    usable = recent.timestamps[np.isfinite(recent.consumption)]
    silent_from = to_datetime64(horizon.origin - timedelta(days=SILENT_DAYS_ALLOWED))
    if not len(usable) or usable[-1] < silent_from:
        raise InsufficientData(
            f"There is no usable reading in the {SILENT_DAYS_ALLOWED} days before "
            f"{horizon.origin.isoformat()}; a forecast needs recent readings.",
            have_days=0.0,
            need_days=SILENT_DAYS_ALLOWED,
        )
    return recent


def _as_usual(outlook: _Outlook, card: ModelCard) -> _Outlook:
    """Ask the same question in usual conditions."""
    grid, temperature = outlook.grid, outlook.temperature
    if card.temperature_mean is not None:
        grid = with_some_temperature(grid, card.temperature_mean)
        temperature = usual_temperature(grid, outlook.leads)
    return replace(outlook, grid=usual_grid(grid), temperature=temperature)


def _warmer(outlook: _Outlook, usual: _Outlook, shown: Flags) -> float | None:
    """Return how much warmer than usual some hours are, as far as both are known."""
    difference = (outlook.temperature - usual.temperature)[shown]
    known = np.isfinite(difference)
    if not known.any() or not np.isfinite(outlook.grid.temperature).any():
        return None
    return float(difference[known].mean())


def _timestamps(horizon: Horizon) -> Timestamps:
    hours = np.arange(horizon.hours) * HOUR
    return np.asarray((to_datetime64(horizon.origin) + hours).astype("datetime64[s]"))


def _check_horizon(horizon: Horizon) -> None:
    if not 1 <= horizon.hours <= MAX_HORIZON_HOURS:
        raise InvalidRequest(
            f"A horizon of {horizon.hours} hours is not possible; ask for 1 to "
            f"{MAX_HORIZON_HOURS}.",
            field="horizon_hours",
        )
    if to_datetime64(horizon.origin).astype(np.int64) % 3600 != 0:
        raise InvalidRequest(
            f"A forecast starts on a whole hour, not at {horizon.origin.isoformat()}.",
            field="start_date",
        )


def _check_temperature(temperature: Values | None, horizon: Horizon) -> None:
    if temperature is None:
        return
    if temperature.shape != (horizon.hours,) or np.isinf(temperature).any():
        raise InvalidRequest(
            f"temperature needs a number or nothing for each of the {horizon.hours} hours; it has "
            f"{temperature.size} places.",
            field="temperature",
        )
