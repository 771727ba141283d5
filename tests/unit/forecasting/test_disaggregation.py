"""Hours divided into parts: they add up, stay in order and hold what they promise."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.domain.aggregation import to_hourly
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import InsufficientData
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS, Forecast
from energy_forecasting.domain.meters import ReadingKind
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.disaggregation import HourShape

Values = npt.NDArray[np.float64]
HistoryFactory = Callable[..., History]
LONDON = LocalCalendar(timezone="Europe/London", country="GB")


def divided(hourly: History, parts: int, *, noise: float, seed: int = 0) -> History:
    """Divide real hours: ramps towards the neighbours, a habit of the hour and lasting noise."""
    generator = np.random.default_rng(seed)
    mean = hourly.consumption
    place = (np.arange(parts) + 0.5) / parts - 0.5
    slope = np.gradient(mean) / np.maximum(mean, 1e-9)
    habit = generator.normal(0, 0.1, (24, parts))[np.arange(len(mean)) % 24]
    shocks = generator.normal(0, 1, len(mean) * parts)
    lasting = shocks + 0.6 * np.append(0.0, shocks[:-1])
    share = 1 + slope[:, None] * place + habit + noise * lasting.reshape(-1, parts)
    share = np.maximum(share, 0.02)
    amounts = mean[:, None] * share / share.sum(axis=1, keepdims=True)
    offsets = np.arange(parts) * np.timedelta64(3600 // parts, "s")
    return History(
        timestamps=(hourly.timestamps[:, None] + offsets).reshape(-1),
        consumption=amounts.reshape(-1),
        temperature=np.full(amounts.size, np.nan),
    )


def learnt(readings: History, parts: int, *, non_negative: bool = True) -> HourShape:
    return HourShape.learn(
        readings, parts=parts, calendar=LONDON, adds_up=True, non_negative=non_negative
    )


def forecast_of(hours: History, spread: float) -> Forecast:
    """Return a forecast with an error of its own: uniform within +- spread."""
    errors = np.random.default_rng(9).uniform(-spread, spread, len(hours))
    median = hours.consumption * (1 + errors)
    distance = spread * (2 * np.array(QUANTILE_LEVELS) - 1)
    return Forecast(
        timestamps=hours.timestamps,
        levels=QUANTILE_LEVELS,
        quantiles=median[:, None] * (1 + distance),
        median=median,
        sighted=np.zeros(len(median), dtype=np.bool_),
    )


@pytest.fixture(scope="module")
def office(sample_history: Callable[[str], History]) -> History:
    return sample_history("ucam_b37_elec")


def split(history: History, days: int) -> tuple[History, History]:
    """Return six weeks and the weeks after them."""
    known = history.before(history.first + timedelta(days=days))
    later = slice(len(known), len(known) + 21 * 24 * (len(known) // (days * 24)))
    return known, History(
        timestamps=history.timestamps[later],
        consumption=history.consumption[later],
        temperature=history.temperature[later],
    )


@pytest.mark.parametrize("parts", [2, 3, 4, 5, 6, 12])
@pytest.mark.parametrize("adds_up", [True, False])
def test_parts_add_up_to_their_hour_and_quantiles_are_in_order(
    office: History, parts: int, adds_up: bool
) -> None:
    # Given
    known, later = split(divided(office, parts, noise=0.2), 42)
    hours = forecast_of(to_hourly(later, ReadingKind.INTERVAL), 0.1)
    # When
    fine = learnt(known, parts).divide(hours, before=None, adds_up=adds_up)
    # Then
    each = fine.median.reshape(-1, parts)
    np.testing.assert_allclose(each.sum(axis=1) if adds_up else each.mean(axis=1), hours.median)
    assert (np.diff(fine.timestamps) == np.timedelta64(3600 // parts, "s")).all()
    assert (np.diff(fine.quantiles, axis=1) >= 0).all()
    np.testing.assert_allclose(fine.quantiles[:, 4], fine.median)
    assert (fine.quantiles >= 0).all()


@pytest.mark.parametrize("noise", [0.1, 0.4])
@pytest.mark.parametrize("parts", [4, 12])
def test_intervals_hold_on_weeks_that_were_not_seen(
    office: History, parts: int, noise: float
) -> None:
    # Given hours whose own 80 % interval holds by construction
    known, later = split(divided(office, parts, noise=noise), 42)
    hours = forecast_of(to_hourly(later, ReadingKind.INTERVAL), 0.2)
    # When
    fine = learnt(known, parts).divide(hours, before=None, adds_up=True)
    # Then
    actual = later.consumption
    covered = (fine.quantiles[:, 0] <= actual) & (actual <= fine.quantiles[:, -1])
    assert 0.74 <= covered.mean() <= 0.88
    narrow = np.repeat(hours.quantiles, parts, axis=0) / parts
    assert ((narrow[:, 0] <= actual) & (actual <= narrow[:, -1])).mean() < covered.mean() - 0.05


def test_habits_within_the_hour_are_learnt(office: History) -> None:
    known, later = split(divided(office, 4, noise=0.05), 42)
    hourly = to_hourly(later, ReadingKind.INTERVAL)
    fine = learnt(known, 4).divide(forecast_of(hourly, 1e-6), before=None, adds_up=True)
    flat = np.repeat(hourly.consumption, 4) / 4
    error = np.abs(fine.median - later.consumption).mean()
    assert error < 0.6 * np.abs(flat - later.consumption).mean()


def test_noise_alone_teaches_no_habit(make_history: HistoryFactory) -> None:
    # Given parts that are nothing but chance around a constant hour
    hours = make_history(days=42)
    generator = np.random.default_rng(1)
    parts = generator.normal(5, 1, (len(hours), 4))
    parts += 5 - parts.mean(axis=1, keepdims=True)
    steady = replace(divided(hours, 4, noise=0.0), consumption=parts.reshape(-1) / 4)
    # When
    shape = learnt(steady, 4)
    # Then the hour of week, with six samples a cell, is shrunk to next to nothing
    assert np.abs(shape.habit).max() < 0.05


def test_a_ramp_follows_the_hours_around_it(make_history: HistoryFactory) -> None:
    # Given a meter that rises and falls along straight lines
    hours = make_history(days=42)
    triangle = 10.0 + np.abs(np.arange(len(hours) * 4) % 192 - 96) / 4.0
    ramps = replace(divided(hours, 4, noise=0.0), consumption=triangle)
    rising = replace(
        forecast_of(hours, 0.0), median=60.0 + 4.0 * np.arange(len(hours), dtype=np.float64)
    )
    # When
    fine = learnt(ramps, 4).divide(rising, before=56.0, adds_up=True)
    # Then
    steps = np.diff(fine.median)
    np.testing.assert_allclose(steps[:-4], 0.25, atol=0.08)


def test_an_hour_of_nothing_has_parts_of_nothing(office: History) -> None:
    known, later = split(divided(office, 4, noise=0.2), 42)
    hours = forecast_of(to_hourly(later, ReadingKind.INTERVAL), 0.1)
    silent = replace(hours, median=np.zeros_like(hours.median), quantiles=hours.quantiles * 0)
    fine = learnt(known, 4).divide(silent, before=0.0, adds_up=True)
    assert (fine.median == 0).all()
    assert np.isfinite(fine.quantiles).all()


def test_a_meter_that_feeds_in_may_go_below_zero(office: History) -> None:
    known, later = split(divided(office, 4, noise=0.2), 42)
    fed_in = replace(known, consumption=-known.consumption)
    hours = forecast_of(to_hourly(later, ReadingKind.INTERVAL), 0.1)
    mirrored = replace(hours, median=-hours.median, quantiles=-hours.quantiles[:, ::-1])
    fine = learnt(fed_in, 4, non_negative=False).divide(mirrored, before=None, adds_up=True)
    np.testing.assert_allclose(fine.median.reshape(-1, 4).sum(axis=1), mirrored.median)
    assert (np.diff(fine.quantiles, axis=1) >= 0).all()


@pytest.mark.parametrize("day", ["2022-03-27", "2022-10-30"], ids=["spring", "autumn"])
def test_the_days_of_a_clock_change_are_divided_like_any_other(office: History, day: str) -> None:
    # Given six weeks around the change, and a forecast of that day
    fine = divided(office, 4, noise=0.1)
    middle = int(np.searchsorted(fine.timestamps, np.datetime64(day)))
    around = slice(middle - 21 * 96, middle + 21 * 96)
    known = History(
        timestamps=fine.timestamps[around],
        consumption=fine.consumption[around],
        temperature=fine.temperature[around],
    )
    hourly = to_hourly(known, ReadingKind.INTERVAL)
    # When
    parts = learnt(known, 4).divide(forecast_of(hourly, 0.1), before=None, adds_up=True)
    # Then
    assert (np.diff(parts.timestamps) == np.timedelta64(900, "s")).all()
    np.testing.assert_array_equal(parts.timestamps, known.timestamps)
    assert np.isfinite(parts.quantiles).all()


def test_too_few_fine_readings_say_so(office: History) -> None:
    known, _ = split(divided(office, 4, noise=0.1), 6)
    with pytest.raises(InsufficientData, match="every 15 minutes") as caught:
        learnt(known, 4)
    assert caught.value.details == {"have_hours": 144, "need_hours": 168}
