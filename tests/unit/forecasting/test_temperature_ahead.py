"""The temperature of the hours ahead: what is bridged, what is not guessed, and the way between."""

import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.temperature_ahead import (
    BLEND_HOURS,
    SHORT_GAP_HOURS,
    TemperatureAhead,
    close_short_gaps,
)

NAN = np.nan
TRUST = 0.75


def grid_ending_with(degrees: float) -> LocalGrid:
    return grid_of(np.append(np.zeros(14 * 24 - 1), degrees))


def grid_of(temperature: Values) -> LocalGrid:
    return LocalGrid(
        start=np.datetime64("2024-01-01T00", "h"),
        consumption=np.ones(len(temperature)),
        temperature=temperature,
        calendar=LocalCalendar(timezone="UTC", country=None),
    )


def ahead_of(given: Values, *, last: float = 0.0) -> TemperatureAhead:
    ahead = TemperatureAhead.of(given, np.arange(len(given)), grid_ending_with(last), trust=TRUST)
    assert ahead is not None
    return ahead


@pytest.mark.parametrize(("gap", "is_closed"), [(SHORT_GAP_HOURS, True), (7, False)])
def test_gaps_are_closed_up_to_six_hours(gap: int, is_closed: bool) -> None:
    values = np.r_[0.0, np.full(gap, NAN), gap + 1.0]
    closed = close_short_gaps(values)
    np.testing.assert_allclose(closed, np.arange(gap + 2.0) if is_closed else values)


def test_a_forecast_that_begins_some_hours_late_is_bridged_from_the_last_measurement() -> None:
    ahead = ahead_of(np.array([NAN, NAN, 8.0, 9.0]), last=2.0)
    assert ahead.covered.all()
    assert ahead.degrees.tolist() == [4.0, 6.0, 8.0, 9.0]


def test_what_lies_beyond_the_end_is_not_covered() -> None:
    ahead = ahead_of(np.r_[np.full(20, 5.0), np.full(10, NAN)])
    assert np.flatnonzero(ahead.covered).tolist() == list(range(20))
    assert np.isfinite(ahead.degrees).all()


def test_trust_falls_to_a_half_where_temperature_is_estimated() -> None:
    ahead = ahead_of(np.r_[np.full(20, 5.0), np.full(10, NAN)])
    assert (ahead.trust[: 20 - BLEND_HOURS] == TRUST).all()
    assert (np.diff(ahead.trust[19 - BLEND_HOURS : 21]) < 0).all()
    assert (ahead.trust[20:] == 0.5).all()


def test_an_estimate_fades_from_the_last_known_day_to_the_usual_one() -> None:
    # Given days between 0 and 23 degrees, then one that is 10 degrees warmer
    day = np.arange(24.0)
    history = grid_of(np.tile(day, 14))
    ahead = TemperatureAhead.of(
        np.append(day + 10, np.full(144, NAN)), np.arange(168), history, trust=TRUST
    )
    # Then
    assert ahead is not None
    warmer = ahead.degrees[24:] - np.tile(day, 6)
    np.testing.assert_allclose(warmer, 10 * np.exp(-np.arange(1, 145) / 48))


def test_without_recent_measurements_nothing_is_estimated() -> None:
    silent = grid_of(np.append(np.full(13 * 24, NAN), np.zeros(24)))
    ahead = TemperatureAhead.of(
        np.append(np.ones(10), np.full(14, NAN)), np.arange(24), silent, trust=TRUST
    )
    assert ahead is not None
    assert (ahead.trust[10:] == 0).all()


def test_a_full_forecast_is_trusted_to_the_end() -> None:
    assert (ahead_of(np.full(24, 5.0)).trust == TRUST).all()


def test_the_second_autumn_hour_is_averaged_and_the_spring_hour_bridged() -> None:
    ahead = TemperatureAhead.of(
        np.array([1.0, 3.0, 6.0]), np.array([0, 0, 2]), grid_ending_with(0.0), trust=TRUST
    )
    assert ahead is not None
    assert ahead.degrees.tolist() == [2.0, 4.0, 6.0]
    assert ahead.covered.all()


def test_without_a_single_known_hour_the_last_fortnight_tells_what_to_expect() -> None:
    day = np.arange(24.0)
    ahead = TemperatureAhead.of(
        np.full(48, NAN), np.arange(48), grid_of(np.tile(day, 14)), trust=TRUST
    )
    assert ahead is not None
    np.testing.assert_allclose(ahead.degrees, np.tile(day, 2))
    assert not ahead.covered.any()
    assert (ahead.trust == 2 / 3 * TRUST).all()


def test_without_any_temperature_there_is_none_ahead() -> None:
    silent = grid_of(np.full(14 * 24, NAN))
    assert TemperatureAhead.of(np.full(3, NAN), np.arange(3), silent, trust=TRUST) is None
