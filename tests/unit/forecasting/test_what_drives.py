"""Importance and explanations of trained models, on meters of which we know what drives them."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.model_card import ForecastMethod, Importance
from energy_forecasting.domain.readings import HOUR, History, Values
from energy_forecasting.domain.trainings import TrainingOptions
from energy_forecasting.forecasting.explaining.explanation import Explanation
from energy_forecasting.forecasting.forecaster import Forecaster
from energy_forecasting.forecasting.training import TrainedModel, train
from energy_forecasting.forecasting.warm_up import warm_up
from energy_forecasting.registry.artifact import read_weights

pytestmark = pytest.mark.tensorflow

METER = Meter(meter_type="electricity", meter_id="meter_1")
LONDON = MeterProfile(unit="kWh", timezone="Europe/London", country="GB")
START, DAYS = np.datetime64("2023-01-02T00", "s"), 500
HOURS = np.arange(DAYS * 24)
STAMPS = (START + HOURS * HOUR).astype("datetime64[s]")


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


def trained(consumption: Values, temperature: Values, *, seed: int = 1) -> TrainedModel:
    history = History(timestamps=STAMPS, consumption=consumption, temperature=temperature)
    options = TrainingOptions(max_trials=0, seed=seed)
    model = train(history, METER, LONDON, options, lambda _: None)
    assert model.card.method is ForecastMethod.QUANTILE_NETWORK
    return model


def explained(
    model: TrainedModel,
    folder: Path,
    history: History,
    horizon: Horizon,
    *,
    temperature: Values | None = None,
) -> Explanation:
    path = folder / "model.h5"
    model.network.save(path)
    forecaster = Forecaster(model.card, read_weights(path))
    forecast = forecaster.forecast(history, horizon, temperature=temperature)
    explanation = forecaster.explain(history, horizon, forecast, temperature=temperature)
    total = np.sum(list(explanation.parts.values()), axis=0)
    np.testing.assert_allclose(total, forecast.median, rtol=1e-10, atol=1e-10)
    return explanation


def rises(importance: Importance | None) -> dict[str, float]:
    assert importance is not None
    sizes = [group.mase_rise for group in importance.groups]
    assert all(more >= less for more, less in pairwise(sizes))
    return {group.group: group.rise_percent for group in importance.groups}


@pytest.fixture(scope="module")
def weather() -> Values:
    """Return a temperature that wanders from day to day."""
    generator = np.random.default_rng(3)
    days = np.zeros(DAYS)
    for day in range(1, DAYS):
        days[day] = 0.6 * days[day - 1] + generator.normal(0, 3)
    return np.asarray(8 + np.repeat(days, 24) + 3 * np.sin(2 * np.pi * (HOURS - 9) / 24))


def test_a_heating_meter_is_explained_by_the_temperature(weather: Values, tmp_path: Path) -> None:
    # Given a meter that only heats: half a kWh per degree below 15
    noise = np.random.default_rng(0).normal(0, 0.05, len(HOURS))
    consumption = 10 + 0.5 * np.maximum(15 - weather, 0) + noise
    # When
    model = trained(consumption, weather)
    # Then
    importance = rises(model.card.importance_known_temperature)
    others = {group: rise for group, rise in importance.items() if group != "temperature"}
    assert importance["temperature"] > 100
    assert importance["temperature"] > 2 * max(others.values())
    assert "temperature" not in rises(model.card.importance)
    # And a week that is six degrees colder is forecast higher because of that
    end = len(HOURS) - 168
    usual = weather[end - 672 : end].reshape(28, 24).mean(axis=0)
    cold = np.tile(usual, 7) - 6.0
    history = History(
        timestamps=STAMPS[:end], consumption=consumption[:end], temperature=weather[:end]
    )
    horizon = Horizon(origin=STAMPS[end].item().replace(tzinfo=UTC), hours=168)
    explanation = explained(model, tmp_path, history, horizon, temperature=cold)
    parts = {name: float(values.mean()) for name, values in explanation.parts.items()}
    assert parts["temperature"] == pytest.approx(3.0, rel=0.2)
    rest = sum(abs(parts[name]) for name in parts if name not in {"usual_week", "temperature"})
    assert rest < 0.25 * parts["temperature"]
    assert "6.0 degrees colder" in explanation.sentences[1]


def test_a_meter_that_rests_on_holidays_is_explained_by_them(tmp_path: Path) -> None:
    # Given an office: 4 kWh less on Sundays and holidays
    generator = np.random.default_rng(0)
    days = (STAMPS[::24].astype("datetime64[D]")).tolist()
    calendar = LocalCalendar(timezone="Europe/London", country="GB")
    rests = calendar.is_holiday(days) | np.array([day.weekday() == 6 for day in days])
    consumption = 10 - 4.0 * np.repeat(rests, 24) + generator.normal(0, 0.5, len(HOURS))
    model = trained(consumption, np.full(len(HOURS), np.nan))
    # When the week around the holiday of Monday 6 May 2024 is forecast
    horizon = Horizon(origin=datetime(2024, 5, 3, 23, tzinfo=UTC), hours=168)
    history = History(
        timestamps=STAMPS, consumption=consumption, temperature=np.full(len(HOURS), np.nan)
    )
    explanation = explained(model, tmp_path, history, horizon)
    # Then
    holidays = explanation.parts["holidays"].reshape(7, 24).mean(axis=1)
    assert holidays[2] == pytest.approx(-4.0, rel=0.2)
    assert np.abs(np.delete(holidays, 2)).max() < 0.6
    assert explanation.sentences[1].startswith("Monday 6 May is a public holiday: this lowers")
    importance = rises(model.card.importance)
    assert set(list(importance)[:2]) == {"holidays", "hour_of_week"}
    assert importance["holidays"] > 15


@pytest.fixture(scope="module")
def habit_of_weeks() -> Values:
    """Return a meter whose every hour of the week half remembers the week before, and no more."""
    generator = np.random.default_rng(5)
    departure = generator.normal(0, 1, len(HOURS))
    for hour in range(168, len(HOURS)):
        departure[hour] = 0.6 * departure[hour - 168] + 0.8 * departure[hour]
    return np.asarray(20 + departure)


def test_a_meter_that_remembers_last_week_is_explained_by_it(
    habit_of_weeks: Values, weather: Values, tmp_path: Path
) -> None:
    # Given the temperature has nothing to do with it
    model = trained(habit_of_weeks, weather)
    # Then
    blind, sighted = (
        rises(model.card.importance),
        rises(model.card.importance_known_temperature),
    )
    for importance in (blind, sighted):
        first, *others = importance
        assert first == "last_weeks"
        assert importance["last_weeks"] > 5
        assert max(importance[group] for group in others) < 0.5 * importance["last_weeks"]
    assert abs(sighted["temperature"]) < 2
    # And so is its forecast
    end = len(HOURS) - 168
    history = History(
        timestamps=STAMPS[:end], consumption=habit_of_weeks[:end], temperature=weather[:end]
    )
    horizon = Horizon(origin=STAMPS[end].item().replace(tzinfo=UTC), hours=168)
    explanation = explained(model, tmp_path, history, horizon)
    sizes = {name: float(np.abs(values).mean()) for name, values in explanation.parts.items()}
    del sizes["usual_week"]
    assert max(sizes, key=sizes.__getitem__) == "last_weeks"


def test_importance_is_the_same_for_the_same_seed(habit_of_weeks: Values, weather: Values) -> None:
    # When
    first, second, other = (trained(habit_of_weeks, weather, seed=seed).card for seed in (1, 1, 2))
    # Then
    assert first.importance == second.importance
    assert first.importance_known_temperature == second.importance_known_temperature
    assert first.importance != other.importance
