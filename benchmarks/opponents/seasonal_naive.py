"""The value of a week ago, with the product's intervals around it: the least one must beat."""

import numpy as np

from benchmarks.backtest import Backtest, Predictor
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.naive_training import fit_naive
from energy_forecasting.forecasting.seasonal_naive import (
    RESIDUAL_QUANTILES,
    naive_quantiles,
    week_ago,
)

_RECENT_DAYS = 28


def fit(backtest: Backtest) -> Predictor:
    """Learn how wrong last week's value is, by hour of day."""
    table = fit_naive(backtest.training_grid).weights[RESIDUAL_QUANTILES]

    def predict(origin: int) -> Values:
        known = backtest.known_at(origin, days=_RECENT_DAYS)
        hours = len(known) + np.arange(MAX_HORIZON_HOURS)
        last_week = week_ago(known, hours)
        quantiles = naive_quantiles(last_week, hours % HOURS_PER_DAY, table)
        return backtest.in_real_time(origin, quantiles)

    return predict
