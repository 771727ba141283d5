"""Training from a history to a card and a network."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import Cancelled, InsufficientData, TrainingFailed
from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.model_card import ForecastMethod
from energy_forecasting.domain.readings import HOUR, History, to_datetime
from energy_forecasting.domain.trainings import TrainingOptions, TrainingPhase, TrainingProgress
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.ensemble import EnsembleFitter
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.forecaster import Forecaster
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.network import weights_of
from energy_forecasting.forecasting.recipe import NETWORK_NEEDS_DAYS, Settings
from energy_forecasting.forecasting.training import train
from energy_forecasting.forecasting.warm_up import warm_up
from energy_forecasting.registry.artifact import read_card, read_weights, write_card

pytestmark = [
    pytest.mark.tensorflow,
    # keras-tuner calls threading.currentThread() and Thread.getName().
    pytest.mark.filterwarnings("ignore:(currentThread|getName)\\(\\):DeprecationWarning"),
]

METER = Meter(meter_type="electricity", meter_id="meter_1")
LONDON = MeterProfile(unit="kWh", timezone="Europe/London", country="GB")
UTC_METER = MeterProfile(unit="kWh")
UNTUNED = TrainingOptions(max_trials=0, seed=1)

HistoryFactory = Callable[..., History]


def nothing(_: TrainingProgress) -> None:
    """Ignore progress."""


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


def test_a_real_meter_is_trained_saved_and_forecast_better_than_last_week(
    sample_history: Callable[[str], History], tmp_path: Path
) -> None:
    # Given a university building in the autumn term
    history = sample_history("ucam_b37_elec")
    origin = history.timestamps[-1] - 70 * 24 * HOUR
    # When
    trained = train(history.before(to_datetime(origin)), METER, LONDON, UNTUNED, nothing)
    path = tmp_path / "model.h5"
    trained.network.save(path)
    write_card(path, trained.card)
    forecaster = Forecaster(read_card(path), read_weights(path))
    # Then the card speaks
    card = read_card(path)
    assert card == trained.card
    assert card.method is ForecastMethod.QUANTILE_NETWORK
    assert card.skill is not None
    assert card.skill.skill > 0.05
    assert 0.77 <= card.skill.coverage80 <= 0.87
    assert card.skill_known_temperature is not None
    assert card.skill_known_temperature.mase < card.skill.mase
    # And six weeks of daily forecasts, which it has not seen, beat last week's values
    actual, medians, naive, inside = [], [], [], []
    for day in range(42):
        start = origin + day * 24 * HOUR
        forecast = forecaster.forecast(history, Horizon(origin=to_datetime(start), hours=24))
        hours = np.searchsorted(history.timestamps, forecast.timestamps)
        actual.append(history.consumption[hours])
        medians.append(forecast.median)
        naive.append(history.consumption[hours - 168])
        inside.append(
            metrics.coverage(actual[-1], forecast.quantiles[:, 0], forecast.quantiles[:, -1])
        )
    happened = np.concatenate(actual)
    error = np.abs(happened - np.concatenate(medians)).mean()
    assert error < 0.9 * np.abs(happened - np.concatenate(naive)).mean()
    assert 0.7 <= np.mean(inside) <= 0.92


def test_the_same_history_and_seed_give_the_same_model(make_history: HistoryFactory) -> None:
    # Given
    history = make_history(days=NETWORK_NEEDS_DAYS)
    # When
    first = train(history, METER, LONDON, UNTUNED, nothing)
    second = train(history, METER, LONDON, UNTUNED, nothing)
    other = train(history, METER, LONDON, replace(UNTUNED, seed=2), nothing)
    # Then
    for name, values in weights_of(first.network).items():
        np.testing.assert_array_equal(values, weights_of(second.network)[name])
    assert first.card.calibration == second.card.calibration
    assert first.card.version.split("-")[1] == second.card.version.split("-")[1]
    assert first.card.version.split("-")[1] != other.card.version.split("-")[1]


def test_tuning_is_reported_on_the_card_and_progress_never_turns_back(
    make_history: HistoryFactory,
) -> None:
    # Given
    reports: list[tuple[float, TrainingProgress]] = []

    def listen(progress: TrainingProgress) -> None:
        reports.append((time.process_time(), progress))

    # When
    trained = train(
        make_history(days=NETWORK_NEEDS_DAYS), METER, LONDON, TrainingOptions(max_trials=2), listen
    )
    # Then
    assert trained.card.tuning is not None
    assert len(trained.card.tuning.trials) == 3
    fractions = [progress.fraction for _, progress in reports]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] == pytest.approx(1.0)
    assert {progress.phase for _, progress in reports} == set(TrainingPhase)
    assert np.diff([moment for moment, _ in reports]).max() < 0.5


def test_a_listener_can_end_a_training(make_history: HistoryFactory) -> None:
    # Given
    def cancel(progress: TrainingProgress) -> None:
        if progress.phase is TrainingPhase.TUNING:
            raise Cancelled("Enough.")

    # Then
    with pytest.raises(Cancelled):
        train(
            make_history(days=NETWORK_NEEDS_DAYS),
            METER,
            LONDON,
            TrainingOptions(max_trials=1),
            cancel,
        )


@pytest.mark.parametrize(("days", "has_skill"), [(2, False), (5, False), (14, False), (42, True)])
def test_a_young_meter_gets_a_regression_learnt_from_others(
    make_history: HistoryFactory, tmp_path: Path, days: int, *, has_skill: bool
) -> None:
    # Given a meter installed on a Monday, whose weekends use less
    whole = make_history(days=days + 7, start="2024-04-08T00")
    origin = to_datetime(whole.timestamps[days * 24])
    # When
    trained = train(whole.before(origin), METER, UTC_METER, TrainingOptions(), nothing)
    path = tmp_path / "young.h5"
    trained.network.save(path)
    write_card(path, trained.card)
    forecaster = Forecaster(read_card(path), read_weights(path))
    # Then the card says what it is
    card = read_card(path)
    assert card.method is ForecastMethod.POOLED_REGRESSION
    assert f"{days} days" in card.method_reason
    assert "4 sample meters" in card.method_reason
    assert f"needs {NETWORK_NEEDS_DAYS}" in card.method_reason
    assert card.base is not None
    assert card.base.source == "built_in"
    assert not card.uses_temperature
    assert (card.skill is not None) is has_skill
    # And the days ahead are forecast well, except a weekend that it has never seen
    forecast = forecaster.forecast(whole.before(origin), Horizon(origin=origin, hours=168))
    assert not forecast.is_baseline
    assert (np.diff(forecast.quantiles, axis=1) >= 0).all()
    error = np.abs(forecast.median - whole.consumption[days * 24 :])
    working_day = np.array([to_datetime(stamp).weekday() < 5 for stamp in forecast.timestamps])
    assert error[working_day].mean() < 0.3
    assert error.mean() < (0.5 if days < 7 else 0.3)


def test_a_young_meter_forecasts_from_any_hour_and_after_its_training(
    make_history: HistoryFactory,
) -> None:
    # Given a model of ten days
    whole = make_history(days=40, start="2024-04-08T00")
    start = to_datetime(whole.timestamps[10 * 24])
    trained = train(whole.before(start), METER, LONDON, UNTUNED, nothing)
    forecaster = Forecaster(trained.card, weights_of(trained.network))
    # When it is asked at other hours and when readings have come in
    for hours in (7, 13, 24 * 12 + 18):
        origin = to_datetime(whole.timestamps[10 * 24 + hours])
        forecast = forecaster.forecast(whole, Horizon(origin=origin, hours=168))
        # Then it answers, and what comes after the origin changes nothing
        known = forecaster.forecast(whole.before(origin), Horizon(origin=origin, hours=168))
        np.testing.assert_array_equal(forecast.quantiles, known.quantiles)
        assert not forecast.is_baseline


def test_a_young_meter_that_repeats_its_week_is_left_to_the_seasonal_naive(
    make_history: HistoryFactory,
) -> None:
    # Given
    history = make_history(days=42)
    habit = np.random.default_rng(0).normal(5, 1, 168)
    # When
    repeating = replace(history, consumption=np.tile(habit, 6))
    trained = train(repeating, METER, UTC_METER, UNTUNED, nothing)
    # Then
    assert trained.card.method is ForecastMethod.SEASONAL_NAIVE
    assert trained.card.base is None
    assert "out of fold" in trained.card.method_reason


def test_a_meter_that_repeats_its_week_is_left_to_the_seasonal_naive(
    make_history: HistoryFactory,
) -> None:
    # Given a meter without noise or weather
    history = make_history(days=NETWORK_NEEDS_DAYS)
    hours = np.arange(len(history))
    habit = 2 + np.sin(2 * np.pi * hours / 168)
    # When
    trained = train(replace(history, consumption=habit), METER, LONDON, UNTUNED, nothing)
    # Then
    assert trained.card.method is ForecastMethod.SEASONAL_NAIVE
    assert "out of fold" in trained.card.method_reason


def test_gaps_spikes_and_a_zero_summer_are_survived(make_history: HistoryFactory) -> None:
    # Given a gas meter with a fifth missing, spikes, three months of zeros, half the temperatures
    history = make_history(days=NETWORK_NEEDS_DAYS)
    generator = np.random.default_rng(0)
    consumption = np.maximum(history.consumption, 0)
    consumption[80 * 24 : 170 * 24] = 0.0
    consumption[generator.integers(0, len(history), 5)] = 1e5
    consumption[generator.random(len(history)) < 0.2] = np.nan
    temperature = history.temperature.copy()
    temperature[generator.random(len(history)) < 0.45] = np.nan
    ill = replace(history, consumption=consumption, temperature=temperature)
    # When
    trained = train(ill, METER, LONDON, UNTUNED, nothing)
    # Then
    assert 0 < trained.card.scale < 100
    assert trained.card.non_negative
    assert trained.card.data.missing_share == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("kind", "zero_median"), [("habit", False), ("whim", True), ("five uses", True)]
)
@pytest.mark.parametrize("days", [60, 200])
def test_a_meter_that_mostly_rests_is_trained_and_served_sensibly(
    make_history: HistoryFactory, tmp_path: Path, kind: str, days: int, *, zero_median: bool
) -> None:
    # Given a home that draws water at its hours, at any hour, or every other month
    history = make_history(days=days)
    generator = np.random.default_rng(0)
    hours = np.arange(len(history))
    draws = {
        "habit": np.where(np.isin(hours % 24, [6, 7, 18, 19]), 0.9, 0.01),
        "whim": np.full(len(hours), 0.2),
        "five uses": (hours % 1000 == 900).astype(float),
    }[kind]
    used = generator.random(len(hours)) < draws
    amounts = generator.uniform(10, 15, len(hours))
    history = replace(history, consumption=np.where(used, amounts, 0.0))
    # When
    trained = train(history, METER, LONDON, UNTUNED, nothing)
    path = tmp_path / "model.h5"
    trained.network.save(path)
    forecast = Forecaster(trained.card, read_weights(path)).forecast(
        history, Horizon(origin=to_datetime(history.timestamps[-1] + HOUR), hours=168)
    )
    # Then every number is finite, also against zero, which is the harder yardstick here
    skill = trained.card.skill
    assert skill is not None
    assert skill.zero_mase is not None
    assert all(np.isfinite(value) for value in skill.model_dump().values())
    assert max(skill.mase, skill.naive_mase, skill.zero_mase) < 5
    assert trained.card.zero_median is (skill.zero_mase < skill.mase) is zero_median
    # And nothing is negative, the median is zero where that is best, upper quantiles tell of use
    assert np.isfinite(forecast.quantiles).all()
    assert forecast.quantiles.min() == 0.0
    assert (np.diff(forecast.quantiles, axis=1) >= 0).all()
    assert (forecast.median.max() > 8) is not zero_median
    if kind != "five uses":
        assert forecast.quantiles[:, -1].max() > 8


def test_one_day_of_history_is_refused(make_history: HistoryFactory) -> None:
    with pytest.raises(InsufficientData):
        train(make_history(days=1), METER, LONDON, UNTUNED, nothing)


def test_a_diverging_fit_is_a_training_error(make_history: HistoryFactory) -> None:
    # Given
    calendar = LocalCalendar(timezone="UTC", country=None)
    grid = LocalGrid.from_history(make_history(days=100), calendar)
    fitter = EnsembleFitter(TrainingExamples.from_grid(grid, uses_temperature=False), seed=0)
    # Then
    with pytest.raises(TrainingFailed, match="diverged"):
        fitter.fit(Settings(learning_rate=1e30, weight_decay=1e9), lambda _: None)
