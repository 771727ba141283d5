"""LightGBM as a practitioner would write it in an afternoon.

One row per hour: lags of at least the horizon, rolling means that end a horizon before the
hour, the calendar, temperature. Two models: one for the first day, one for the rest of the
week, because a lag must be known at the origin. Intervals are split conformal by hour of day
on the four weeks that stop the training.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.backtest import Backtest, Predictor
from benchmarks.opponents.boosting import Boosted, fit_boosted
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.features import Rows, trailing_mean
from energy_forecasting.forecasting.grid import Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.seasonal_naive import naive_quantiles, residual_quantiles

#: Hours of the lags, by the horizon of the model that uses them.
_LAGS = {
    24: (24, 48, 72, 96, 120, 144, 168, 336, 504, 672),
    MAX_HORIZON_HOURS: (168, 192, 336, 504, 672),
}
_WEEKS = (168, 336, 504, 672)
_FIRST_HOUR = 700  #: the longest lag and a little more
_TAIL_HOURS = 28 * HOURS_PER_DAY
_RECENT_DAYS = 42
_SATURDAY = 5

_PARAMETERS = {
    # The error that is scored; squared error, the default, was 3 to 5 % worse on 24 meters.
    "objective": "l1",
    "min_data_in_leaf": 20,
    "bagging_fraction": 0.8,
    "feature_fraction": 0.8,
}


def fit(backtest: Backtest) -> Predictor:
    """Fit a model for the first day and one for the rest of the week."""
    models = {horizon: _fit_model(backtest, horizon) for horizon in _LAGS}

    def predict(origin: int) -> Values:
        known = backtest.known_at(origin, days=_RECENT_DAYS)
        leads = np.arange(MAX_HORIZON_HOURS)
        ahead = backtest.temperature_ahead(origin, origin + leads)
        temperature = None if ahead is None else np.append(known.filled_temperature, ahead)
        hours = len(known) + leads
        parts = []
        for horizon, first in zip(_LAGS, (0, 24), strict=True):
            model, table = models[horizon]
            asked = hours[first:horizon]
            point = model(_rows(known, asked, horizon, temperature))
            parts.append(naive_quantiles(point, asked % HOURS_PER_DAY, table))
        return backtest.in_real_time(origin, np.concatenate(parts))

    return predict


def _fit_model(backtest: Backtest, horizon: int) -> tuple[Boosted, Values]:
    """Return the model of one horizon and its error quantiles by hour of day, [24, 9]."""
    grid = backtest.training_grid
    hours = np.arange(_FIRST_HOUR, len(grid))
    temperature = grid.filled_temperature if backtest.knows_temperature_ahead else None
    features, targets = _rows(grid, hours, horizon, temperature), grid.consumption[hours]
    known = np.isfinite(targets)
    late = hours >= len(grid) - _TAIL_HOURS
    final, judged = fit_boosted(
        features,
        targets,
        early=known & ~late,
        tail=known & late,
        known=known,
        parameters=_PARAMETERS,
    )
    errors = targets[known & late] - judged(features[known & late])
    return final, residual_quantiles(errors, hours[known & late] % HOURS_PER_DAY)


def _rows(grid: LocalGrid, hours: Hours, horizon: int, temperature: Values | None) -> Rows:
    """Return the features of some grid hours, [n, f].

    Args:
        grid: readings, known up to ``horizon`` before each hour at least.
        hours: [n] grid hours, up to the end of the grid and ``horizon`` beyond.
        horizon: of the model.
        temperature: [m] degrees Celsius up to the last hour; None leaves it out.
    """
    series, weekday = grid.filled, grid.weekday[hours]
    days = (grid.start + hours).astype("datetime64[D]")
    day_of_year = (days - days.astype("datetime64[Y]")).astype(np.int64)
    weekend = weekday >= _SATURDAY
    features: list[npt.NDArray[Any]] = [hours % HOURS_PER_DAY, weekday, weekend, day_of_year]
    features.append(grid.holiday[hours])
    features += [series[hours - lag] for lag in _LAGS[horizon]]
    features += [trailing_mean(series, span)[hours - horizon + 1] for span in (24, 168)]
    features.append(np.mean([series[hours - week] for week in _WEEKS], axis=0))
    if temperature is not None:
        features.append(temperature[hours])
        features += [trailing_mean(temperature, span)[hours + 1] for span in (24, 72)]
        features += [temperature[hours - 24], temperature[hours - 168]]
    return np.column_stack(features).astype(np.float32)
