"""The pooled regression: what young meters learn from others."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from energy_forecasting.domain.base_card import BaseCard
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.naive_training import fit_naive
from energy_forecasting.forecasting.scale import seasonal_scale
from energy_forecasting.forecasting.young.base_training import base_rows, learn_base
from energy_forecasting.forecasting.young.built_in_base import built_in_base
from energy_forecasting.forecasting.young.pooled_base import PooledBase, StoreBase
from energy_forecasting.forecasting.young.pooled_moments import (
    Moments,
    count_residuals,
    fit_location,
    fit_spread,
    quantiles_of,
    solve_coefficients,
)
from energy_forecasting.forecasting.young.pooled_regression import LEAD_DAYS
from energy_forecasting.forecasting.young.pooled_rows import PooledRows, grid_before
from energy_forecasting.forecasting.young.pooled_training import fit_pooled
from energy_forecasting.forecasting.young.young_training import fit_young

HistoryFactory = Callable[..., History]
UTC_CLOCK = LocalCalendar(timezone="UTC", country=None)
METER = Meter(meter_type="electricity", meter_id="meter_1")


@pytest.fixture(scope="module")
def store_base(make_history: HistoryFactory) -> StoreBase:
    """Return a base of five made-up meters, METER among them."""
    grids = {
        f"electricity/meter_{number}": LocalGrid.from_history(
            make_history(days=80, seed=number), UTC_CLOCK
        )
        for number in range(1, 6)
    }
    rows = {meter: base_rows(grid, meters=len(grids)) for meter, grid in grids.items()}
    learnt = learn_base(rows, known=built_in_base())
    card = BaseCard(
        meter_type="electricity",
        version="v1",
        learnt_at=datetime(2026, 1, 15, tzinfo=UTC),
        meters=list(grids),
        skipped={},
        rows=learnt.rows,
        mase=learnt.mase,
        naive_mase=learnt.naive_mase,
        skill=0.1,
    )
    return StoreBase(card=card, base=learnt.base)


def test_pooled_moments_are_those_of_the_stacked_rows() -> None:
    # Given two meters' rows
    generator = np.random.default_rng(0)
    days = np.arange(700) % LEAD_DAYS
    design, target = generator.normal(size=(700, 5)), generator.normal(size=700)
    weights, first = generator.uniform(0.5, 2, 700), np.arange(700) < 300
    # When their sums are added
    parts = [
        Moments.of(design[chosen], target[chosen], weights[chosen], days[chosen])
        for chosen in (first, ~first)
    ]
    pooled = solve_coefficients(parts[0] + parts[1])
    # Then they give what all rows give at once, and taking one away leaves the other
    whole = Moments.of(design, target, weights, days)
    np.testing.assert_allclose(pooled, solve_coefficients(whole))
    left = whole - parts[1]
    np.testing.assert_allclose(solve_coefficients(left), solve_coefficients(parts[0]))


def test_a_prior_worth_as_many_rows_as_a_meter_has_pulls_half_the_way() -> None:
    # Given a fleet that says 1 and a meter that says 3, with the same rows
    design, days = np.ones((7000, 1), np.float32), np.arange(7000) % LEAD_DAYS
    fleet = Moments.of(design, np.full(7000, 1.0), np.ones(7000), days)
    own = Moments.of(design, np.full(7000, 3.0), np.ones(7000), days)
    # When
    pooled = solve_coefficients(own + fleet.worth(own.rows))
    # Then
    np.testing.assert_allclose(pooled, 2.0, atol=0.01)


def test_a_regression_by_absolute_deviations_does_not_follow_outliers() -> None:
    # Given a line on which a tenth of the targets lie far off
    generator = np.random.default_rng(0)
    design = generator.normal(size=(7000, 1)).astype(np.float32)
    target = 0.5 * design[:, 0] + generator.normal(0, 0.1, 7000)
    target[generator.random(7000) < 0.1] += 7.0
    # When
    coefficients, _ = fit_location(
        np.hstack([design, np.ones_like(design)]),
        target,
        np.arange(7000) % LEAD_DAYS,
        prior=None,
        rounds=8,
    )
    # Then
    np.testing.assert_allclose(coefficients[:, 0], 0.5, atol=0.05)
    np.testing.assert_allclose(coefficients[:, 1], 0.0, atol=0.15)


def test_spread_and_quantiles_cover_what_they_claim() -> None:
    # Given residuals whose size grows with the second dispersion
    generator = np.random.default_rng(0)
    days = np.arange(14_000) % LEAD_DAYS
    dispersion = np.column_stack([np.ones(14_000), generator.uniform(0, 3, (14_000, 2))])
    residuals = generator.laplace(0, 0.2 + 0.7 * dispersion[:, 1])
    # When
    factors, _ = fit_spread(dispersion, residuals, days, prior=None)
    spread = np.einsum("nd,nd->n", dispersion, factors[days])
    quantiles = quantiles_of(count_residuals(residuals, spread, days))
    # Then
    np.testing.assert_allclose(factors.mean(axis=0), [0.2, 0.7, 0.0], atol=0.1)
    inside = (residuals / spread >= quantiles[days, 0]) & (residuals / spread <= quantiles[days, 8])
    assert inside.mean() == pytest.approx(0.8, abs=0.01)
    assert inside[dispersion[:, 1] > 2].mean() == pytest.approx(0.8, abs=0.03)


def test_rows_know_nothing_from_their_origin_on(make_history: HistoryFactory) -> None:
    # Given a meter of twenty days, and the same with another end
    grid = LocalGrid.from_history(make_history(days=20), UTC_CLOCK)
    other = grid.consumption.copy()
    other[10 * 24 + 5 :] = 1e6
    # When rows of day 10 are built
    origins = [10 * 24, 10 * 24 + 5]
    rows = PooledRows.of(grid, origins, scale=1.0)
    spoilt = PooledRows.of(replace(grid, consumption=other), origins, scale=1.0)
    # Then
    np.testing.assert_array_equal(rows.features, spoilt.features)
    assert len(grid_before(grid, 10 * 24 + 5)) == 42 * 24 + 5


def test_a_row_may_know_fewer_weeks_than_there_are(make_history: HistoryFactory) -> None:
    grid = LocalGrid.from_history(make_history(days=60), UTC_CLOCK)

    known = grid_before(grid, 50 * 24, weeks=2)

    assert np.isfinite(known.consumption).sum() == 14 * 24
    np.testing.assert_array_equal(known.consumption[-14 * 24 :], grid.consumption[36 * 24 : 1200])


def test_a_gap_behind_the_first_days_is_survived(make_history: HistoryFactory) -> None:
    # Given two days, of whose second one only the last hour is known
    history = make_history(days=2)
    consumption = history.consumption.copy()
    consumption[24:47] = np.nan
    grid = LocalGrid.from_history(replace(history, consumption=consumption), UTC_CLOCK)
    # When
    model = fit_pooled(grid, built_in_base())
    # Then
    assert all(np.isfinite(table).all() for table in model.weights.values())
    assert model.scale > 0


@pytest.mark.parametrize("days", [2, 30])
def test_the_same_readings_give_the_same_model(make_history: HistoryFactory, days: int) -> None:
    grid = LocalGrid.from_history(make_history(days=days), UTC_CLOCK)

    first, second = (fit_pooled(grid, built_in_base()) for _ in range(2))

    for name, table in first.weights.items():
        np.testing.assert_array_equal(table, second.weights[name])


def test_the_skill_is_of_weeks_left_out(make_history: HistoryFactory) -> None:
    # Given pure noise, from which nothing can be learnt
    history = make_history(days=60)
    noise = np.random.default_rng(1).normal(10, 1, len(history))
    grid = LocalGrid.from_history(replace(history, consumption=noise), UTC_CLOCK)
    # When
    skill = fit_pooled(grid, built_in_base()).skill
    # Then the mean is the best forecast: 1 / sqrt(2) of the naive's error, and not less
    assert skill is not None
    assert skill.naive_mase == pytest.approx(1.0, abs=0.1)
    assert 0.69 < skill.mase < 0.85
    assert 0.75 < skill.coverage80 < 0.85


def test_a_base_helps_a_young_meter_and_forgets_the_meter_itself(
    make_history: HistoryFactory, store_base: StoreBase
) -> None:
    # Given METER as it was in its first days
    grid = LocalGrid.from_history(make_history(days=10, seed=1), UTC_CLOCK)
    # When
    young = fit_young(grid, METER, naive=fit_naive(grid), days=10, base=store_base)
    stranger = Meter(meter_type="electricity", meter_id="new")
    other = fit_young(grid, stranger, naive=fit_naive(grid), days=10, base=store_base)
    # Then
    assert young.base is not None
    assert (young.base.source, young.base.meters, young.base.version) == ("store", 4, "v1")
    assert other.base is not None
    assert other.base.meters == 5
    assert "4 other meters of the store" in young.reason


def test_a_base_of_other_features_is_not_used(
    make_history: HistoryFactory, store_base: StoreBase
) -> None:
    grid = LocalGrid.from_history(make_history(days=10), UTC_CLOCK)
    old = replace(store_base, base=replace(store_base.base, names=("before",)))

    young = fit_young(grid, METER, naive=fit_naive(grid), days=10, base=old)

    assert young.base is not None
    assert young.base.source == "built_in"


def test_a_base_survives_its_file(store_base: StoreBase) -> None:
    again = PooledBase.from_arrays(store_base.base.to_arrays())

    assert again.names == store_base.base.names
    assert again.meters.keys() == store_base.base.meters.keys()
    np.testing.assert_allclose(
        solve_coefficients(again.total.location),
        solve_coefficients(store_base.base.total.location),
        atol=1e-3,
    )


def test_the_scale_of_a_first_week_is_how_days_differ() -> None:
    # Given two days that differ by 2, three times, and a week of such differences
    days = np.repeat([0.0, 2.0, 0.0, 2.0], 24)
    assert seasonal_scale(days) == 2.0
    # Then a weekend without change does not pass for a meter without errors
    shape = np.tile(np.r_[np.zeros(12), np.full(12, 4.0)], 2)
    assert seasonal_scale(shape) == pytest.approx(0.45 * 2.0)
    assert seasonal_scale(np.ones(48)) == 1.0
