"""Forecasting from a card and weights alone."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.domain.errors import InsufficientData, InvalidRequest
from energy_forecasting.domain.forecasts import TemperatureSource
from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.model_card import ForecastMethod, ModelCard
from energy_forecasting.domain.readings import HOUR, History, to_datetime
from energy_forecasting.forecasting.forecaster import Forecaster
from energy_forecasting.forecasting.model_quantiles import RECENT_DAYS
from energy_forecasting.forecasting.model_quantiles import is_absurd as absurdity
from energy_forecasting.forecasting.young.pooled_regression import (
    COEFFICIENTS,
    QUANTILES,
    SELECTION,
    SPREAD,
    selection_of,
)

#: Enough for the dispersions; the order does not matter.
POOLED_NAMES = (
    "lead",
    "hour_sin_1",
    "days_mean",
    *(f"week_{ago}" for ago in (1, 2, 3)),
    *(f"day_{ago}" for ago in range(1, 8)),
)

CardFactory = Callable[..., ModelCard]
Weights = Mapping[str, npt.NDArray[np.float32]]


@pytest.fixture
def forecaster(make_card: CardFactory, random_weights: Weights) -> Forecaster:
    """Return one that has learnt all readings, so that there is nothing to adapt to."""
    card = make_card()
    learnt = card.data.model_copy(update={"last_reading": datetime(2025, 1, 1, tzinfo=UTC)})
    return Forecaster(card.model_copy(update={"data": learnt}), random_weights)


@pytest.fixture
def weights_of_all_methods(random_weights: Weights) -> Weights:
    generator = np.random.default_rng(0)
    count = len(POOLED_NAMES)
    return {
        **random_weights,
        "residual_quantiles/kernel": np.tile(np.linspace(-9, 9, 9, dtype=np.float32), (24, 1)),
        COEFFICIENTS: generator.normal(0, 0.2, (7, count)).astype(np.float32),
        SPREAD: generator.uniform(0, 1, (7, 3)).astype(np.float32),
        QUANTILES: np.sort(generator.normal(0, 1, (7, 9)), axis=1).astype(np.float32),
        SELECTION: selection_of(POOLED_NAMES).astype(np.float32),
    }


@pytest.fixture
def history(make_history: Callable[..., History]) -> History:
    return make_history(days=300, start="2024-01-31T23")


def horizon_at(*origin: int, hours: int = 168) -> Horizon:
    year, month, day, hour = origin
    return Horizon(origin=datetime(year, month, day, hour, tzinfo=UTC), hours=hours)


@pytest.mark.parametrize(
    "origin",
    [(2024, 6, 1, 22), (2024, 6, 2, 9), (2024, 3, 30, 23), (2024, 10, 26, 22), (2024, 10, 27, 1)],
    ids=["midnight", "morning", "clocks forward", "clocks back", "second autumn hour"],
)
@pytest.mark.parametrize("method", list(ForecastMethod))
def test_forecast_hours_are_consecutive_ordered_and_not_negative(
    make_card: CardFactory,
    weights_of_all_methods: Weights,
    history: History,
    origin: tuple[int, ...],
    method: ForecastMethod,
) -> None:
    # Given
    names = {"feature_names": list(POOLED_NAMES)}
    is_pooled = method is ForecastMethod.POOLED_REGRESSION
    forecaster = Forecaster(
        make_card(method=method, **(names if is_pooled else {})), weights_of_all_methods
    )
    horizon = horizon_at(*origin)
    # When
    forecast = forecaster.forecast(history, horizon, levels=(0.01, 0.1, 0.5, 0.9, 0.99))
    # Then
    assert to_datetime(forecast.timestamps[0]) == horizon.origin
    assert (np.diff(forecast.timestamps) == HOUR).all()
    assert forecast.quantiles.shape == (168, 5)
    assert np.isfinite(forecast.quantiles).all()
    assert (np.diff(forecast.quantiles, axis=1) >= 0).all()
    assert (forecast.quantiles >= 0).all()


def test_the_autumn_hour_gets_the_same_values_twice(
    forecaster: Forecaster, history: History
) -> None:
    # When a forecast starts at midnight of 27 October in Rome: 02:00 is hours 2 and 3
    forecast = forecaster.forecast(history, horizon_at(2024, 10, 26, 22, hours=24))
    # Then
    np.testing.assert_array_equal(forecast.quantiles[2], forecast.quantiles[3])
    assert not np.array_equal(forecast.quantiles[3], forecast.quantiles[4])


def test_the_spring_day_has_no_second_hour(forecaster: Forecaster, history: History) -> None:
    # Given the same local clock a week of summer time would see
    forecast = forecaster.forecast(history, horizon_at(2024, 3, 30, 23, hours=24))
    # Then 03:00 local follows 01:00 local: the naive reference of hour 2 is last week's 03:00
    assert len(forecast.timestamps) == 24
    assert to_datetime(forecast.timestamps[2]) == datetime(2024, 3, 31, 1, tzinfo=UTC)


@pytest.mark.parametrize("origin", [(2024, 6, 1, 22), (2024, 6, 2, 9), (2024, 10, 27, 1)])
def test_readings_after_the_origin_do_not_change_a_forecast(
    forecaster: Forecaster, history: History, origin: tuple[int, ...]
) -> None:
    # Given
    horizon = horizon_at(*origin)
    known = forecaster.forecast(history.before(horizon.origin), horizon)
    spoilt = history.consumption.copy()
    spoilt[len(history.before(horizon.origin)) :] = 1e6
    # When
    later = forecaster.forecast(replace(history, consumption=spoilt), horizon)
    # Then
    np.testing.assert_array_equal(later.quantiles, known.quantiles)


def test_the_last_six_weeks_suffice_where_nothing_came_since_the_training(
    forecaster: Forecaster, history: History
) -> None:
    # Given
    horizon = horizon_at(2024, 5, 31, 22)
    start = np.datetime64(horizon.origin.replace(tzinfo=None) - timedelta(days=RECENT_DAYS), "s")
    known = history.before(horizon.origin)
    kept = known.timestamps >= start
    recent = History(
        timestamps=known.timestamps[kept],
        consumption=known.consumption[kept],
        temperature=known.temperature[kept],
    )
    # When
    from_recent = forecaster.forecast(recent, horizon)
    from_all = forecaster.forecast(history, horizon)
    # Then
    np.testing.assert_allclose(from_recent.quantiles, from_all.quantiles)


def test_gaps_in_recent_history_leave_no_gap_in_the_forecast(
    forecaster: Forecaster, history: History
) -> None:
    # Given only two of the last six weeks, with a fifth of them missing, ending a week early
    horizon = horizon_at(2024, 6, 1, 22)
    known = history.before(horizon.origin)
    kept = np.random.default_rng(0).random(14 * 24) > 0.2
    part = slice(-21 * 24, -7 * 24)
    gappy = History(
        timestamps=known.timestamps[part][kept],
        consumption=known.consumption[part][kept],
        temperature=np.full(int(kept.sum()), np.nan),
    )
    # When
    forecast = forecaster.forecast(gappy, horizon, temperature=np.full(168, 10.0))
    # Then
    assert np.isfinite(forecast.quantiles).all()


def test_four_weeks_of_silence_are_too_many(forecaster: Forecaster, history: History) -> None:
    silent = history.before(datetime(2024, 5, 1, tzinfo=UTC))
    with pytest.raises(InsufficientData) as caught:
        forecaster.forecast(silent, horizon_at(2024, 6, 1, 22))
    assert caught.value.details["need_days"] == 28


def test_a_sent_temperature_is_used_and_said(forecaster: Forecaster, history: History) -> None:
    # Given
    horizon = horizon_at(2024, 6, 1, 22, hours=48)
    # When
    cold = forecaster.forecast(history, horizon, temperature=np.full(48, -10.0))
    warm = forecaster.forecast(history, horizon, temperature=np.full(48, 30.0))
    without = forecaster.forecast(history, horizon)
    # Then
    assert cold.temperature_source is TemperatureSource.REQUEST
    assert without.temperature_source is TemperatureSource.UNUSED
    assert not np.allclose(cold.quantiles, warm.quantiles)


@pytest.mark.parametrize(
    "temperature",
    [np.full(23, 10.0), np.full(25, 10.0), np.r_[np.inf, np.full(23, 10.0)], np.zeros((24, 2))],
    ids=["too short", "too long", "infinite", "a table"],
)
def test_a_temperature_that_does_not_fit_is_refused(
    forecaster: Forecaster, history: History, temperature: npt.NDArray[np.float64]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        forecaster.forecast(history, horizon_at(2024, 6, 1, 22, hours=24), temperature=temperature)
    assert caught.value.details["field"] == "temperature"


def test_hours_beyond_the_known_temperature_lie_between_both_ensembles(
    forecaster: Forecaster, history: History
) -> None:
    # Given a weather forecast that ends after two days
    horizon = horizon_at(2024, 6, 1, 22)
    ending = np.where(np.arange(168) < 48, 10.0, np.nan)
    # When
    partly = forecaster.forecast(history, horizon, temperature=ending)
    wholly = forecaster.forecast(history, horizon, temperature=np.full(168, 10.0))
    without = forecaster.forecast(history, horizon)
    # Then
    assert partly.temperature_source is TemperatureSource.PARTIAL
    assert partly.temperature_hours == 48
    np.testing.assert_allclose(partly.quantiles[:42], wholly.quantiles[:42])
    assert not np.allclose(partly.quantiles[48:], wholly.quantiles[48:])
    assert not np.allclose(partly.quantiles[48:], without.quantiles[48:])
    assert (np.diff(partly.quantiles, axis=1) >= 0).all()


def test_without_recent_temperatures_the_blind_members_answer_the_unknown_hours(
    forecaster: Forecaster, history: History
) -> None:
    # Given
    horizon = horizon_at(2024, 6, 1, 22)
    ending = np.where(np.arange(168) < 48, 10.0, np.nan)
    unmeasured = replace(history, temperature=np.full(len(history), np.nan))
    # When
    partly = forecaster.forecast(unmeasured, horizon, temperature=ending)
    wholly = forecaster.forecast(unmeasured, horizon, temperature=np.full(168, 10.0))
    without = forecaster.forecast(unmeasured, horizon)
    # Then the last hours before the end lead over from one to the other
    np.testing.assert_allclose(partly.quantiles[:42], wholly.quantiles[:42])
    np.testing.assert_array_equal(partly.quantiles[48:], without.quantiles[48:])
    lower = np.minimum(wholly.median[42:48], without.median[42:48])
    upper = np.maximum(wholly.median[42:48], without.median[42:48])
    assert ((lower <= partly.median[42:48]) & (partly.median[42:48] <= upper)).all()


def test_a_weather_forecast_every_six_hours_is_as_good_as_an_hourly_one(
    forecaster: Forecaster, history: History
) -> None:
    # Given temperatures on a straight line, known at every sixth hour and the last
    horizon = horizon_at(2024, 6, 1, 22, hours=49)
    hourly = np.linspace(5, 20, 49)
    rare = np.where(np.arange(49) % 6 == 0, hourly, np.nan)
    # When
    from_rare = forecaster.forecast(history, horizon, temperature=rare)
    from_hourly = forecaster.forecast(history, horizon, temperature=hourly)
    # Then
    assert from_rare.temperature_source is TemperatureSource.REQUEST
    np.testing.assert_allclose(from_rare.quantiles, from_hourly.quantiles, rtol=1e-5)


def test_a_long_gap_is_not_covered(forecaster: Forecaster, history: History) -> None:
    # Given
    horizon = horizon_at(2024, 6, 1, 22, hours=72)
    gappy = np.full(72, 10.0)
    gappy[30:40] = np.nan
    # When
    forecast = forecaster.forecast(history, horizon, temperature=gappy)
    # Then
    assert np.flatnonzero(~forecast.sighted).tolist() == list(range(30, 40))
    assert forecast.temperature_hours == 62


def test_a_temperature_that_says_nothing_is_not_used(
    forecaster: Forecaster, history: History
) -> None:
    # Given
    horizon = horizon_at(2024, 6, 1, 22, hours=24)
    # When
    forecast = forecaster.forecast(history, horizon, temperature=np.full(24, np.nan))
    # Then
    assert forecast.temperature_source is TemperatureSource.UNUSED
    without = forecaster.forecast(history, horizon)
    np.testing.assert_array_equal(forecast.quantiles, without.quantiles)


@pytest.mark.parametrize("hours", [0, -1, 169])
def test_a_horizon_beyond_a_week_is_refused(
    forecaster: Forecaster, history: History, hours: int
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        forecaster.forecast(history, horizon_at(2024, 6, 1, 22, hours=hours))
    assert caught.value.details["field"] == "horizon_hours"


@pytest.mark.parametrize("levels", [(), (0.009,), (0.5, 0.991), (float("nan"),)])
def test_levels_beyond_the_tails_are_refused(
    forecaster: Forecaster, history: History, levels: tuple[float, ...]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        forecaster.forecast(history, horizon_at(2024, 6, 1, 22), levels=levels)
    assert caught.value.details["field"] == "quantiles"


def test_a_level_in_between_lies_in_between(forecaster: Forecaster, history: History) -> None:
    # When
    forecast = forecaster.forecast(
        history, horizon_at(2024, 6, 1, 22), levels=(0.9, 0.25, 0.2, 0.3)
    )
    # Then
    assert forecast.levels == (0.2, 0.25, 0.3, 0.9)
    for lower, upper in pairwise(range(4)):
        assert (forecast.quantiles[:, lower] <= forecast.quantiles[:, upper]).all()


def test_an_all_zero_month_forecasts_without_fault(
    forecaster: Forecaster, history: History
) -> None:
    # Given a gas meter in summer
    summer = replace(history, consumption=np.zeros(len(history)))
    # When
    forecast = forecaster.forecast(summer, horizon_at(2024, 6, 1, 22))
    # Then
    assert np.isfinite(forecast.quantiles).all()
    assert (forecast.quantiles >= 0).all()


@pytest.mark.parametrize(("readings", "is_absurd"), [(48, False), (28 * 24, True)])
def test_a_meter_of_a_few_days_may_leave_its_narrow_range(
    make_card: CardFactory, readings: int, *, is_absurd: bool
) -> None:
    # Given a meter that has shown 1 to 2 so far
    data = make_card().data.model_copy(update={"lowest": 1.0, "highest": 2.0, "readings": readings})
    card = make_card(data=data)
    # Then 5 is believed of a young one only, and 50 of none
    assert bool(absurdity(card, np.full((1, 9), 5.0))) is is_absurd
    assert absurdity(card, np.full((1, 9), 50.0))


def test_forecasting_imports_no_tensorflow() -> None:
    # When the modules that serving and validating need are imported in a fresh interpreter
    program = (
        "import sys\n"
        "import energy_forecasting.forecasting.forecaster\n"
        "import energy_forecasting.forecasting.validation\n"
        "import energy_forecasting.registry.artifact\n"
        "heavy = {'tensorflow', 'keras', 'keras_tuner'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    # Then
    assert finished.returncode == 0, finished.stderr


def test_a_pooled_regression_adapts_and_is_explained_like_a_network(
    make_card: CardFactory, weights_of_all_methods: Weights, history: History
) -> None:
    # Given a young meter's model whose training ended three months before
    learnt = make_card().data.model_copy(update={"last_reading": datetime(2024, 6, 1, tzinfo=UTC)})
    card = make_card(
        method=ForecastMethod.POOLED_REGRESSION,
        feature_names=list(POOLED_NAMES),
        uses_temperature=False,
        data=learnt,
        non_negative=False,
    )
    forecaster = Forecaster(card, weights_of_all_methods)
    horizon = horizon_at(2024, 9, 1, 7)
    # When
    forecast = forecaster.forecast(history, horizon)
    explanation = forecaster.explain(history, horizon, forecast)
    # Then the last weeks have judged it, and the parts add up to what they made of it
    assert forecast.live is not None
    assert forecast.live.scored_days == 28
    assert "recent_errors" in explanation.parts
    total = np.sum(list(explanation.parts.values()), axis=0)
    np.testing.assert_allclose(total, forecast.median, rtol=1e-6)


def test_a_pooled_regression_learns_nothing_from_readings_after_the_origin(
    make_card: CardFactory, weights_of_all_methods: Weights, history: History
) -> None:
    # Given readings that go wild from the origin on
    card = make_card(
        method=ForecastMethod.POOLED_REGRESSION,
        feature_names=list(POOLED_NAMES),
        uses_temperature=False,
    )
    horizon = horizon_at(2024, 9, 1, 7)
    spoilt = history.consumption.copy()
    spoilt[history.timestamps >= np.datetime64("2024-09-01T07")] = 1e5
    # When
    usual = Forecaster(card, weights_of_all_methods).forecast(history, horizon)
    other = Forecaster(card, weights_of_all_methods).forecast(
        replace(history, consumption=spoilt), horizon
    )
    # Then
    np.testing.assert_array_equal(usual.quantiles, other.quantiles)
