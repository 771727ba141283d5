"""Forecasting with a trained model: NumPy alone, a few milliseconds, no TensorFlow.

A forecaster looks only at readings before the origin and only at the last RECENT_DAYS of them.
It cannot look further ahead than a week: beyond that last week's values are not known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import InsufficientData, InvalidRequest
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS, Forecast, TemperatureSource
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS, Horizon
from energy_forecasting.domain.model_card import ForecastMethod, ModelCard
from energy_forecasting.domain.readings import (
    HOUR,
    History,
    Timestamps,
    Values,
    to_datetime64,
)
from energy_forecasting.forecasting.calibration import apply_multipliers
from energy_forecasting.forecasting.evaluation import Weights, ensemble_quantiles
from energy_forecasting.forecasting.features import TemperatureScale, build_features
from energy_forecasting.forecasting.grid import Hours, LocalGrid, local_hour, mean_by_hour
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, interpolate
from energy_forecasting.forecasting.levels import at_levels, checked_levels
from energy_forecasting.forecasting.pooled_regression import pooled_quantiles, select_features
from energy_forecasting.forecasting.recipe import ensemble_members, member_positions
from energy_forecasting.forecasting.seasonal_naive import (
    RESIDUAL_QUANTILES,
    naive_quantiles,
    week_ago,
)

#: Days of history before the origin that a forecast looks at.
RECENT_DAYS = 42

#: Without any reading in so many days before the origin there is nothing to forecast from.
SILENT_DAYS_ALLOWED = 28

#: A forecast further outside the training's range than its whole width is not to be believed.
ABSURD_WIDTHS = 1.0

#: A few days have not shown yet what a meter can do.
YOUNG_READINGS, ABSURD_WIDTHS_YOUNG = 28 * HOURS_PER_DAY, 4.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Outlook:
    """The question put to a model, on the local grid."""

    grid: LocalGrid  #: ends at the origin
    origin: int  #: grid hour
    leads: Hours  #: [n] of the hours asked; the autumn hour appears twice
    temperature: Values | None  #: [n] as the client sent it


class Forecaster:
    """Forecasts one meter from its card and weights; safe to call from several threads."""

    def __init__(self, card: ModelCard, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
        self._card = card
        self._weights: Weights = weights
        self._calendar = LocalCalendar(timezone=card.timezone, country=card.country)

    @property
    def _floor(self) -> float:
        return 0.0 if self._card.non_negative else -np.inf

    @property
    def card(self) -> ModelCard:
        """The card of the model in use."""
        return self._card

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
            history: hourly readings; the last RECENT_DAYS before the origin suffice.
            horizon: the hours ahead.
            levels: quantile levels from .05 to .95.
            temperature: [horizon.hours] degrees Celsius of the hours ahead; None asks the
                members that need none.

        Raises:
            InvalidRequest: horizon, levels or temperature do not fit; ``field`` says which.
            InsufficientData: no usable reading in the last four weeks before the origin.
        """
        wanted = checked_levels(levels)
        _check_horizon(horizon)
        _check_temperature(temperature, horizon)
        hours = np.arange(horizon.hours) * HOUR
        timestamps = (to_datetime64(horizon.origin) + hours).astype("datetime64[s]")
        outlook = self._outlook(history, horizon, timestamps, temperature)
        is_baseline = False
        if self._card.method is ForecastMethod.SEASONAL_NAIVE:
            table = self._weights[RESIDUAL_QUANTILES]
            quantiles, source = _naive(outlook, table), TemperatureSource.UNUSED
        else:
            if self._card.method is ForecastMethod.POOLED_REGRESSION:
                quantiles, source = self._pooled(outlook), TemperatureSource.UNUSED
            else:
                quantiles, source = self._network(outlook)
            if self._is_absurd(quantiles):
                is_baseline = True
                table = np.array(self._card.baseline_residuals)
                quantiles, source = _naive(outlook, table), TemperatureSource.UNUSED
        return Forecast(
            timestamps=timestamps,
            levels=wanted,
            quantiles=np.maximum(at_levels(quantiles, wanted), self._floor),
            median=np.maximum(quantiles[:, QUANTILE_LEVELS.index(0.5)], self._floor),
            temperature_source=source,
            is_baseline=is_baseline,
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
            temperature=temperature,
        )

    def _is_absurd(self, quantiles: Values) -> bool:
        """Whether a forecast leaves what the meter has ever shown by ABSURD_WIDTHS of its range."""
        data = self._card.data
        widths = ABSURD_WIDTHS_YOUNG if data.readings < YOUNG_READINGS else ABSURD_WIDTHS
        margin = widths * max(data.highest - data.lowest, self._card.scale)
        is_sane = (quantiles >= data.lowest - margin) & (quantiles <= data.highest + margin)
        return not bool(is_sane.all())  # NaN is not sane either

    def _pooled(self, outlook: _Outlook) -> Values:
        card = self._card
        built = build_features(
            outlook.grid,
            np.array([outlook.origin]),
            int(outlook.leads.max()) + 1,
            scale=card.scale,
        )
        features = select_features(built, card.feature_names)
        departures = pooled_quantiles(self._weights, features)
        quantiles: Values = built.base[0][:, None] + departures * card.scale
        return quantiles[outlook.leads]

    def _network(self, outlook: _Outlook) -> tuple[Values, TemperatureSource]:
        card = self._card
        grid, lead_count = outlook.grid, int(outlook.leads.max()) + 1
        source, ahead, scale = TemperatureSource.UNUSED, None, None
        if (
            outlook.temperature is not None
            and card.temperature_mean is not None
            and card.temperature_std is not None
        ):
            source = TemperatureSource.REQUEST
            scale = TemperatureScale(mean=card.temperature_mean, std=card.temperature_std)
            grid = _with_some_temperature(grid, card.temperature_mean)
            # Per local hour: the autumn hour averaged, the spring hour between its neighbours.
            by_lead = mean_by_hour(outlook.leads, outlook.temperature, lead_count)
            ahead = interpolate(by_lead)[None, :]
        built = build_features(
            grid,
            np.array([outlook.origin]),
            lead_count,
            scale=card.scale,
            temperature_ahead=ahead,
            temperature_scale=scale,
        )
        # Members blind to temperature need its columns, but not what is in them.
        features = np.zeros((lead_count, len(card.feature_names)), dtype=np.float32)
        features[:, : len(built.names)] = built.values[0]
        answering = member_positions(ensemble_members(uses_temperature=card.uses_temperature))
        departures = ensemble_quantiles(self._weights, features, answering[source])
        calibrated = apply_multipliers(
            departures, np.arange(lead_count), card.calibration[source.value]
        )
        quantiles = built.base[0][:, None] + calibrated * card.scale
        return quantiles[outlook.leads], source


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


def _with_some_temperature(grid: LocalGrid, mean: float) -> LocalGrid:
    """Fall back to the training's mean where no temperature was measured lately."""
    if np.isfinite(grid.temperature).any():
        return grid
    return replace(grid, temperature=np.full(len(grid), mean))


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
    if temperature.shape != (horizon.hours,) or not np.isfinite(temperature).all():
        raise InvalidRequest(
            f"temperature needs one number for each of the {horizon.hours} hours; it has "
            f"{int(np.isfinite(temperature).sum())} numbers in {temperature.size} places.",
            field="temperature",
        )
