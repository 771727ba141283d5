"""Errors of weather forecasts: their size, and what they touch in the rows that members learn."""

from collections.abc import Callable

import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.features import TEMPERATURE_FEATURES
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.temperature_error import draw_errors


@pytest.fixture(scope="module")
def measured(make_history: Callable[..., History]) -> TrainingExamples:
    grid = LocalGrid.from_history(
        make_history(days=120), LocalCalendar(timezone="UTC", country=None)
    )
    return TrainingExamples.from_grid(grid, uses_temperature=True)


def test_errors_grow_with_the_lead_and_change_within_days() -> None:
    # When
    errors = draw_errors(np.random.default_rng(0), 4000, 168)
    # Then
    deviation = errors.std(axis=0)
    assert deviation[[0, 84, 167]] == pytest.approx([1.0, 1.75, 2.5], rel=0.05)
    correlation = np.asarray(np.corrcoef(errors.T))
    assert correlation[80, 81] > 0.95
    assert correlation[60, 84] == pytest.approx(0.25 + 0.75 / np.e, abs=0.05)
    assert correlation[0, 167] == pytest.approx(0.25, abs=0.05)


def test_errors_touch_nothing_but_temperature(measured: TrainingExamples) -> None:
    # When
    erring = measured.with_temperature_errors(1.0, seed=3)
    # Then
    others = len(measured.names) - len(TEMPERATURE_FEATURES)
    np.testing.assert_array_equal(erring.features[:, :others], measured.features[:, :others])
    np.testing.assert_array_equal(erring.departures, measured.departures)
    changed = erring.features[:, others:] != measured.features[:, others:]
    assert changed[:, TEMPERATURE_FEATURES.index("temperature")].all()


def test_errors_of_size_nought_leave_the_measured_rows(measured: TrainingExamples) -> None:
    without = measured.with_temperature_errors(0.0, seed=3)
    np.testing.assert_array_equal(without.features, measured.features)
    np.testing.assert_array_equal(without.mean, measured.mean)


def test_a_seed_gives_the_same_errors_and_another_one_others(measured: TrainingExamples) -> None:
    first, again, other = (measured.with_temperature_errors(0.5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.features, again.features)
    assert not np.array_equal(first.features, other.features)


def test_a_meter_without_temperature_has_nothing_to_err_on(
    make_history: Callable[..., History],
) -> None:
    grid = LocalGrid.from_history(
        make_history(days=60), LocalCalendar(timezone="UTC", country=None)
    )
    blind = TrainingExamples.from_grid(grid, uses_temperature=False)
    assert blind.with_temperature_errors(1.0, seed=0) is blind
