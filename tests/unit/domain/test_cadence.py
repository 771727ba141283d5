"""When steps begin, by the wall clock or in UTC, on ordinary days and those of a clock change."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from energy_forecasting.domain.cadence import Cadence, over_steps
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.readings import HOUR, Timestamps, to_datetime, to_datetime64

ROME = LocalCalendar(timezone="Europe/Rome", country="IT")
DAY = timedelta(days=1)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def local_days(hour: int, *, first: datetime, days: int) -> Timestamps:
    zone = ZoneInfo("Europe/Rome")
    each = [(first + timedelta(days=day)).date() for day in range(days)]
    moments = [datetime.combine(day, time(hour), tzinfo=zone) for day in each]
    return np.array([to_datetime64(moment) for moment in moments])


@pytest.mark.parametrize("hour", [0, 6])
@pytest.mark.parametrize("days", [40, 300], ids=["winter", "year"])
def test_days_of_the_wall_clock_are_recognised(hour: int, days: int) -> None:
    stamps = local_days(hour, first=utc(2024, 1, 5), days=days)
    steps = Cadence.of(stamps, DAY, ROME)
    assert steps.calendar == ROME
    assert steps.phase_s == hour * 3600


@pytest.mark.parametrize("days", [40, 300], ids=["winter", "year"])
def test_days_of_utc_are_recognised(days: int) -> None:
    stamps = np.datetime64("2024-01-05", "s") + np.arange(days) * np.timedelta64(86_400, "s")
    steps = Cadence.of(stamps, DAY, ROME)
    assert steps.calendar is None
    assert steps.phase_s == 0


def test_a_day_that_begins_at_six_utc_shows_once_the_clocks_change() -> None:
    stamps = np.datetime64("2024-01-05T06", "s") + np.arange(300) * np.timedelta64(86_400, "s")
    assert Cadence.of(stamps, DAY, ROME) == Cadence(step=DAY, phase_s=6 * 3600)


def test_local_days_have_23_and_25_hours_once_a_year() -> None:
    midnights = Cadence(step=DAY, calendar=ROME)
    starts = midnights.starts(utc(2024, 1, 1), utc(2025, 1, 1))
    hours, counts = np.unique(np.diff(starts) // HOUR, return_counts=True)
    assert dict(zip(hours.tolist(), counts.tolist(), strict=True)) == {23: 1, 24: 363, 25: 1}


def test_a_two_hour_step_that_holds_the_repeated_hour_has_three() -> None:
    steps = Cadence(step=timedelta(hours=2), calendar=ROME)
    starts = steps.starts(utc(2024, 10, 26, 22), utc(2024, 10, 27, 5))
    assert [to_datetime(start).hour for start in starts] == [22, 0, 3]
    spring = steps.starts(utc(2024, 3, 30, 23), utc(2024, 3, 31, 4))
    assert [to_datetime(start).hour for start in spring] == [23, 1, 2]


def test_a_midnight_that_does_not_happen_is_one_in_the_morning() -> None:
    # Given Beirut, where the clocks went from midnight to one
    beirut = LocalCalendar(timezone="Asia/Beirut", country=None)
    starts = Cadence(step=DAY, calendar=beirut).starts(utc(2022, 3, 25), utc(2022, 3, 30))
    hours = np.diff(starts) // HOUR
    assert hours.tolist() == [24, 23, 24, 24]


@pytest.mark.parametrize(
    ("minutes", "last", "known_until", "closed_by"),
    [
        (15, (14, 15), (14, 30), (14, 15)),
        (5, (14, 35), (14, 40), (14, 35)),
        (60, (14, 0), (15, 0), (14, 0)),
        (120, (14, 0), (16, 0), (14, 0)),
    ],
)
def test_a_reading_is_known_to_the_end_of_its_step(
    minutes: int, last: tuple[int, int], known_until: tuple[int, int], closed_by: tuple[int, int]
) -> None:
    steps = Cadence(step=timedelta(minutes=minutes))
    for late in (-2, 0, 20):  # seconds by which a logger's stamp may be off
        stamp = utc(2024, 5, 1, *last) + timedelta(seconds=late)
        assert steps.known_until(stamp) == utc(2024, 5, 1, *known_until)
        assert steps.closed_by(stamp) == utc(2024, 5, 1, *closed_by)


def test_a_gas_day_of_the_autumn_change_ends_after_25_hours() -> None:
    gas = Cadence(step=DAY, calendar=ROME, phase_s=6 * 3600)
    start = utc(2024, 10, 26, 4)  # six in the morning
    assert gas.start_of(utc(2024, 10, 27, 4, 59)) == start
    assert gas.next_start(start) == utc(2024, 10, 27, 5)
    assert gas.known_until(start) == utc(2024, 10, 27, 5)


def test_hours_become_long_steps_by_sum_or_mean_and_a_partly_known_one_is_scaled() -> None:
    hours = np.datetime64("2024-05-01", "s") + np.arange(8) * HOUR
    values = np.array([1.0, 1.0, 2.0, np.nan, 3.0, 3.0, np.nan, np.nan])[:, None]
    starts, ends = hours[::2], np.append(hours[2::2], hours[-1] + HOUR)
    total = over_steps(hours, values, starts, ends, adds_up=True)[:, 0]
    mean = over_steps(hours, values, starts, ends, adds_up=False)[:, 0]
    np.testing.assert_array_equal(total, [2.0, 4.0, 6.0, np.nan])
    np.testing.assert_array_equal(mean, [1.0, 2.0, 3.0, np.nan])
