"""Why a forecast is what it is, on networks with random weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.domain.forecasts import Forecast
from energy_forecasting.domain.horizons import Horizon
from energy_forecasting.domain.model_card import ForecastMethod, ModelCard
from energy_forecasting.domain.readings import HOUR, History, Values
from energy_forecasting.forecasting.explaining import explanation_sentences
from energy_forecasting.forecasting.explaining.explanation import Explanation
from energy_forecasting.forecasting.forecaster import Forecaster

CardFactory = Callable[..., ModelCard]
HistoryFactory = Callable[..., History]
Weights = Mapping[str, npt.NDArray[np.float32]]

#: Rome is in summer time; Sunday 2 June is the holiday of the republic.
WEEK = Horizon(origin=datetime(2024, 5, 28, 22, tzinfo=UTC), hours=168)


@pytest.fixture
def history(make_history: HistoryFactory) -> History:
    made = make_history(days=300, start="2024-01-31T23")
    return replace(made, consumption=made.consumption + 20)


def total(explanation: Explanation) -> Values:
    return np.asarray(np.sum(list(explanation.parts.values()), axis=0))


@pytest.mark.parametrize(
    "horizon",
    [
        WEEK,
        Horizon(origin=datetime(2024, 6, 2, 9, tzinfo=UTC), hours=5),
        Horizon(origin=datetime(2024, 3, 30, 23, tzinfo=UTC), hours=168),
        Horizon(origin=datetime(2024, 10, 26, 22, tzinfo=UTC), hours=30),
    ],
    ids=["a week", "five hours at noon", "clocks forward", "clocks back"],
)
@pytest.mark.parametrize("warm", [None, 25.0], ids=["blind", "with temperature"])
def test_the_parts_add_up_to_the_median(
    make_card: CardFactory,
    random_weights: Weights,
    history: History,
    horizon: Horizon,
    warm: float | None,
) -> None:
    # Given
    forecaster = Forecaster(make_card(), random_weights)
    temperature = None if warm is None else np.full(horizon.hours, warm)
    forecast = forecaster.forecast(history, horizon, temperature=temperature)
    # When
    explanation = forecaster.explain(history, horizon, forecast, temperature=temperature)
    # Then
    np.testing.assert_allclose(total(explanation), forecast.median, rtol=1e-12)
    assert "temperature" in explanation.parts
    assert all(len(values) == horizon.hours for values in explanation.parts.values())


def test_where_a_forecast_is_lifted_to_zero_the_lift_is_a_part(
    make_card: CardFactory, random_weights: Weights, history: History
) -> None:
    # Given a meter near zero
    forecaster = Forecaster(make_card(), random_weights)
    low = replace(history, consumption=history.consumption - 22)
    forecast = forecaster.forecast(low, WEEK)
    # When
    explanation = forecaster.explain(low, WEEK, forecast)
    # Then
    lifted = explanation.parts["never_below_zero"] > 0
    assert 0 < lifted.sum() < 168
    np.testing.assert_array_equal(lifted, forecast.median == 0)
    np.testing.assert_allclose(total(explanation), forecast.median, atol=1e-12)


def test_a_history_of_equal_weeks_has_nothing_to_explain(
    make_card: CardFactory, random_weights: Weights, history: History
) -> None:
    # Given no holiday, every week like the one before, and every day equally warm
    forecaster = Forecaster(make_card(country=None), random_weights)
    hours = np.arange(len(history))
    same = replace(
        history,
        consumption=20 + np.sin(2 * np.pi * hours / 168),
        temperature=10 + np.sin(2 * np.pi * hours / 24),
    )
    temperature = 10 + np.sin(2 * np.pi * (np.arange(168) + len(history.before(WEEK.origin))) / 24)
    forecast = forecaster.forecast(same, WEEK, temperature=temperature)
    # When
    explanation = forecaster.explain(same, WEEK, forecast, temperature=temperature)
    # Then all is the usual week and what the model makes of it
    for name in set(explanation.parts) - {"usual_week", "hour_of_week"}:
        np.testing.assert_allclose(explanation.parts[name], 0.0, atol=1e-4)
    first_hour = len(history.before(WEEK.origin))
    np.testing.assert_allclose(
        explanation.parts["usual_week"],
        20 + np.sin(2 * np.pi * (first_hour + np.arange(168)) / 168),
    )
    assert not any("degrees" in sentence for sentence in explanation.sentences)


def test_only_what_changed_gets_a_part(
    make_card: CardFactory, random_weights: Weights, history: History
) -> None:
    # Given
    forecaster = Forecaster(make_card(), random_weights)
    mild, hot = np.full(168, 12.0), np.full(168, 30.0)
    # When
    parts = [
        forecaster.explain(
            history, WEEK, forecaster.forecast(history, WEEK, temperature=sent), temperature=sent
        ).parts
        for sent in (mild, hot)
    ]
    # Then the start and the usual conditions do not know the temperature sent
    for name in ("usual_week", "hour_of_week"):
        np.testing.assert_array_equal(parts[0][name], parts[1][name])
    assert not np.allclose(parts[0]["temperature"], parts[1]["temperature"])


def test_some_hours_are_explained_as_within_the_whole(
    make_card: CardFactory, random_weights: Weights, history: History
) -> None:
    # Given
    forecaster = Forecaster(make_card(), random_weights)
    whole = forecaster.forecast(history, WEEK)
    evening = Forecast(
        timestamps=whole.timestamps[20:24],
        levels=whole.levels,
        quantiles=whole.quantiles[20:24],
        median=whole.median[20:24],
        sighted=whole.sighted[20:24],
    )
    # When
    parts = forecaster.explain(history, WEEK, whole).parts
    some = forecaster.explain(history, WEEK, evening).parts
    # Then
    for name, values in some.items():
        np.testing.assert_array_equal(values, parts[name][20:24])


def test_a_holiday_has_a_part_on_its_hours_alone_and_a_sentence(
    make_card: CardFactory,
    random_weights: Weights,
    history: History,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given Sunday to Tuesday around a bank holiday, the one before it out of sight
    forecaster = Forecaster(make_card(country="GB", timezone="Europe/London"), random_weights)
    # and nothing too small to be told: the weights are random
    monkeypatch.setattr(explanation_sentences, "NEGLIGIBLE", 0.0)
    monkeypatch.setattr(explanation_sentences, "MOST_CAUSES", 9)
    horizon = Horizon(origin=datetime(2024, 5, 25, 23, tzinfo=UTC), hours=72)
    forecast = forecaster.forecast(history, horizon)
    # When
    explanation = forecaster.explain(history, horizon, forecast)
    # Then
    holidays = explanation.parts["holidays"]
    assert (holidays[24:48] != 0).all()
    assert not holidays[:24].any()
    assert any("Monday 27 May is a public holiday" in said for said in explanation.sentences)


def test_the_seasonal_naive_is_last_week_and_says_what_it_cannot_know(
    make_card: CardFactory, history: History
) -> None:
    # Given
    card = make_card(
        method=ForecastMethod.SEASONAL_NAIVE, country="GB", timezone="Europe/London",
        method_reason="The history is short.",
    )  # fmt: skip
    table = {"residual_quantiles/kernel": np.zeros((24, 9), dtype=np.float32)}
    forecaster = Forecaster(card, table)
    horizon = Horizon(origin=datetime(2024, 5, 25, 23, tzinfo=UTC), hours=72)
    forecast = forecaster.forecast(history, horizon)
    # When
    explanation = forecaster.explain(history, horizon, forecast)
    # Then
    assert list(explanation.parts) == ["last_week"]
    np.testing.assert_array_equal(explanation.parts["last_week"], forecast.median)
    assert explanation.sentences == (
        "The forecast repeats the values of a week ago.",
        "The history is short.",
        "Monday 27 May is a public holiday, which last week's values do not know.",
    )


def test_an_absurd_forecast_is_explained_by_the_baseline_that_answers(
    make_card: CardFactory, random_weights: Weights, history: History
) -> None:
    # Given a network far outside of what the meter has shown
    absurd = {name: values * 1e4 for name, values in random_weights.items()}
    card = make_card()
    narrow = card.model_copy(update={"data": card.data.model_copy(
        update={"lowest": 0.0, "highest": 50.0})})  # fmt: skip
    forecaster = Forecaster(narrow, absurd)
    forecast = forecaster.forecast(history, WEEK)
    assert forecast.is_baseline
    # When
    explanation = forecaster.explain(history, WEEK, forecast)
    # Then
    week_ago = history.consumption[
        history.timestamps.searchsorted(forecast.timestamps - 168 * HOUR)
    ]
    np.testing.assert_allclose(explanation.parts["last_week"], week_ago)
    assert "far outside" in explanation.sentences[1]


def test_an_unmeasured_past_temperature_is_not_compared_with(
    make_card: CardFactory, random_weights: Weights, history: History
) -> None:
    # Given a temperature forecast for a meter whose sensor died long ago
    forecaster = Forecaster(make_card(), random_weights)
    blind = replace(history, temperature=np.full(len(history), np.nan))
    sent = np.full(168, 30.0)
    forecast = forecaster.forecast(blind, WEEK, temperature=sent)
    # When
    explanation = forecaster.explain(blind, WEEK, forecast, temperature=sent)
    # Then
    np.testing.assert_allclose(total(explanation), forecast.median, rtol=1e-12)
    assert not any("degrees" in sentence for sentence in explanation.sentences)
