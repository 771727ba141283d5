"""The local grid on ordinary days and on the two days when clocks change."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.readings import HOUR, History
from energy_forecasting.forecasting.grid import LocalGrid, local_hour

ROME = LocalCalendar(timezone="Europe/Rome", country="IT")


def history_of(start: str, values: list[float]) -> History:
    hours = np.arange(len(values))
    return History(
        timestamps=(np.datetime64(start, "s") + hours * HOUR).astype("datetime64[s]"),
        consumption=np.array(values),
        temperature=np.full(len(values), np.nan),
    )


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Rome", "US/Pacific", "Africa/Casablanca", "Australia/Lord_Howe"]
)
def test_the_wall_clock_is_right_at_every_half_hour_of_a_year(zone: str) -> None:
    # Given
    half_hours = np.datetime64("2024-01-01", "s") + np.arange(366 * 48) * np.timedelta64(30, "m")
    # When
    clock = LocalCalendar(timezone=zone, country=None).wall_clock(half_hours)
    # Then
    moments = [stamp.replace(tzinfo=UTC) for stamp in half_hours.tolist()]
    expected = [moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for moment in moments]
    np.testing.assert_array_equal(clock, np.array(expected, dtype="datetime64[s]"))


def test_a_grid_starts_at_the_local_midnight_before_the_first_reading() -> None:
    # Given a first reading at 02:00 in Rome
    history = history_of("2024-01-10T01", [5.0, 6.0])
    # When
    grid = LocalGrid.from_history(history, ROME)
    # Then
    assert grid.start == np.datetime64("2024-01-10T00")
    np.testing.assert_array_equal(grid.consumption, [np.nan, np.nan, 5.0, 6.0])


def test_the_spring_hour_is_missing_and_no_other() -> None:
    # Given a day of readings over the night of 31 March 2024, when 02:00 does not happen
    history = history_of("2024-03-30T23", [float(hour) for hour in range(23)])
    # When
    grid = LocalGrid.from_history(history, ROME)
    # Then
    assert len(grid) == 24
    assert np.flatnonzero(np.isnan(grid.consumption)).tolist() == [2]
    assert grid.consumption[3] == 2.0


def test_the_autumn_hour_is_the_mean_of_its_two_readings() -> None:
    # Given a day of readings over the night of 27 October 2024, when 02:00 happens twice
    history = history_of("2024-10-26T22", [float(hour) for hour in range(25)])
    # When
    grid = LocalGrid.from_history(history, ROME)
    # Then
    assert len(grid) == 24
    assert grid.consumption[2] == 2.5
    assert grid.consumption[3] == 4.0


def test_weekdays_and_holidays_are_known_beyond_the_history() -> None:
    # Given a history that ends on 24 December 2023, a Sunday
    history = history_of("2023-12-23T23", [1.0] * 24)
    # When
    grid = LocalGrid.from_history(history, ROME)
    # Then Christmas is a Monday and a holiday
    assert grid.weekday[12] == 6
    assert not grid.holiday[12]
    assert grid.weekday[24 + 12] == 0
    assert grid.holiday[24 + 12]


def test_gaps_are_filled_from_the_week_before(make_history: Callable[..., History]) -> None:
    # Given three weeks with the last day missing
    history = make_history(days=21)
    consumption = history.consumption.copy()
    consumption[-24:] = np.nan
    grid = LocalGrid.from_history(
        History(
            timestamps=history.timestamps,
            consumption=consumption,
            temperature=history.temperature,
        ),
        LocalCalendar(timezone="UTC", country=None),
    )
    # When
    filled = grid.filled
    # Then
    np.testing.assert_array_equal(filled[-24:], consumption[-24 - 168 : -168])
    assert np.isnan(grid.consumption[-24:]).all()


def test_a_local_hour_follows_daylight_saving() -> None:
    assert local_hour(datetime(2024, 7, 1, 22, tzinfo=UTC), ROME) == np.datetime64("2024-07-02T00")
    assert local_hour(datetime(2024, 1, 1, 23, tzinfo=UTC), ROME) == np.datetime64("2024-01-02T00")
