"""MSTL (Bandara, Hyndman and Bergmeir, 2021) with seasons of a day and a week.

The decomposition and an exponential smoothing of what remains are fitted anew at every origin
on the half year before it, so its training seconds are in the predictions. It knows no
temperature and no holidays. Needs the package ``statsforecast``.
"""

import numpy as np
from statsforecast.models import MSTL

from benchmarks.backtest import Backtest, Predictor
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values

_SEASONS = [24, 168]

#: Four meters lost nothing against a whole year, at half the time.
_RECENT_DAYS = 182

#: Central intervals in percent: their borders are the nine quantiles.
_INTERVALS = [20, 40, 60, 80]

_COLUMNS = [f"lo-{width}" for width in reversed(_INTERVALS)]
_COLUMNS += ["mean", *(f"hi-{width}" for width in _INTERVALS)]


def fit(backtest: Backtest) -> Predictor:
    """Return a predictor that fits at each origin."""

    def predict(origin: int) -> Values:
        series = backtest.known_at(origin, days=_RECENT_DAYS).filled
        model = MSTL(season_length=_SEASONS)
        forecast = model.forecast(y=series, h=MAX_HORIZON_HOURS, level=_INTERVALS)
        quantiles = np.column_stack([forecast[name] for name in _COLUMNS])
        return backtest.in_real_time(origin, quantiles)

    return predict
