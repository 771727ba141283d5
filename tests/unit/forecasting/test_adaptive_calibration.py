"""Quantiles that follow how the last forecasts turned out."""

from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.forecasting.live.adaptive_calibration import Adaptation, adapt
from energy_forecasting.forecasting.metrics import coverage, mase

Values = npt.NDArray[np.float64]

SCORES = np.array([NormalDist().inv_cdf(level) for level in QUANTILE_LEVELS])
MEDIAN = 4


def standard_forecasts(days: int) -> Values:
    """Return forecasts of standard normal errors around 10, [days, 168, 9]."""
    return np.tile(10 + SCORES, (days, 168, 1))


def outcomes(readings: Values) -> Values:
    """Lay hourly readings beside the forecasts from each midnight; NaN beyond their end."""
    days = len(readings) // 24
    hours = np.arange(days)[:, None] * 24 + np.arange(168)
    return np.where(hours < len(readings), readings[np.minimum(hours, len(readings) - 1)], np.nan)


def last_coverage(served: Values, actual: Values, days: int, leads: slice) -> float:
    scored = np.isfinite(actual[-days:, leads])
    low, high = served[-days:, leads, 0], served[-days:, leads, -1]
    return coverage(actual[-days:, leads][scored], low[scored], high[scored])


@pytest.mark.parametrize("spread", [0.5, 2.0, 3.0])
@pytest.mark.parametrize(
    ("leads", "gap_left"),
    [(slice(0, 24), 0.25), (slice(24, 168), 0.5)],
    ids=["first day", "later days"],
)
def test_coverage_recovers_when_the_errors_change_their_size(
    spread: float, leads: slice, gap_left: float
) -> None:
    # Given errors that grow or shrink after a week and stay so
    size = np.where(np.arange(60 * 24) < 7 * 24, 1.0, spread)
    actual = outcomes(10 + np.random.default_rng(0).normal(0, 1, 60 * 24) * size)
    forecasts = standard_forecasts(60)
    # When
    _, served = adapt(forecasts, actual, moves_median=True)
    # Then
    gap = abs(last_coverage(forecasts, actual, 14, leads) - 0.8)
    assert gap > 0.15
    assert abs(last_coverage(served, actual, 14, leads) - 0.8) < gap_left * gap


def test_a_one_sided_drift_moves_the_median_after_it() -> None:
    # Given a meter that uses 1.5 standard deviations more by day than the model thinks
    hour = np.arange(60 * 24) % 24
    more = np.where((hour >= 8) & (hour < 20), 1.5, 0.0)
    actual = outcomes(10 + more + np.random.default_rng(1).normal(0, 1, 60 * 24))
    forecasts = standard_forecasts(60)
    # When
    adaptation, served = adapt(forecasts, actual, moves_median=True)
    # Then
    assert (adaptation.shift[0, 10:18] > 0.9).all()
    assert (np.abs(adaptation.shift[0, 0:6]) < 0.4).all()
    recent = np.isfinite(actual[-14:, :24])
    before, after = (each[-14:, :24, MEDIAN][recent] for each in (forecasts, served))
    assert mase(actual[-14:, :24][recent], after, 1.0) < 0.9 * mase(
        actual[-14:, :24][recent], before, 1.0
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_calm_meter_is_left_nearly_alone(seed: int) -> None:
    # Given a model that is right
    actual = outcomes(10 + np.random.default_rng(seed).normal(0, 1, 60 * 24))
    # When
    adaptation, served = adapt(standard_forecasts(60), actual, moves_median=True)
    # Then: inner levels lie so near to the median that their factor matters less
    assert (np.abs(np.log(adaptation.factors[:, [0, 1, 7, 8]])) < np.log(1.25)).all()
    assert (np.abs(adaptation.shift[0]) < 0.5).all()
    assert (np.abs(adaptation.shift[1]) < 0.2).all()
    assert abs(last_coverage(served, actual, 60, slice(0, 168)) - 0.8) < 0.02


def test_few_days_change_little() -> None:
    # Given three days on which nearly every interval was missed on one side
    actual = outcomes(np.full(3 * 24, 13.0))
    # When
    adaptation, _ = adapt(standard_forecasts(3), actual, moves_median=True)
    # Then: at most by a third a day, and by a tenth of a deviation
    assert (adaptation.factors <= np.exp(3 * 0.3)).all()
    assert (adaptation.factors[:, :MEDIAN] >= np.exp(-3 * 0.3 * 0.5)).all()
    assert (adaptation.shift <= 0.3 + 1e-9).all()


def test_nothing_explodes_on_a_meter_that_went_mad() -> None:
    # Given
    actual = outcomes(np.where(np.arange(200 * 24) % 2, 1e9, -1e9))
    # When
    adaptation, served = adapt(standard_forecasts(200), actual, moves_median=True)
    # Then
    assert adaptation.factors.max() <= 4.0
    assert adaptation.factors.min() >= 0.4
    assert np.isfinite(served).all()


def test_hours_that_are_not_known_teach_nothing() -> None:
    unknown = np.full((30, 168), np.nan)
    adaptation, served = adapt(standard_forecasts(30), unknown, moves_median=True)

    assert (adaptation.factors == 1).all()
    assert (adaptation.shift == 0).all()
    np.testing.assert_allclose(served, standard_forecasts(30))


def test_a_day_teaches_only_the_forecasts_that_begin_after_it() -> None:
    # Given the same readings, but for the day 20
    readings = 10 + np.random.default_rng(2).normal(0, 1, 40 * 24)
    other = readings.copy()
    other[20 * 24 : 21 * 24] += 100
    # When
    _, served = adapt(standard_forecasts(40), outcomes(readings), moves_median=True)
    _, changed = adapt(standard_forecasts(40), outcomes(other), moves_median=True)
    # Then
    np.testing.assert_array_equal(served[:21], changed[:21])
    assert not np.allclose(served[21], changed[21])


def test_without_a_shift_the_median_stays() -> None:
    actual = outcomes(np.full(30 * 24, 14.0))
    adaptation, served = adapt(standard_forecasts(30), actual, moves_median=False)

    assert (adaptation.shift == 0).all()
    assert (served[..., MEDIAN] == 10).all()


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_stay_in_order_whatever_was_learnt(seed: int) -> None:
    # Given
    generator = np.random.default_rng(seed)
    adaptation = Adaptation(
        shift=generator.uniform(-2, 2, (2, 24)), factors=generator.uniform(0.4, 4, (2, 9))
    )
    quantiles = np.sort(generator.normal(size=(168, 9)), axis=1)
    hours = np.arange(168)
    # When
    adapted = adaptation.apply(quantiles, hours, hours % 24)
    # Then
    assert (np.diff(adapted, axis=1) >= 0).all()
