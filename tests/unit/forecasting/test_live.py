"""Past forecasts made again, and what they teach, from random weights and made-up meters."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.domain.forecasts import TemperatureSource
from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.model_card import DataSpan, ForecastMethod, ModelCard
from energy_forecasting.domain.monitoring import LiveRecord, LiveScore, advice
from energy_forecasting.domain.readings import History, to_datetime64
from energy_forecasting.forecasting.forecaster import Forecaster
from energy_forecasting.forecasting.live.live_calibration import LiveCalibration
from energy_forecasting.forecasting.live.replay import Replay, replay, replayed_readings

CardFactory = Callable[..., ModelCard]
Weights = Mapping[str, npt.NDArray[np.float32]]

LEARNT_UNTIL = datetime(2024, 5, 1, 13, tzinfo=UTC)  # 15:00 in Rome
ORIGIN = datetime(2024, 6, 10, 7, tzinfo=UTC)  # 09:00 in Rome, 40 days later
UNUSED, REQUEST = TemperatureSource.UNUSED, TemperatureSource.REQUEST


@pytest.fixture
def card(make_card: CardFactory) -> ModelCard:
    return make_card(data=span_until(LEARNT_UNTIL))


@pytest.fixture
def history(make_history: Callable[..., History]) -> History:
    return make_history(days=300, start="2023-12-31T23")


def span_until(last_reading: datetime) -> DataSpan:
    return DataSpan(
        first_reading=datetime(2023, 12, 31, 23, tzinfo=UTC),
        last_reading=last_reading,
        readings=1,
        missing_share=0.0,
        lowest=-1e6,
        highest=1e6,
    )


def replayed(
    card: ModelCard,
    weights: Weights,
    history: History,
    source: TemperatureSource = UNUSED,
    origin: datetime = ORIGIN,
) -> Replay:
    readings = replayed_readings(card, history, origin)
    assert readings is not None
    return replay(card, weights, readings, origin, source)


def changed_from(history: History, moment: datetime) -> History:
    consumption = history.consumption.copy()
    consumption[history.timestamps >= to_datetime64(moment)] = 1e5
    return replace(history, consumption=consumption)


@pytest.mark.parametrize("method", [ForecastMethod.QUANTILE_NETWORK, ForecastMethod.SEASONAL_NAIVE])
@pytest.mark.parametrize("source", [REQUEST, UNUSED])
def test_a_reading_after_a_midnight_does_not_change_the_forecast_from_it(
    card: ModelCard,
    random_weights: Weights,
    history: History,
    method: ForecastMethod,
    source: TemperatureSource,
) -> None:
    # Given a history with gaps and one that differs from the midnight of 25 May in Rome on
    table = np.tile(np.linspace(-2, 2, 9, dtype=np.float32), (24, 1))
    weights = {**random_weights, "residual_quantiles/kernel": table}
    own = card.model_copy(update={"method": method})
    missing = np.random.default_rng(0).random(len(history)) < 0.2
    gappy = replace(history, consumption=np.where(missing, np.nan, history.consumption))
    midnight = datetime(2024, 5, 24, 22, tzinfo=UTC)
    # When
    before = replayed(own, weights, gappy, source)
    after = replayed(own, weights, changed_from(gappy, midnight), source)
    # Then the last midnight replayed is that of 10 June, 16 days later
    upto = len(before.quantiles) - 16
    np.testing.assert_array_equal(before.quantiles[:upto], after.quantiles[:upto])
    np.testing.assert_array_equal(before.naive[:upto], after.naive[:upto])
    assert np.isfinite(before.actual[:upto]).any()
    assert not np.allclose(before.quantiles[upto], after.quantiles[upto])


def test_a_midnight_before_which_an_hour_was_never_known_is_not_scored(
    card: ModelCard, random_weights: Weights, history: History
) -> None:
    # Given a meter that was silent in the weeks before 20 May, so that only the future fills them
    silent_from, silent_until = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 5, 20, tzinfo=UTC)
    stamps = history.timestamps
    silent = (stamps >= to_datetime64(silent_from)) & (stamps < to_datetime64(silent_until))
    gappy = replace(history, consumption=np.where(silent, np.nan, history.consumption))
    # When
    past = replayed(card, random_weights, gappy)
    # Then 29 days from the 20th on are not over on 10 June
    assert not np.isfinite(past.actual).any()


def test_a_replayed_forecast_is_the_one_that_was_given(
    card: ModelCard, random_weights: Weights, history: History
) -> None:
    # Given a forecast from the midnight of 2 June by a model that is not adapted yet
    midnight = datetime(2024, 6, 1, 22, tzinfo=UTC)
    fresh = card.model_copy(update={"data": span_until(midnight), "non_negative": False})
    given = Forecaster(fresh, random_weights).forecast(history, Horizon(origin=midnight, hours=168))
    # When
    past = replayed(card, random_weights, history)
    # Then it is the eighth before the last midnight, 10 June
    assert given.live is None
    # Many origins at once add up in another order than one; near zero only the float32 step counts.
    np.testing.assert_allclose(past.quantiles[-9], given.quantiles, rtol=1e-5, atol=1e-6)


def test_only_hours_after_the_training_are_scored(
    card: ModelCard, random_weights: Weights, history: History
) -> None:
    past = replayed(card, random_weights, history)

    # 25 April, six days before the training's end, to 10 June
    assert past.actual.shape == (47, 168)
    scored = np.isfinite(past.actual)
    assert not scored[6, :16].any()  # 1 May until 15:00 in Rome has been learnt
    assert scored[6, 16:].all()
    assert scored[0, 160:].all()
    assert not scored[0, :160].any()
    assert scored[-1].sum() == 9  # today until 09:00
    assert scored.sum() == sum(
        1
        for hour in range(16 + 144, 46 * 24 + 9)
        for midnight in range(0, 47 * 24, 24)
        if 0 <= hour - midnight < 168
    )


@pytest.mark.parametrize("minutes", [0, 60])
def test_without_a_reading_since_the_training_nothing_is_said(
    make_card: CardFactory, random_weights: Weights, history: History, minutes: int
) -> None:
    last_reading = ORIGIN - timedelta(hours=1) + timedelta(minutes=minutes)
    card = make_card(data=span_until(last_reading))

    forecast = Forecaster(card, random_weights).forecast(history, Horizon(origin=ORIGIN, hours=24))

    assert forecast.live is None


def test_an_hour_without_a_measured_temperature_does_not_judge_the_part_that_uses_it(
    card: ModelCard, random_weights: Weights, history: History
) -> None:
    cold = replace(history, temperature=np.full(len(history), np.nan))

    assert not np.isfinite(replayed(card, random_weights, cold, REQUEST).actual).any()
    assert np.isfinite(replayed(card, random_weights, cold, UNUSED).actual).any()


def test_the_readings_that_a_forecast_asks_for_suffice(
    card: ModelCard, random_weights: Weights, history: History
) -> None:
    # Given
    forecaster = Forecaster(card, random_weights)
    horizon = Horizon(origin=ORIGIN, hours=168)
    kept = history.timestamps >= to_datetime64(forecaster.needs_from(ORIGIN))
    recent = History(
        timestamps=history.timestamps[kept],
        consumption=history.consumption[kept],
        temperature=history.temperature[kept],
    )
    # When
    from_recent, from_all = (forecaster.forecast(each, horizon) for each in (recent, history))
    # Then
    assert from_recent.live is not None
    assert from_recent.live == from_all.live
    np.testing.assert_array_equal(from_recent.quantiles, from_all.quantiles)
    assert ORIGIN - forecaster.needs_from(ORIGIN) < timedelta(days=110)


def test_the_answer_from_memory_is_the_answer(
    card: ModelCard, random_weights: Weights, history: History
) -> None:
    # Given
    live = LiveCalibration(card, random_weights)
    # When asked twice, after a reading that came late, and anew
    first, second = (live.at(history, ORIGIN, UNUSED) for _ in range(2))
    late = live.at(changed_from(history, ORIGIN - timedelta(hours=5)), ORIGIN, UNUSED)
    anew = LiveCalibration(card, random_weights).at(history, ORIGIN, UNUSED)
    # Then
    assert second is first
    assert late.record != first.record
    assert anew.record == first.record
    np.testing.assert_array_equal(anew.adaptation.factors, first.adaptation.factors)


def test_intervals_that_are_far_too_narrow_are_widened(
    card: ModelCard, random_weights: Weights, history: History
) -> None:
    # Given
    narrow = card.model_copy(
        update={"calibration": dict.fromkeys(("request", "unused"), [[0.05] * 9] * 2)}
    )
    # When
    record = Forecaster(narrow, random_weights).record(history, ORIGIN, UNUSED)
    # Then
    assert record is not None
    assert record.scored_days == 28
    assert record.first_day.hours == 27 * 24 + 9
    assert record.first_day.coverage80 > record.first_day.coverage80_unadapted + 0.2
    assert record.later_days is not None
    assert record.later_days.hours == 6 * record.first_day.hours


def score(error_to_naive: float) -> LiveScore:
    return LiveScore(
        hours=24,
        coverage80=0.8,
        coverage80_unadapted=0.7,
        error=error_to_naive,
        naive_error=1.0,
        error_to_naive=error_to_naive,
    )


@pytest.mark.parametrize(
    ("scored_days", "worse_days", "ratio", "is_worse"),
    [
        (14, 10, 1.25, True),
        (13, 10, 1.25, False),
        (28, 14, 1.25, False),
        (28, 20, 1.05, False),
        (28, 20, 0.7, False),
    ],
    ids=["clearly worse", "too few days", "a few bad days", "hardly worse", "better"],
)
def test_a_model_is_called_worse_only_when_it_clearly_is(
    scored_days: int, worse_days: int, ratio: float, is_worse: bool
) -> None:
    record = LiveRecord(
        scored_days=scored_days, worse_days=worse_days, first_day=score(ratio), later_days=None
    )

    said = advice(record)
    assert (said is not None) == is_worse
    if said is not None:
        assert "25% above" in said
        assert said.endswith("train the meter again.")


def test_a_daily_meter_is_replayed_from_the_hour_at_which_its_readings_end(
    card: ModelCard, random_weights: Weights, history: History
) -> None:
    # Given readings of a gas day, from six in the morning on, of which the last is not over
    origin = datetime(2024, 6, 10, 4, tzinfo=UTC)  # 06:00 in Rome
    daily = card.model_copy(update={"resolution_minutes": 1440.0})
    # When
    past = replayed(daily, random_weights, history, origin=origin)
    hourly = replayed(card, random_weights, history, origin=origin)
    # Then each forecast starts at six and is judged by the hours from then on
    assert len(past.actual) == len(hourly.actual) - 1
    np.testing.assert_array_equal(past.actual[10, :100], hourly.actual[10, 6:106])
