"""A weather station's temperatures come to the readings of a meter."""

import numpy as np

from energy_forecasting.domain.readings import Timestamps
from energy_forecasting.meters.influx.source import Series
from energy_forecasting.meters.influx.temperature_apart import HELD_HOURS, at_readings

MIDNIGHT = np.datetime64("2024-03-01T00:00:00", "s")


def at(*hours: float) -> Timestamps:
    return MIDNIGHT + np.array([round(hour * 3600) for hour in hours]) * np.timedelta64(1, "s")


def station(**degrees: float) -> Series:
    """Hourly means, named by hour: h0=1.0."""
    hours = [int(name[1:]) for name in degrees]
    return Series(times=at(*hours), values=np.array(list(degrees.values())))


def test_an_hourly_reading_gets_the_mean_of_its_hour() -> None:
    degrees = at_readings(at(0, 1, 2), station(h0=1.0, h1=2.0, h2=3.0))
    assert degrees.tolist() == [1.0, 2.0, 3.0]


def test_readings_within_an_hour_share_its_mean() -> None:
    degrees = at_readings(at(0, 0.25, 0.5, 0.75, 1), station(h0=1.0, h1=2.0))
    assert degrees.tolist() == [1.0, 1.0, 1.0, 1.0, 2.0]


def test_a_reading_of_a_day_gets_the_mean_of_the_day() -> None:
    hourly = Series(times=at(*range(48)), values=np.arange(48.0))
    degrees = at_readings(at(0, 24), hourly)
    assert degrees[0] == np.arange(24).mean()


def test_a_gap_between_readings_is_no_long_reading() -> None:
    hourly = Series(times=at(*range(96)), values=np.arange(96.0))
    degrees = at_readings(at(0, 72), hourly)
    assert degrees.tolist() == [0.0, 72.0]


def test_a_sensor_that_reports_changes_only_holds_its_value_for_some_hours() -> None:
    hours = range(10)
    degrees = at_readings(at(*hours), station(h0=5.0))
    assert degrees[: HELD_HOURS + 1].tolist() == [5.0] * (HELD_HOURS + 1)
    assert np.isnan(degrees[HELD_HOURS + 1 :]).all()


def test_what_was_reported_just_before_the_first_reading_counts() -> None:
    assert at_readings(at(3), station(h0=5.0)).tolist() == [5.0]


def test_nothing_known_is_nan() -> None:
    assert np.isnan(at_readings(at(0, 1), Series(times=at(), values=np.empty(0)))).all()
