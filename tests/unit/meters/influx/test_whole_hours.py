"""Hours added up by the server stand for the readings only where they tell the same."""

from datetime import timedelta

import numpy as np
import pytest

from energy_forecasting.domain.aggregation import to_hourly
from energy_forecasting.domain.meters import ReadingKind
from energy_forecasting.domain.readings import History, Values
from energy_forecasting.meters.influx.source import HourSums
from energy_forecasting.meters.influx.whole_hours import can_be_added_up, whole_hours

MINUTE = timedelta(minutes=1)


def minutes(days: int, *, missing: float = 0.0, seed: int = 0) -> History:
    random = np.random.default_rng(seed)
    kept = random.random(days * 1440) >= missing
    at = (np.datetime64("2024-01-01T00:00:00", "s") + np.arange(days * 1440) * 60)[kept]
    return History(
        timestamps=at,
        consumption=random.gamma(2.0, 1.0, len(at)),
        temperature=random.normal(10, 5, len(at)),
    )


def added_up(history: History) -> HourSums:
    """Do what the server does."""
    hours, place = np.unique(history.timestamps.astype("datetime64[h]"), return_inverse=True)
    counts = np.bincount(place)

    def total(values: Values) -> Values:
        sums: Values = np.bincount(place, weights=values).astype(np.float64)
        return sums

    return HourSums(
        hours=hours.astype("datetime64[s]"),
        sums=total(history.consumption),
        counts=counts.astype(np.int64),
        temperature=total(history.temperature) / counts,
    )


@pytest.mark.parametrize("kind", [ReadingKind.INTERVAL, ReadingKind.POWER])
@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_hours_tell_what_the_readings_tell(kind: ReadingKind, missing: float) -> None:
    # Given
    readings = minutes(30, missing=missing)
    # When
    hours = whole_hours(added_up(readings), MINUTE, kind)
    # Then
    expected = to_hourly(readings, kind)
    assert hours.fits
    np.testing.assert_array_equal(hours.history.timestamps, expected.timestamps)
    # A lone missing minute is a gap in both; how jitter is judged may differ by a row.
    np.testing.assert_allclose(hours.history.consumption, expected.consumption, rtol=0.02)
    np.testing.assert_allclose(hours.history.temperature, expected.temperature, atol=0.5)


def test_whole_hours_are_exact() -> None:
    readings = minutes(3)
    hours = whole_hours(added_up(readings), MINUTE, ReadingKind.INTERVAL).history
    expected = to_hourly(readings, ReadingKind.INTERVAL)
    np.testing.assert_allclose(hours.consumption, expected.consumption, rtol=1e-12)


def test_an_hour_of_which_less_than_half_was_read_is_left_out() -> None:
    # Given: 29 minutes of one hour among a month of whole ones
    readings = minutes(30)
    gone = (readings.timestamps >= np.datetime64("2024-01-05T07:29:00")) & (
        readings.timestamps < np.datetime64("2024-01-05T08:00:00")
    )
    cut = History(
        timestamps=readings.timestamps[~gone],
        consumption=readings.consumption[~gone],
        temperature=readings.temperature[~gone],
    )
    # When
    hours = whole_hours(added_up(cut), MINUTE, ReadingKind.INTERVAL)
    # Then
    assert hours.fits
    assert np.datetime64("2024-01-05T07:00:00") not in hours.history.timestamps
    assert len(hours.history) == 30 * 24 - 1


def test_a_meter_that_was_read_less_often_before_has_to_be_read_itself() -> None:
    quarter_hours = minutes(30)
    every = slice(None, None, 15)
    coarse = History(
        timestamps=quarter_hours.timestamps[every],
        consumption=quarter_hours.consumption[every],
        temperature=quarter_hours.temperature[every],
    )
    assert not whole_hours(added_up(coarse), MINUTE, ReadingKind.INTERVAL).fits


def test_two_series_that_overlap_have_to_be_read_themselves() -> None:
    sums = added_up(minutes(30))
    doubled = HourSums(
        hours=sums.hours, sums=sums.sums * 2, counts=sums.counts * 2, temperature=sums.temperature
    )
    assert not whole_hours(doubled, MINUTE, ReadingKind.INTERVAL).fits


@pytest.mark.parametrize(
    ("minutes_apart", "kind", "expected"),
    [
        (1, ReadingKind.INTERVAL, True),
        (5, ReadingKind.POWER, True),
        (15, ReadingKind.INTERVAL, False),
        (7, ReadingKind.INTERVAL, False),
        (60, ReadingKind.INTERVAL, False),
        (1, ReadingKind.CUMULATIVE, False),
    ],
)
def test_only_readings_of_every_few_minutes_are_added_up(
    minutes_apart: int, kind: ReadingKind, expected: bool
) -> None:
    assert can_be_added_up(timedelta(minutes=minutes_apart), kind) is expected


def test_readings_without_a_step_are_never_added_up() -> None:
    assert can_be_added_up(None, ReadingKind.INTERVAL) is False
