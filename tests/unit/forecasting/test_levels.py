"""Quantiles at any level from .01 to .99."""

import numpy as np
import pytest

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.forecasting.calibration import TAIL_LEVELS, fit_tails, normal_tails
from energy_forecasting.forecasting.levels import at_levels, checked_levels
from energy_forecasting.forecasting.metrics import coverage


@pytest.mark.parametrize("seed", range(10))
def test_any_levels_are_ordered_and_agree_with_the_nine(seed: int) -> None:
    # Given
    generator = np.random.default_rng(seed)
    quantiles = np.sort(generator.normal(5, 3, (168, 9)), axis=1)
    tails = np.sort(generator.uniform(1.02, 8, (2, 2, 2)), axis=2)
    tails = np.concatenate([tails[:, 0, ::-1], tails[:, 1]], axis=1).tolist()
    levels = checked_levels([*generator.uniform(0.01, 0.99, 20), 0.01, 0.99, *QUANTILE_LEVELS])
    # When
    wanted = at_levels(quantiles, levels, leads=np.arange(168), tails=tails)
    # Then
    assert (np.diff(wanted, axis=1) > 0).all()
    learnt = [levels.index(level) for level in QUANTILE_LEVELS]
    np.testing.assert_allclose(wanted[:, learnt], quantiles)


@pytest.mark.parametrize("degrees_of_freedom", [3, 1000], ids=["heavy tails", "nearly normal"])
def test_fitted_tails_hold_their_share_of_other_readings(degrees_of_freedom: int) -> None:
    # Given errors of which a half teaches and the other half judges
    generator = np.random.default_rng(0)
    errors = generator.standard_t(degrees_of_freedom, 40_000)
    learnt, judged = errors[::2], errors[1::2]
    quantiles = np.tile(np.quantile(learnt, QUANTILE_LEVELS), (20_000, 1))
    leads = np.arange(20_000) % 168
    # When
    tails = fit_tails(learnt, quantiles, leads)
    wanted = at_levels(quantiles, TAIL_LEVELS, leads=leads, tails=tails)
    plain = at_levels(quantiles, TAIL_LEVELS, leads=leads, tails=normal_tails())
    # Then
    assert coverage(judged, wanted[:, 0], wanted[:, 3]) == pytest.approx(0.98, abs=0.005)
    assert coverage(judged, wanted[:, 1], wanted[:, 2]) == pytest.approx(0.90, abs=0.01)
    too_short = coverage(judged, plain[:, 0], plain[:, 3]) < 0.97
    assert too_short == (degrees_of_freedom == 3)


def test_tails_of_strange_meters_are_bounded_and_lengthen_outwards() -> None:
    # Given no spread at all, rare spikes, and nothing
    flat = np.zeros((1000, 9))
    spikes = np.where(np.arange(1000) % 20 == 0, 1e6, 0.0)
    for actual, quantiles in ((np.zeros(1000), flat), (spikes, flat), (spikes[:0], flat[:0])):
        tails = np.array(fit_tails(actual, quantiles, np.arange(len(actual)) % 168))
        assert np.isfinite(tails).all()
        assert (tails > 1).all()
        assert (tails <= 8).all()
        assert (tails[:, [0, 3]] > tails[:, [1, 2]]).all()
