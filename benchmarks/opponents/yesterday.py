"""The value of the same hour of the last known day."""

import numpy as np

from benchmarks.backtest import Backtest, Predictor
from benchmarks.opponents.point_naive import fit_point
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY


def fit(backtest: Backtest) -> Predictor:
    """Learn how wrong yesterday's value is, by hour of day."""
    return fit_point(backtest, last_day)


def last_day(known: LocalGrid) -> Values:
    """Return the forecast of the 168 hours after a grid."""
    return np.tile(known.filled[-HOURS_PER_DAY:], MAX_HORIZON_HOURS // HOURS_PER_DAY)
