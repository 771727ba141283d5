"""A meter for which zero is the better median is served zero while it rests, and only then."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.model_card import ForecastMethod, ModelCard
from energy_forecasting.domain.readings import HOUR, History, to_datetime
from energy_forecasting.forecasting.forecaster import Forecaster
from energy_forecasting.forecasting.seasonal_naive import RESIDUAL_QUANTILES

TABLE = np.tile(np.arange(-4.0, 5.0), (24, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("days_of_use", "zero_median", "median"), [(2, True, 0.0), (2, False, 5.0), (6, True, 5.0)]
)
def test_zero_is_served_while_the_last_week_rests(
    make_history: Callable[..., History],
    make_card: Callable[..., ModelCard],
    days_of_use: int,
    median: float,
    *,
    zero_median: bool,
) -> None:
    # Given a heating that has run in some of the last seven days
    history = make_history(days=60)
    hours = np.arange(len(history))
    runs = hours >= len(history) - days_of_use * 24
    runs |= (hours >= len(history) - 7 * 24) & (hours < len(history) - 6 * 24)
    history = replace(history, consumption=np.where(runs, 5.0, 0.0))
    card = make_card(
        method=ForecastMethod.SEASONAL_NAIVE, zero_median=zero_median, timezone="UTC", country=None
    )
    # When the day is forecast of which a week ago it ran
    forecast = Forecaster(card, {RESIDUAL_QUANTILES: TABLE}).forecast(
        history, Horizon(origin=to_datetime(history.timestamps[-1] + HOUR), hours=24)
    )
    # Then the upper quantiles tell that it may run again
    np.testing.assert_array_equal(forecast.median, median)
    assert (np.diff(forecast.quantiles, axis=1) >= 0).all()
    assert forecast.quantiles[:, -1].min() == 9.0
