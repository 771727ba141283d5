"""The mean of the same hour of week in those of the last four weeks that are known."""

import numpy as np

from benchmarks.backtest import Backtest, Predictor
from benchmarks.opponents.point_naive import fit_point
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_WEEK
from energy_forecasting.forecasting.seasonal_naive import week_ago

_WEEKS = 4


def fit(backtest: Backtest) -> Predictor:
    """Learn how wrong the mean is, by hour of day."""
    return fit_point(backtest, weeks_mean)


def weeks_mean(known: LocalGrid) -> Values:
    """Return the forecast of the 168 hours after a grid; last week's where no week is known."""
    table = known.consumption[-_WEEKS * HOURS_PER_WEEK :].reshape(_WEEKS, HOURS_PER_WEEK)
    count = np.isfinite(table).sum(axis=0)
    mean = np.nansum(table, axis=0) / np.maximum(count, 1)
    last_week = week_ago(known, len(known) + np.arange(HOURS_PER_WEEK))
    return np.where(count > 0, mean, last_week)
