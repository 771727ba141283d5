"""Readings of every kind and step brought onto hours."""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.domain.aggregation import hours_inside, to_hourly, to_steps
from energy_forecasting.domain.cadence import Cadence
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.meters import ReadingKind
from energy_forecasting.domain.readings import HOUR, History, to_datetime
from energy_forecasting.domain.resolutions import SUPPORTED_MINUTES

Values = npt.NDArray[np.float64]
ROME = LocalCalendar(timezone="Europe/Rome", country="IT")
KINDS = list(ReadingKind)
FINE = [minutes for minutes in SUPPORTED_MINUTES if minutes <= 60]
COARSE = [minutes for minutes in SUPPORTED_MINUTES if minutes > 60]
DAYS = 6
START = np.datetime64("2024-03-04T00:00", "s")


def readings(values: Values, minutes: int, *, start: str = "2024-03-04T00:00") -> History:
    steps = np.arange(len(values)) * np.timedelta64(minutes, "m")
    return History(
        timestamps=(np.datetime64(start, "s") + steps).astype("datetime64[s]"),
        consumption=values,
        temperature=(np.arange(len(values)) * minutes // 60).astype(np.float64),
    )


def used(minutes: int) -> Values:
    """Return what is used in each step of six days; never twice the same."""
    return np.random.default_rng(minutes).uniform(1, 9, DAYS * 24 * 60 // minutes)


def as_kind(amounts: Values, kind: ReadingKind, minutes: int) -> Values:
    if kind is ReadingKind.POWER:
        return amounts * 60 / minutes
    if kind is ReadingKind.CUMULATIVE:
        return np.concatenate([[7e5], 7e5 + np.cumsum(amounts)])
    return amounts


def without(history: History, rows: list[int]) -> History:
    kept = np.ones(len(history), dtype=bool)
    kept[rows] = False
    return History(
        timestamps=history.timestamps[kept],
        consumption=history.consumption[kept],
        temperature=history.temperature[kept],
    )


def at_minutes(minutes: npt.NDArray[np.int64], values: Values) -> History:
    """Return readings at odd minutes after ``START``."""
    return History(
        timestamps=START + minutes.astype("timedelta64[m]"),
        consumption=values,
        temperature=np.full(len(values), np.nan),
    )


def known_hours(hourly: History) -> dict[int, float]:
    """Return the known hours after ``START`` with their values."""
    hours = ((hourly.timestamps - START) / HOUR).astype(int)
    known = np.isfinite(hourly.consumption)
    return dict(zip(hours[known].tolist(), hourly.consumption[known].tolist(), strict=True))


def hours_of(history: History) -> Values:
    """Return the hours of the six days, NaN where there is none."""
    hours = ((history.timestamps - START) / HOUR).astype(int)
    values = np.full(DAYS * 24, np.nan)
    inside = hours < DAYS * 24
    values[hours[inside]] = history.consumption[inside]
    return values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("minutes", FINE)
def test_fine_readings_of_every_kind_give_the_same_hours(minutes: int, kind: ReadingKind) -> None:
    amounts = used(minutes)
    hourly = to_hourly(readings(as_kind(amounts, kind, minutes), minutes), kind)
    expected = amounts.reshape(DAYS * 24, -1).sum(axis=1)
    np.testing.assert_allclose(hours_of(hourly), expected, rtol=1e-7)
    np.testing.assert_allclose(hourly.temperature[: DAYS * 24], np.arange(DAYS * 24))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("minutes", COARSE)
def test_long_readings_are_spread_evenly_over_their_hours(minutes: int, kind: ReadingKind) -> None:
    amounts = used(minutes)
    hourly = to_hourly(readings(as_kind(amounts, kind, minutes), minutes), kind)
    expected = np.repeat(amounts * 60 / minutes, minutes // 60)
    np.testing.assert_allclose(hours_of(hourly), expected, rtol=1e-7)


def test_hourly_readings_stay_as_they_are() -> None:
    amounts = used(60)
    for kind in (ReadingKind.INTERVAL, ReadingKind.POWER):
        hourly = to_hourly(readings(amounts, 60), kind)
        np.testing.assert_array_equal(hourly.consumption, amounts)


@pytest.mark.parametrize("minutes", [5, 15, 30])
def test_an_hour_with_a_missing_row_is_scaled_by_the_time_that_is_known(minutes: int) -> None:
    # Given a steady meter of 1 per step, one row of hour 20 absent and one of hour 40 unusable
    parts = 60 // minutes
    history = readings(np.ones(DAYS * 24 * parts), minutes)
    history.consumption[40 * parts] = np.nan
    # When
    hourly = to_hourly(without(history, [20 * parts + parts - 1]), ReadingKind.INTERVAL)
    # Then neither hour is lower than the others
    np.testing.assert_allclose(hours_of(hourly), float(parts))


def test_an_hour_of_which_less_than_half_is_known_is_missing() -> None:
    history = readings(np.ones(DAYS * 96), 15)
    hourly = to_hourly(without(history, [81, 82, 83]), ReadingKind.INTERVAL)
    assert np.flatnonzero(np.isnan(hours_of(hourly))).tolist() == [20]


def test_any_reading_tells_the_rate_of_its_hour() -> None:
    history = readings(np.repeat(np.arange(DAYS * 24.0), 4), 15)
    hourly = to_hourly(without(history, [81, 82, 83]), ReadingKind.POWER)
    np.testing.assert_allclose(hours_of(hourly), np.arange(DAYS * 24.0))


class TestRegisters:
    def register(self, minutes: int = 15) -> tuple[History, Values]:
        amounts = used(minutes)
        return readings(as_kind(amounts, ReadingKind.CUMULATIVE, minutes), minutes), amounts

    def test_a_short_gap_is_spread_over_the_gap(self) -> None:
        # Given two hours without a reading
        history, amounts = self.register()
        hourly = hours_of(to_hourly(without(history, [*range(81, 88)]), ReadingKind.CUMULATIVE))
        # Then nothing is lost, and the two hours share what the register counted meanwhile
        by_hour = amounts.reshape(-1, 4).sum(axis=1)
        assert np.nansum(hourly) == pytest.approx(amounts.sum())
        np.testing.assert_allclose(hourly[20:22], by_hour[20:22].mean())
        np.testing.assert_allclose(np.delete(hourly, [20, 21]), np.delete(by_hour, [20, 21]))

    def test_a_long_gap_is_missing(self) -> None:
        history, amounts = self.register()
        hourly = hours_of(to_hourly(without(history, [*range(81, 104)]), ReadingKind.CUMULATIVE))
        assert np.flatnonzero(np.isnan(hourly)).tolist() == [20, 21, 22, 23, 24, 25]
        by_hour = amounts.reshape(-1, 4).sum(axis=1)
        np.testing.assert_allclose(hourly[26:], by_hour[26:])

    def test_a_register_that_reports_only_changes_used_nothing_while_it_was_silent(self) -> None:
        # Given a water meter that counts litres, is used by day and reports when it has moved
        generator = np.random.default_rng(3)
        litres = generator.integers(1, 9, (DAYS, 24 * 60)) * (generator.random((DAYS, 1440)) < 0.1)
        litres[:, 23 * 60 :] = litres[:, : 6 * 60] = 0
        litres[:, 6 * 60] = 5
        minutes = np.flatnonzero(litres.reshape(-1))
        counts = np.cumsum(litres.reshape(-1)[minutes]).astype(float)
        # When one of its days is not reported at all
        outage = minutes // 1440 == 3
        history = at_minutes(minutes[~outage], counts[~outage])
        hourly = to_hourly(history, ReadingKind.CUMULATIVE)
        # Then its nights are known to be next to nothing, and only the outage is missing
        by_hour = litres.reshape(-1, 60).sum(axis=1)
        known = known_hours(hourly)
        missing = set(range(DAYS * 24)) - set(known)
        before_the_first, after_the_last = set(range(6)), {DAYS * 24 - 1}
        assert set(range(3 * 24, 4 * 24)) <= missing
        assert missing - before_the_first - after_the_last <= set(range(70, 103))
        error = [known[hour] - by_hour[hour] for hour in known]
        assert np.abs(error).max() <= 8

    def test_a_silence_that_hides_half_a_day_stays_a_gap(self) -> None:
        # Given pulses of a litre at odd moments, and half a day of them lost
        generator = np.random.default_rng(4)
        minutes = np.cumsum(generator.integers(5, 40, 400))
        counts = np.arange(len(minutes), dtype=float)
        lost = (minutes >= 5000) & (minutes < 5720)
        # When
        hourly = to_hourly(at_minutes(minutes[~lost], counts[~lost]), ReadingKind.CUMULATIVE)
        # Then
        assert set(range(84, 95)) <= set(range(1, 100)) - set(known_hours(hourly))

    @pytest.mark.parametrize("minutes", [5, 15, 60, 120, 1440])
    def test_a_reset_costs_its_step_and_nothing_else(self, minutes: int) -> None:
        # Given a register that is set back to 0 between two readings
        history, amounts = self.register(minutes)
        middle = len(amounts) // 2 + 1
        history.consumption[middle:] -= history.consumption[middle] - 0.5
        hourly = hours_of(to_hourly(history, ReadingKind.CUMULATIVE))
        # Then an hour of fine readings is scaled up, one of coarser readings is missing
        expected = np.repeat(amounts, max(minutes // 60, 1)) / max(minutes / 60, 1.0)
        expected = expected.reshape(DAYS * 24, -1).sum(axis=1)
        hour = (middle - 1) * minutes // 60
        spoilt = slice(hour, hour + max(minutes // 60, 1))
        kept = np.ones(DAYS * 24, dtype=bool)
        kept[spoilt] = False
        np.testing.assert_allclose(hourly[kept], expected[kept], rtol=1e-7)
        assert np.isnan(hourly[spoilt]).all() == (minutes >= 60)
        assert not (hourly[spoilt] < 0).any()

    def test_a_register_that_starts_anew_every_midnight_is_read(self) -> None:
        # Given what many loggers call energy of today
        amounts = used(15)
        today = np.cumsum(amounts.reshape(DAYS, 96), axis=1).reshape(-1)
        hourly = hours_of(to_hourly(readings(today, 15), ReadingKind.CUMULATIVE))
        # Then only the last hour of a day rests on three of its quarters
        by_hour = np.append(amounts[1:], np.nan).reshape(-1, 4).sum(axis=1)
        kept = np.arange(DAYS * 24) % 24 != 23
        np.testing.assert_allclose(hourly[kept], by_hour[kept], rtol=1e-7)
        assert np.isfinite(hourly[:-1]).all()

    @pytest.mark.parametrize("fault", [[0.0], [0.0, 0.0, 3.0], [np.nan, 0.0]])
    def test_low_readings_between_high_ones_are_left_out(self, fault: list[float]) -> None:
        # Given a logger that sends zeros for a while
        history, amounts = self.register()
        history.consumption[81 : 81 + len(fault)] = fault
        hourly = hours_of(to_hourly(history, ReadingKind.CUMULATIVE))
        # Then nobody sees a reset followed by a year's consumption in a quarter of an hour
        assert np.nansum(hourly) == pytest.approx(amounts.sum())
        assert np.nanmax(hourly) < 40


@pytest.mark.parametrize(("before", "after"), [(60, 15), (15, 60), (1440, 60), (30, 5)])
def test_a_meter_that_changed_its_step_is_read_right_on_both_sides(before: int, after: int) -> None:
    # Given 2 per hour all the time, and a gap in either part
    first = np.arange(0, 40 * 1440, before)
    second = np.arange(40 * 1440, 80 * 1440, after)
    minutes = np.concatenate([first, second])
    steps = np.concatenate([np.full(len(first), before), np.full(len(second), after)])
    history = History(
        timestamps=np.datetime64("2024-01-01", "s") + minutes * np.timedelta64(60, "s"),
        consumption=2.0 * steps / 60,
        temperature=np.full(len(minutes), np.nan),
    )
    # When
    hourly = to_hourly(without(history, [20, -20]), ReadingKind.INTERVAL)
    # Then
    known = hourly.consumption[np.isfinite(hourly.consumption)]
    np.testing.assert_allclose(known, 2.0)
    assert len(known) >= 80 * 24 - (before + after) / 60 - 2


@pytest.mark.parametrize("day", ["2024-03-31", "2024-10-27"], ids=["spring", "autumn"])
@pytest.mark.parametrize("phase", [0, 6], ids=["midnight", "gas day"])
def test_a_local_day_of_23_or_25_hours_keeps_its_sum(day: str, phase: int) -> None:
    # Given daily readings of 100 stamped by the wall clock around the change
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    steps = Cadence(step=timedelta(days=1), calendar=ROME, phase_s=phase * 3600)
    stamps = steps.starts(middle - timedelta(days=20), middle + timedelta(days=20))
    history = History(
        timestamps=stamps,
        consumption=np.full(len(stamps), 100.0),
        temperature=np.full(len(stamps), np.nan),
    )
    # When
    hourly = to_hourly(history, ReadingKind.INTERVAL)
    # Then every hour is covered once, and the odd day's hours carry 1/23 or 1/25 of it
    assert (np.diff(hourly.timestamps) == HOUR).all()
    assert hourly.consumption.sum() == pytest.approx(100.0 * len(stamps))
    odd = set(np.round(hourly.consumption, 6)) - {round(100 / 24, 6)}
    assert odd == {round(100 / (23 if day == "2024-03-31" else 25), 6)}


def test_hours_inside_long_readings_are_known_and_those_of_short_ones_are_none() -> None:
    assert not len(hours_inside(readings(used(15), 15), ReadingKind.INTERVAL))
    assert not len(hours_inside(readings(used(60), 60), ReadingKind.POWER))
    six_hourly = readings(used(360), 360)
    inside = hours_inside(six_hourly, ReadingKind.INTERVAL)
    free = {to_datetime(hour).hour for hour in to_hourly(six_hourly, ReadingKind.POWER).timestamps}
    assert free == set(range(24))
    assert {to_datetime(hour).hour for hour in inside} == set(range(24)) - {0, 6, 12, 18}


def test_stamps_that_are_a_little_late_change_next_to_nothing() -> None:
    generator = np.random.default_rng(0)
    for minutes in (5, 15, 60, 1440):
        history = readings(np.ones(DAYS * 1440 // minutes), minutes)
        late = generator.integers(0, 20, len(history)) * np.timedelta64(1, "s")
        jittery = History(
            timestamps=history.timestamps + late,
            consumption=history.consumption,
            temperature=history.temperature,
        )
        hourly = hours_of(to_hourly(jittery, ReadingKind.INTERVAL))
        np.testing.assert_allclose(hourly, 60 / minutes, rtol=0.1)


def test_events_without_a_step_add_up_to_what_they_are() -> None:
    # Given pulses of 10 litres at odd moments, some hours with several and most with one
    generator = np.random.default_rng(1)
    seconds = np.unique(np.cumsum(generator.exponential(2000, 3000)).astype(int))
    history = History(
        timestamps=np.datetime64("2024-01-01", "s") + seconds * np.timedelta64(1, "s"),
        consumption=np.full(len(seconds), 10.0),
        temperature=np.full(len(seconds), np.nan),
    )
    # When
    total = float(np.nansum(to_hourly(history, ReadingKind.INTERVAL).consumption))
    # Then nothing is scaled up to a step that does not exist
    assert total == pytest.approx(10.0 * len(seconds), rel=0.15)


def test_fine_readings_can_be_brought_onto_other_fine_steps() -> None:
    amounts = used(5)
    quarters = to_steps(readings(amounts, 5), ReadingKind.INTERVAL, 900)
    np.testing.assert_allclose(quarters.consumption, amounts.reshape(-1, 3).sum(axis=1))


def test_an_infinite_reading_is_not_hidden() -> None:
    history = readings(np.where(np.arange(600) == 300, np.inf, 1.0), 15)
    assert np.isinf(to_hourly(history, ReadingKind.INTERVAL).consumption).sum() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_one_reading_or_none_is_no_fault(kind: ReadingKind) -> None:
    assert not len(to_hourly(readings(np.empty(0), 60), kind))
    single = to_hourly(readings(np.array([5.0]), 60), kind)
    assert len(single) == 1
    assert not len(hours_inside(readings(np.array([5.0]), 60), kind))
