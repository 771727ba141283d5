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
from energy_forecasting.forecasting.grid import Hours, LocalGrid, local_hour
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.levels import at_levels, checked_levels
from energy_forecasting.forecasting.recipe import ensemble_members, member_positions
from energy_forecasting.forecasting.seasonal_naive import (
    RESIDUAL_QUANTILES,
    naive_quantiles,
    week_ago,
)
from energy_forecasting.forecasting.temperature_ahead import TemperatureAhead

#: Days of history before the origin that a forecast looks at.
RECENT_DAYS = 42

#: Without any reading in so many days before the origin there is nothing to forecast from.
SILENT_DAYS_ALLOWED = 28

#: A forecast further outside the training's range than its whole width is not to be believed.
ABSURD_WIDTHS = 1.0


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
            temperature: [horizon.hours] degrees Celsius of the hours ahead, NaN where unknown;
                None when nothing is known. See ``temperature_ahead`` for who answers then.

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
        is_baseline, sighted = False, np.zeros(horizon.hours, dtype=np.bool_)
        if self._card.method is ForecastMethod.SEASONAL_NAIVE:
            table = self._weights[RESIDUAL_QUANTILES]
            quantiles = _naive(outlook, table)
        else:
            ahead = self._temperature_ahead(outlook)
            quantiles = self._network(outlook, ahead)
            if self._is_absurd(quantiles):
                is_baseline = True
                quantiles = _naive(outlook, np.array(self._card.baseline_residuals))
            elif ahead is not None:
                sighted = ahead.covered[outlook.leads]
        return Forecast(
            timestamps=timestamps,
            levels=wanted,
            quantiles=np.maximum(at_levels(quantiles, wanted), self._floor),
            median=np.maximum(quantiles[:, QUANTILE_LEVELS.index(0.5)], self._floor),
            sighted=sighted,
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
            temperature=np.full(horizon.hours, np.nan) if temperature is None else temperature,
        )

    def _is_absurd(self, quantiles: Values) -> bool:
        """Whether a forecast leaves what the meter has ever shown by ABSURD_WIDTHS of its range."""
        data = self._card.data
        margin = ABSURD_WIDTHS * max(data.highest - data.lowest, self._card.scale)
        is_sane = (quantiles >= data.lowest - margin) & (quantiles <= data.highest + margin)
        return not bool(is_sane.all())  # NaN is not sane either

    def _temperature_ahead(self, outlook: _Outlook) -> TemperatureAhead | None:
        if not self._card.uses_temperature:
            return None
        return TemperatureAhead.of(outlook.temperature, outlook.leads, outlook.grid)

    def _network(self, outlook: _Outlook, ahead: TemperatureAhead | None) -> Values:
        card = self._card
        grid, lead_count, scale = outlook.grid, int(outlook.leads.max()) + 1, None
        if card.temperature_mean is not None and card.temperature_std is not None:
            scale = TemperatureScale(mean=card.temperature_mean, std=card.temperature_std)
            grid = _with_some_temperature(grid, card.temperature_mean)
        built = build_features(
            grid,
            np.array([outlook.origin]),
            lead_count,
            scale=card.scale,
            temperature_ahead=None if ahead is None else ahead.degrees[None, :],
            temperature_scale=scale,
        )
        # Members blind to temperature need its columns, but not what is in them.
        features = np.zeros((lead_count, len(card.feature_names)), dtype=np.float32)
        features[:, : len(built.names)] = built.values[0]
        departures = np.zeros((lead_count, len(QUANTILE_LEVELS)))
        trust = np.zeros(lead_count) if ahead is None else ahead.trust
        answering = member_positions(ensemble_members(uses_temperature=card.uses_temperature))
        for source, share in (
            (TemperatureSource.REQUEST, trust),
            (TemperatureSource.UNUSED, 1.0 - trust),
        ):
            if share.any():
                seen = ensemble_quantiles(self._weights, features, answering[source])
                leads, multipliers = np.arange(lead_count), card.calibration[source.value]
                departures += share[:, None] * apply_multipliers(seen, leads, multipliers)
        quantiles = built.base[0][:, None] + departures * card.scale
        return np.asarray(quantiles[outlook.leads])


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
    if temperature.shape != (horizon.hours,) or np.isinf(temperature).any():
        raise InvalidRequest(
            f"temperature needs a number or nothing for each of the {horizon.hours} hours; it has "
            f"{temperature.size} places.",
            field="temperature",
        )
