"""Learning the seasonal naive's intervals and how well they hold out of fold."""

import numpy as np

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.model_card import BASELINE, ForecastMethod, Skill
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.calibration import LEAD_GROUPS, Tails, fit_tails
from energy_forecasting.forecasting.fitted_model import FittedModel
from energy_forecasting.forecasting.grid import Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK
from energy_forecasting.forecasting.recipe import FOLD_HOURS
from energy_forecasting.forecasting.scale import seasonal_scale
from energy_forecasting.forecasting.seasonal_naive import (
    RESIDUAL_QUANTILES,
    naive_quantiles,
    residual_quantiles,
    week_ago,
)

_FOLDS = 4


def fit_naive(grid: LocalGrid) -> FittedModel:
    """Learn the residual quantiles; measure them on fortnights left out, if there are enough."""
    scale = seasonal_scale(grid.consumption)
    hours = np.arange(HOURS_PER_WEEK, len(grid))
    hours = hours[np.isfinite(grid.consumption[hours])]
    actual, last_week = grid.consumption[hours], week_ago(grid, hours)
    hour_of_day = hours % HOURS_PER_DAY
    table = residual_quantiles(actual - last_week, hour_of_day)
    if not len(hours):  # a first week: from day to day must do
        days = np.arange(HOURS_PER_DAY, len(grid))
        change = grid.filled[days] - grid.filled[days - HOURS_PER_DAY]
        table = residual_quantiles(change, days % HOURS_PER_DAY)

    folds = (len(grid) - 1 - hours) // FOLD_HOURS % _FOLDS
    return FittedModel(
        method=ForecastMethod.SEASONAL_NAIVE,
        weights={RESIDUAL_QUANTILES: table},
        feature_names=("week_ago", "hour_of_day"),
        scale=scale,
        tails={BASELINE: _tails(actual, naive_quantiles(last_week, hour_of_day, table))},
        skill=_skill(actual, last_week, hour_of_day, folds, scale),
    )


def _tails(actual: Values, quantiles: Values) -> Tails:
    """Fit the tails; they are the same for every lead, as the forecast is."""
    first_day, _ = fit_tails(actual, quantiles, np.zeros(len(actual), dtype=np.int64))
    return [first_day] * LEAD_GROUPS


def _skill(
    actual: Values, last_week: Values, hour_of_day: Hours, folds: Hours, scale: float
) -> Skill | None:
    if len(np.unique(folds)) < _FOLDS - 1:
        return None
    quantiles = np.empty((len(actual), len(QUANTILE_LEVELS)))
    for fold in range(_FOLDS):
        left_out = folds == fold
        table = residual_quantiles((actual - last_week)[~left_out], hour_of_day[~left_out])
        quantiles[left_out] = naive_quantiles(last_week[left_out], hour_of_day[left_out], table)
    error = metrics.mase(actual, last_week, scale)
    return Skill(
        mase=error,
        naive_mase=error,
        skill=0.0,
        wape=metrics.wape(actual, last_week),
        crps=metrics.crps(actual, quantiles, QUANTILE_LEVELS) / scale,
        coverage80=metrics.coverage(actual, quantiles[:, 0], quantiles[:, -1]),
        scored_hours=len(actual),
        zero_mase=metrics.zero_mase(actual, scale),
    )
