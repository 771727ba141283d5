"""Multipliers that make intervals hold."""

from statistics import NormalDist

import numpy as np
import pytest

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.forecasting.calibration import (
    INFLATION,
    apply_multipliers,
    fit_multipliers,
)
from energy_forecasting.forecasting.metrics import coverage

SCORES = np.array([NormalDist().inv_cdf(level) for level in QUANTILE_LEVELS])


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 2.0])
def test_intervals_of_the_wrong_width_are_brought_to_their_share(overconfidence: float) -> None:
    # Given quantiles too narrow or too wide by a known factor, and worse on later days
    generator = np.random.default_rng(0)
    leads = np.tile(np.arange(168), 200)
    spread = np.where(leads < 24, 1.0, 1.5)
    actual = generator.normal(0, 1, len(leads)) * spread
    quantiles = np.tile(SCORES / overconfidence, (len(leads), 1))
    # When
    multipliers = fit_multipliers(actual, quantiles, leads)
    calibrated = apply_multipliers(quantiles, leads, multipliers)
    # Then
    for group in (leads < 24, leads >= 24):
        share = coverage(actual[group], calibrated[group, 0], calibrated[group, -1])
        assert 0.8 <= share <= 0.85
    expected = np.array([overconfidence, 1.5 * overconfidence]) * INFLATION
    np.testing.assert_allclose(np.array(multipliers)[:, 0], expected, rtol=0.05)


def test_calibration_leaves_the_median_where_it_is() -> None:
    # Given
    quantiles = np.sort(np.random.default_rng(0).normal(size=(50, 9)), axis=1)
    # When
    calibrated = apply_multipliers(quantiles, np.zeros(50, dtype=int), [[2.0] * 9, [1.0] * 9])
    # Then
    np.testing.assert_array_equal(calibrated[:, 4], quantiles[:, 4])


def test_a_meter_without_any_spread_gets_bounded_multipliers() -> None:
    # Given a network that is sure of zero and right half of the time
    actual = np.tile([0.0, 1.0], 500)
    # When
    multipliers = fit_multipliers(actual, np.zeros((1000, 9)), np.tile(np.arange(100), 10))
    # Then
    assert np.isfinite(multipliers).all()
    assert np.max(multipliers) <= 4 * INFLATION + 1e-9
