"""Intervals for a rule that gives a point: its errors at the midnights of the training part."""

from collections.abc import Callable

import numpy as np

from benchmarks.backtest import Backtest, Predictor
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.seasonal_naive import naive_quantiles, residual_quantiles
from energy_forecasting.forecasting.young.pooled_rows import grid_before

#: Turns what is known at an origin into the 168 grid hours that follow; it spans at
#: least the last 42 days, unknown where there was no reading yet.
Point = Callable[[LocalGrid], Values]


def fit_point(backtest: Backtest, point: Point) -> Predictor:
    """Measure the rule's errors by hour of day from the second day of the training part on."""
    training = backtest.training_grid.consumption
    begin = int(np.flatnonzero(np.isfinite(training))[0]) // HOURS_PER_DAY + 2
    leads = np.arange(MAX_HORIZON_HOURS)
    errors, hours = [], []
    for origin in range(begin * HOURS_PER_DAY, len(training), HOURS_PER_DAY):
        ahead = training[origin : origin + MAX_HORIZON_HOURS]
        error = ahead - point(grid_before(backtest.grid, origin))[: len(ahead)]
        errors.append(error[np.isfinite(error)])
        hours.append(leads[: len(ahead)][np.isfinite(error)] % HOURS_PER_DAY)
    table = residual_quantiles(np.concatenate(errors), np.concatenate(hours))

    def predict(origin: int) -> Values:
        forecast = point(grid_before(backtest.grid, origin))
        quantiles = naive_quantiles(forecast, (origin + leads) % HOURS_PER_DAY, table)
        return backtest.in_real_time(origin, quantiles)

    return predict
