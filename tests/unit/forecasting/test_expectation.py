"""The day-ahead regression: what it expects, and that nothing from the future reaches it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.expectation import (
    Expectation,
    can_expect,
    learn,
    learn_expectation,
)
from energy_forecasting.forecasting.features import LOOKBACK_HOURS, TemperatureScale
from energy_forecasting.forecasting.grid import LocalGrid

LONDON = LocalCalendar(timezone="Europe/London", country="GB")


@pytest.fixture
def grid(make_history: Callable[..., History]) -> LocalGrid:
    return LocalGrid.from_history(make_history(days=160, start="2024-02-01T00"), LONDON)


def test_a_lasting_rise_surprises_until_the_days_before_show_it(grid: LocalGrid) -> None:
    # Given a meter that from one midnight on uses 3 more
    regression, _ = learn(grid, scale=1.0)
    day = 100 * 24
    risen = grid.consumption.copy()
    risen[day:] += 3.0
    # When
    usual = regression.surprises(grid, scale=1.0)
    surprise = regression.surprises(replace(grid, consumption=risen), scale=1.0) - usual
    # Then the first day is a full surprise, the days before are none, little is left in the end
    np.testing.assert_allclose(surprise[:day], 0.0)
    assert np.mean(surprise[day : day + 24]) == pytest.approx(3.0, abs=0.5)
    assert abs(np.mean(surprise[day + 35 * 24 : day + 42 * 24])) < 0.5


def test_a_surprise_knows_no_reading_after_its_hour(grid: LocalGrid) -> None:
    # Given
    regression, _ = learn(grid, scale=1.0)
    spoilt = grid.consumption.copy()
    spoilt[120 * 24 + 7 :] = 1e6
    # When
    honest = regression.surprises(grid, scale=1.0)
    with_spoilt = regression.surprises(replace(grid, consumption=spoilt), scale=1.0)
    # Then
    np.testing.assert_array_equal(honest[: 120 * 24 + 7], with_spoilt[: 120 * 24 + 7])


def test_what_a_regression_has_learnt_does_not_count_as_expected(grid: LocalGrid) -> None:
    # Given a meter that is pure noise, so that nothing can be expected of it
    noise = np.random.default_rng(0).normal(size=len(grid))
    noisy = replace(grid, consumption=noise)
    # When
    regression, cross_fitted = learn(noisy, scale=1.0)
    in_sample = regression.surprises(noisy, scale=1.0)
    # Then hindsight looks better than it is, and the surprises that training sees do not
    scored = slice(LOOKBACK_HOURS, None)
    assert np.std(cross_fitted[scored]) > np.std(in_sample[scored])
    assert np.std(cross_fitted[scored]) >= 1.0


def test_a_missing_reading_surprises_nobody(grid: LocalGrid) -> None:
    # Given
    gappy = grid.consumption.copy()
    gappy[100 * 24 + 5 : 100 * 24 + 9] = np.nan
    # When
    regression, cross_fitted = learn(replace(grid, consumption=gappy), scale=1.0)
    surprise = regression.surprises(replace(grid, consumption=gappy), scale=1.0)
    # Then
    assert (surprise[100 * 24 + 5 : 100 * 24 + 9] == 0).all()
    assert (cross_fitted[100 * 24 + 5 : 100 * 24 + 9] == 0).all()
    assert np.isfinite(surprise).all()


def test_the_regressions_survive_the_way_through_an_artifact(grid: LocalGrid) -> None:
    # Given
    temperature_scale = TemperatureScale.of(grid.filled_temperature)
    expectation, _ = learn_expectation(grid, scale=1.0, temperature_scale=temperature_scale)
    # When
    restored = Expectation.from_weights(expectation.to_weights())
    # Then
    assert restored is not None
    ours = expectation.surprises(grid, scale=1.0, temperature_scale=temperature_scale)
    theirs = restored.surprises(grid, scale=1.0, temperature_scale=temperature_scale)
    np.testing.assert_allclose(theirs.blind, ours.blind, atol=1e-4)
    assert theirs.sighted is not None
    assert ours.sighted is not None
    np.testing.assert_allclose(theirs.sighted, ours.sighted, atol=1e-4)


def test_an_artifact_without_regressions_has_none() -> None:
    assert Expectation.from_weights({"hidden_1/kernel": np.zeros(1)}) is None


def test_short_and_coarse_histories_are_left_without_surprises(grid: LocalGrid) -> None:
    # Given 160 days, and a year read once a day
    year = replace(grid, consumption=np.tile(grid.consumption, 3), temperature=np.zeros(0))
    daily = replace(year, inside=np.setdiff1d(np.arange(len(year)), np.arange(0, len(year), 24)))
    # Then
    assert not can_expect(grid)
    assert can_expect(year)
    assert not can_expect(daily)
