"""The features: one definition for training and forecasting, and nothing from the future."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.features import (
    TEMPERATURE_FEATURES,
    FeatureRows,
    TemperatureScale,
    build_features,
)
from energy_forecasting.forecasting.grid import MAX_LEADS, LocalGrid

LONDON = LocalCalendar(timezone="Europe/London", country="GB")


@pytest.fixture
def history(make_history: Callable[..., History]) -> History:
    return make_history(days=60, start="2024-03-01T00")


def test_training_and_forecasting_build_the_same_features(
    make_history: Callable[..., History],
) -> None:
    # Given a whole history, as training has it, and the last 42 days before an origin
    history = make_history(days=190, start="2024-03-01T00")
    grid = LocalGrid.from_history(history, LONDON)
    examples = TrainingExamples.from_grid(grid, uses_temperature=True)
    assert examples.expectation is not None
    expectation, origin = examples.expectation, 45 * 24
    start = grid.start + origin - 42 * 24
    recent = LocalGrid.from_history(history, LONDON, start=start, end=grid.start + origin)
    ahead = grid.filled_temperature[origin : origin + 168][None, :]

    def build(known: LocalGrid, hour: int) -> FeatureRows:
        return build_features(
            known,
            np.array([hour]),
            168,
            scale=examples.scale,
            temperature_ahead=ahead,
            temperature_scale=examples.temperature_scale,
            surprises=expectation.surprises(
                known, scale=examples.scale, temperature_scale=examples.temperature_scale
            ),
        )

    # When
    forecast, training = build(recent, len(recent)), build(grid, origin)
    # Then
    np.testing.assert_allclose(forecast.values, training.values, atol=1e-5)
    # And training's own rows differ only in what it is surprised of: nothing that it has learnt
    rows = examples.features[examples.origins == origin]
    same = [not name.startswith("unexpected") for name in forecast.names]
    assert forecast.names == examples.names
    np.testing.assert_allclose(forecast.values[0][:, same], rows[:, same], atol=1e-5)
    np.testing.assert_allclose(forecast.base[0], examples.base[examples.origins == origin])


def test_no_feature_knows_what_comes_after_its_origin(history: History) -> None:
    # Given
    grid = LocalGrid.from_history(history, LONDON)
    origins = np.array([40 * 24 + 7])
    spoilt = grid.consumption.copy()
    spoilt[origins[0] :] = 1e6
    # When
    built = build_features(grid, origins, MAX_LEADS, scale=1.0)
    with_spoilt = build_features(replace(grid, consumption=spoilt), origins, MAX_LEADS, scale=1.0)
    # Then
    np.testing.assert_array_equal(built.values, with_spoilt.values)
    np.testing.assert_array_equal(built.base, with_spoilt.base)


@pytest.mark.parametrize("hour", [0, 1, 13, 23])
def test_last_weeks_value_is_found_from_any_hour_of_the_day(history: History, hour: int) -> None:
    # Given a meter that counts its own hours
    counting = replace(history, consumption=np.arange(len(history), dtype=float))
    grid = LocalGrid.from_history(counting, LocalCalendar(timezone="UTC", country=None))
    origin = 40 * 24 + hour
    # When
    built = build_features(grid, np.array([origin]), MAX_LEADS, scale=1.0)
    week_1 = built.values[0, :, built.names.index("week_1")] + built.base[0]
    day_1 = built.values[0, :, built.names.index("day_1")] + built.base[0]
    # Then the lead beyond the week falls back by another week
    np.testing.assert_allclose(week_1[:168], origin - 168 + np.arange(168), rtol=1e-5)
    assert week_1[168] == pytest.approx(origin - 168)
    np.testing.assert_allclose(day_1[:24], origin - 24 + np.arange(24), rtol=1e-5)
    np.testing.assert_allclose(day_1[24:48], origin - 24 + np.arange(24), rtol=1e-5)


def test_a_holiday_counts_as_a_sunday(history: History) -> None:
    # Given the week of Good Friday, 29 March 2024, in London
    grid = LocalGrid.from_history(history, LONDON)
    origin = int((np.datetime64("2024-03-29T00") - grid.start).astype(int))
    # When
    built = build_features(
        LocalGrid.from_history(
            history, LONDON, start=grid.start - 14 * 24, end=grid.start + origin
        ),
        np.array([origin + 14 * 24]),
        24,
        scale=1.0,
    )
    # Then
    assert (built.values[0, :, built.names.index("weekday_6")] == 1).all()
    assert (built.values[0, :, built.names.index("weekday_4")] == 0).all()
    assert (built.values[0, :, built.names.index("holiday")] == 1).all()


def test_temperature_features_come_last_and_match_their_definition(history: History) -> None:
    # Given
    grid = LocalGrid.from_history(history, LONDON)
    degrees = grid.filled_temperature
    scale = TemperatureScale.of(degrees)
    origin, lead = 40 * 24, 30
    # When
    built = build_features(
        grid,
        np.array([origin]),
        168,
        scale=1.0,
        temperature_ahead=degrees[origin : origin + 168][None, :],
        temperature_scale=scale,
    )
    # Then
    assert built.names[-len(TEMPERATURE_FEATURES) :] == TEMPERATURE_FEATURES
    assert len(built.names) == 63
    row = dict(zip(built.names, built.values[0, lead], strict=True))
    target = origin + lead
    z = scale.standardise(degrees)
    assert row["temperature"] == pytest.approx(z[target], rel=1e-5)
    assert row["temperature_24h"] == pytest.approx(z[target - 23 : target + 1].mean(), rel=1e-4)
    assert row["temperature_72h"] == pytest.approx(z[target - 71 : target + 1].mean(), rel=1e-4)
    assert row["temperature_to_week_1"] == pytest.approx(z[target] - z[target - 168], rel=1e-4)
