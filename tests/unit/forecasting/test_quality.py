"""The data report finds what was put into a history, and little else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.meters import MeterProfile, ReadingKind
from energy_forecasting.domain.quality import (
    ClockJump,
    FindingCode,
    Gap,
    QualityReport,
    Severity,
    Verdict,
)
from energy_forecasting.domain.readings import HOUR, History, Values
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.imputation import impute
from energy_forecasting.forecasting.quality.report import quality_report

HistoryFactory = Callable[..., History]
PROFILE = MeterProfile(unit="kWh")
ROME = MeterProfile(unit="kWh", timezone="Europe/Rome", country="IT")
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def make_history(make_history: HistoryFactory) -> HistoryFactory:
    """Return a maker of histories whose consumption stays above zero."""

    def make(days: float) -> History:
        history = make_history(days)
        return replace(history, consumption=history.consumption + 2.0)

    return make


def codes(report: QualityReport) -> set[FindingCode]:
    return {finding.code for finding in report.findings}


def without(history: History, *hours: slice) -> History:
    """Return the history without the readings at these positions."""
    kept = np.ones(len(history), dtype=bool)
    for span in hours:
        kept[span] = False
    return History(
        timestamps=history.timestamps[kept],
        consumption=history.consumption[kept],
        temperature=history.temperature[kept],
    )


def with_values(history: History, hours: slice | list[int], values: float | Values) -> History:
    consumption = history.consumption.copy()
    consumption[hours] = values
    return replace(history, consumption=consumption)


def hour(position: int) -> datetime:
    """Return the moment of a reading's position in a made-up history."""
    return datetime.fromtimestamp(START.timestamp() + 3600 * position, tz=UTC)


def test_a_good_history_is_good_and_has_no_findings(make_history: HistoryFactory) -> None:
    report = quality_report(make_history(days=200), PROFILE)

    assert report.verdict is Verdict.GOOD
    assert report.findings == []
    assert report.first_reading == START
    assert report.last_reading == hour(200 * 24 - 1)
    assert (report.days, report.readings, report.resolution_s) == (200, 4800, 3600)
    assert (report.irregular_step_share, report.missing_share, report.gaps) == (0, 0, 0)
    assert report.longest_gap is None
    assert report.duplicates is None
    assert report.temperature_share == 1
    assert report.uses_temperature


def test_gaps_are_counted_and_the_longest_is_located(make_history: HistoryFactory) -> None:
    # Given a gap of two hours and one of thirty, and an unusable reading
    history = without(make_history(days=100), slice(500, 502), slice(1000, 1030))
    history = with_values(history, [100], np.nan)
    # When
    report = quality_report(history, PROFILE)
    # Then
    assert report.gaps == 3
    assert report.missing_hours == 33
    assert report.missing_share == pytest.approx(33 / 2400, abs=1e-4)
    assert report.longest_gap == Gap(start=hour(1000), hours=30)
    assert report.irregular_step_share == pytest.approx(2 / 2367, abs=1e-4)
    assert report.off_beat_share == 0
    assert report.verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("days", "severity"), [(8, Severity.WARNING), (30, Severity.SERIOUS), (6, None)]
)
def test_a_gap_longer_than_a_week_is_a_warning_and_one_of_four_is_serious(
    make_history: HistoryFactory, days: int, severity: Severity | None
) -> None:
    history = without(make_history(days=300), slice(2400, 2400 + days * 24))

    report = quality_report(history, PROFILE)

    found = {finding.code: finding.severity for finding in report.findings}
    assert found.get(FindingCode.LONG_GAP) is severity


def test_the_most_serious_finding_comes_first_and_gives_the_reason(
    make_history: HistoryFactory,
) -> None:
    # Given an outlier and a month without readings
    history = with_values(make_history(days=300), [100], 500.0)
    # When
    report = quality_report(without(history, slice(2400, 3200)), PROFILE)
    # Then
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=list(Severity).index)
    assert severities[0] is Severity.SERIOUS
    assert report.verdict is Verdict.USABLE
    assert report.verdict_reason == report.findings[0].message
    assert FindingCode.OUTLIERS in codes(report)


def test_negative_values_are_counted_and_their_cause_is_guessed(
    make_history: HistoryFactory,
) -> None:
    history = make_history(days=100)

    few = quality_report(with_values(history, [7, 700], -1.0), PROFILE)
    many = quality_report(with_values(history, slice(0, 240), -1.0), PROFILE)

    assert few.negative_hours == 2
    assert few.negative_share == pytest.approx(2 / 2400, abs=1e-4)
    assert many.negative_hours == 240
    messages = [finding.message for each in (few, many) for finding in each.findings]
    assert any("2 hours (less than 0.1 %) are below zero" in message for message in messages)
    assert any("feeds in or its sign is wrong" in message for message in messages)


def test_a_flat_run_is_measured_and_zeros_are_none(make_history: HistoryFactory) -> None:
    # Given thirty hours of 3.3, two of 4.4 and forty of zero
    history = with_values(make_history(days=100), slice(1000, 1030), 3.3)
    history = with_values(history, slice(1500, 1502), 4.4)
    history = with_values(history, slice(2000, 2040), 0.0)
    # When
    report = quality_report(history, PROFILE)
    # Then
    assert (report.flat.longest_hours, report.flat.longest_start) == (30, hour(1000))
    assert (report.flat.runs, report.flat.share) == (1, 30 / 2400)
    assert report.zero_share == pytest.approx(40 / 2400, abs=1e-4)
    assert not report.intermittent
    assert {FindingCode.FLAT_RUNS, FindingCode.ZERO_HOURS} <= codes(report)


def test_a_gap_ends_a_flat_run(make_history: HistoryFactory) -> None:
    history = with_values(make_history(days=100), slice(1000, 1040), 3.3)

    report = quality_report(without(history, slice(1020, 1021)), PROFILE)

    assert report.flat.longest_hours == 20
    assert report.flat.runs == 0


def test_spikes_are_outliers_and_daily_peaks_are_not(make_history: HistoryFactory) -> None:
    # Given a peak of fifty each noon, and three readings out of place
    history = make_history(days=100)
    noon = np.arange(len(history)) % 24 == 12
    history = with_values(history, slice(None), np.where(noon, 50.0, history.consumption))
    history = with_values(history, [1001], 50.0)  # the peak's height, five hours late
    history = with_values(history, [1500], 900.0)
    history = with_values(history, [2004], 3.0)  # a noon without its peak
    # When
    report = quality_report(history, PROFILE)
    # Then
    assert report.outlier_hours == 3
    worst, *others = report.worst_outliers
    assert (worst.timestamp, worst.value) == (hour(1500), 900.0)
    assert {each.timestamp for each in others} == {hour(1001), hour(2004)}
    assert next(each.usual for each in others if each.timestamp == hour(2004)) == 50.0


def test_only_the_five_worst_outliers_are_listed(make_history: HistoryFactory) -> None:
    history = with_values(make_history(days=100), list(range(100, 2100, 200)), 100.0)

    report = quality_report(history, PROFILE)

    assert report.outlier_hours == 10
    assert len(report.worst_outliers) == 5


def test_a_level_shift_is_dated_and_measured(make_history: HistoryFactory) -> None:
    # Given twice the consumption from day 80 on
    history = make_history(days=200)
    later = history.consumption[80 * 24 :]
    # When
    report = quality_report(with_values(history, slice(80 * 24, None), later * 2 + 3), PROFILE)
    # Then
    shift = report.level_shift
    assert shift is not None
    assert abs((shift.day - date(2024, 3, 21)).days) <= 1
    assert shift.after > 2 * shift.before
    assert FindingCode.LEVEL_SHIFT in codes(report)


def test_a_season_is_no_level_shift(make_history: HistoryFactory) -> None:
    history = make_history(days=365)
    season = 10 * np.cos(2 * np.pi * np.arange(len(history)) / len(history))

    report = quality_report(replace(history, consumption=history.consumption + season), PROFILE)

    assert report.level_shift is None
    assert report.outlier_hours == 0


def test_a_clock_that_was_put_forward_is_found_and_dated(make_history: HistoryFactory) -> None:
    # Given a clock that is two hours late from day 60 on
    history = make_history(days=120)
    moved = history.consumption.copy()
    moved[60 * 24 :] = history.consumption[60 * 24 - 2 : -2]
    # When
    report = quality_report(replace(history, consumption=moved), PROFILE)
    # Then
    (jump,) = report.clock_jumps
    assert jump.shift_hours == 2
    assert abs((jump.day - date(2024, 3, 1)).days) <= 3
    assert FindingCode.CLOCK_JUMP in codes(report)


def test_a_meter_that_ignores_summer_time_is_told_by_both_its_jumps(
    make_history: HistoryFactory,
) -> None:
    # Given habits that follow UTC, said to be in Rome
    report = quality_report(make_history(days=365), ROME)
    # Then
    assert [jump.shift_hours for jump in report.clock_jumps] == [1, -1]
    assert report.clock_change_days == [date(2024, 3, 31), date(2024, 10, 27)]
    for jump, day in zip(report.clock_jumps, report.clock_change_days, strict=True):
        assert abs((jump.day - day).days) <= 3
    assert "the clocks changed on 2024-03-31" in report.findings[0].message


def test_the_hours_of_clock_changes_are_neither_gap_nor_outlier() -> None:
    # Given habits that follow Rome's wall clock
    stamps = (np.datetime64("2024-01-01", "s") + np.arange(365 * 24) * HOUR).astype("datetime64[s]")
    wall = LocalCalendar(timezone="Europe/Rome", country=None).wall_clock(stamps)
    hours = wall.astype("datetime64[h]").astype(np.int64)
    noise = np.random.default_rng(0).normal(0, 0.1, len(stamps))
    history = History(
        timestamps=stamps,
        consumption=5 + 3 * np.sin(2 * np.pi * hours / 24) + noise,
        temperature=np.full(len(stamps), np.nan),
    )
    # When
    report = quality_report(history, ROME)
    # Then
    assert report.clock_change_days == [date(2024, 3, 31), date(2024, 10, 27)]
    assert report.clock_jumps == []
    assert (report.missing_hours, report.outlier_hours) == (0, 0)
    assert codes(report) == {FindingCode.NO_TEMPERATURE}


def test_a_part_without_temperature_is_said(make_history: HistoryFactory) -> None:
    history = make_history(days=100)
    temperature = history.temperature.copy()
    temperature[:600] = np.nan

    report = quality_report(replace(history, temperature=temperature), PROFILE)

    assert report.temperature_share == 0.75
    assert report.uses_temperature
    assert codes(report) == {FindingCode.PARTIAL_TEMPERATURE}


def test_a_meter_that_mostly_rests_is_intermittent_and_its_uses_are_no_outliers() -> None:
    # Given a home that draws water in one hour of ten
    generator = np.random.default_rng(0)
    hours = np.arange(120 * 24)
    used = generator.random(len(hours)) < 0.1
    history = History(
        timestamps=(np.datetime64("2024-01-01", "s") + hours * HOUR).astype("datetime64[s]"),
        consumption=np.where(used, generator.uniform(20, 60, len(hours)), 0.0),
        temperature=np.full(len(hours), np.nan),
    )
    # When
    report = quality_report(history, PROFILE)
    # Then
    assert report.intermittent
    assert report.zero_share == pytest.approx(0.9, abs=0.02)
    assert report.outlier_hours == 0
    assert FindingCode.INTERMITTENT in codes(report)
    # And a broken pipe still is one
    burst = with_values(history, [1000], 5000.0)
    assert quality_report(burst, PROFILE).outlier_hours == 1


def test_quarter_hours_are_measured_by_the_hour_and_late_stamps_are_found() -> None:
    # Given quarter hours of which one in twenty is stamped a minute late
    quarters = np.arange(100 * 96)
    late = np.where(quarters % 20 == 7, 60, 0)
    stamps = np.datetime64("2024-01-01", "s") + (quarters * 900 + late).astype("timedelta64[s]")
    generator = np.random.default_rng(0)
    history = History(
        timestamps=stamps.astype("datetime64[s]"),
        consumption=5 + np.sin(2 * np.pi * quarters / 96) + generator.normal(0, 0.1, len(quarters)),
        temperature=np.full(len(quarters), np.nan),
    )
    # When
    report = quality_report(history, PROFILE)
    # Then
    assert (report.readings, report.days, report.resolution_s) == (9600, 100, 900)
    assert report.off_beat_share == pytest.approx(0.1, abs=0.001)
    assert report.missing_hours == 0
    assert FindingCode.IRREGULAR_STEPS in codes(report)
    # But a register may be read at any moment
    register = replace(history, consumption=np.cumsum(np.abs(history.consumption)))
    cumulative = replace(PROFILE, reading_kind=ReadingKind.CUMULATIVE)
    assert FindingCode.IRREGULAR_STEPS not in codes(quality_report(register, cumulative))


def test_duplicates_are_told_when_the_caller_knows_them(make_history: HistoryFactory) -> None:
    report = quality_report(make_history(days=100), PROFILE, duplicates=3)

    assert report.duplicates == 3
    assert "3 readings repeated a timestamp" in report.verdict_reason


def test_repairs_are_told_by_rule(make_history: HistoryFactory) -> None:
    # Given a first day of which an hour never comes back within the day, and later gaps
    history = make_history(days=100)
    missing = [30, 200, 201, 1000]
    # When
    report = quality_report(with_values(history, missing, np.nan), PROFILE)
    # Then hour 30 has only the day before it, the others a week
    assert report.repairs.week_ago_hours == 3
    assert report.repairs.day_ago_hours == 1
    assert report.repairs.later_hours == 0
    assert report.repairs.interpolated_hours == 0
    assert "3 from the week before, 1 from the day before" in report.findings[-1].message


def test_the_rules_told_are_those_that_training_follows(make_history: HistoryFactory) -> None:
    # Given a history that names its hours, with holes of every kind: five o'clock is never known,
    # the start is missing, and so are single hours
    history = make_history(days=40)
    hours = np.arange(float(len(history)))
    never = hours % 24 == 5
    missing = np.random.default_rng(0).random(len(hours)) < 0.3
    missing[1:20] = True
    missing[[0, -1]] = False
    values = np.where(missing | never, np.nan, hours)
    history = replace(history, consumption=values)
    # When the repairs are told and made
    repairs = quality_report(history, PROFILE).repairs
    grid = LocalGrid.from_history(history, LocalCalendar(timezone="UTC", country=None))
    # Then the value of each filled hour names its source
    distance = (hours - impute(grid.consumption))[missing & ~never]
    weekly = distance % 168 == 0
    assert repairs.week_ago_hours == np.sum(weekly & (distance > 0))
    assert repairs.day_ago_hours == np.sum(~weekly & (distance > 0))
    assert repairs.later_hours == np.sum(distance < 0)
    assert repairs.interpolated_hours == np.sum(never)
    assert min(dict(repairs).values()) > 0


@pytest.mark.parametrize("days", [1, 0.05])
def test_too_little_history_is_unusable_and_says_what_a_training_would(
    make_history: HistoryFactory, days: float
) -> None:
    report = quality_report(make_history(days=days), PROFILE)

    assert report.verdict is Verdict.UNUSABLE
    assert "at least 2 days" in report.verdict_reason
    assert report.findings[0].code is FindingCode.INSUFFICIENT_DATA
    assert report.findings[0].severity is Severity.SERIOUS


def test_ten_weeks_are_usable_with_a_warning(make_history: HistoryFactory) -> None:
    report = quality_report(make_history(days=70), PROFILE)

    assert report.verdict is Verdict.USABLE
    assert codes(report) == {FindingCode.SHORT_HISTORY}


def test_a_constant_meter_is_unusable(make_history: HistoryFactory) -> None:
    report = quality_report(with_values(make_history(days=60), slice(None), 5.0), PROFILE)

    assert report.verdict is Verdict.UNUSABLE
    assert "same value, 5 kWh" in report.verdict_reason
    assert report.findings[0].code is FindingCode.DATA_QUALITY_ERROR
    assert report.flat.longest_hours == 60 * 24


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_history_without_a_usable_reading_is_reported_too(
    make_history: HistoryFactory, value: float
) -> None:
    report = quality_report(with_values(make_history(days=60), slice(None), value), PROFILE)

    assert report.verdict is Verdict.UNUSABLE
    assert report.days == 0
    assert report.missing_share == 1
    assert report.outlier_hours == 0
    assert report.flat.longest_hours == 0


def test_a_single_reading_is_reported_too(make_history: HistoryFactory) -> None:
    report = quality_report(make_history(days=1 / 24), PROFILE)

    assert report.verdict is Verdict.UNUSABLE
    assert report.resolution_s is None
    assert report.flat.longest_hours == 1


def test_a_register_is_measured_by_what_it_counts(make_history: HistoryFactory) -> None:
    # Given a register that stands still for thirty hours and is reset once
    used = make_history(days=120).consumption
    used[1000:1030] = 0.7
    register = 1e6 + np.cumsum(used)
    register[2000:] -= register[2000]
    history = replace(make_history(days=120), consumption=register)
    # When
    report = quality_report(history, MeterProfile(reading_kind=ReadingKind.CUMULATIVE))
    # Then
    assert report.flat.longest_hours == 30
    assert report.missing_hours == 1
    assert report.negative_hours == 0


@pytest.mark.parametrize("kind", [ReadingKind.INTERVAL, ReadingKind.POWER])
def test_a_register_that_is_not_declared_as_one_is_seen(
    make_history: HistoryFactory, kind: ReadingKind
) -> None:
    # Given a register with standstills and two resets
    used = np.maximum(make_history(days=120).consumption, 0.0)
    used[::3] = 0.0
    register = 1e4 + np.cumsum(used)
    register[900:] -= register[900]
    register[1900:] -= register[1900]
    history = replace(make_history(days=120), consumption=register)
    # Then
    assert FindingCode.LOOKS_CUMULATIVE in codes(
        quality_report(history, MeterProfile(reading_kind=kind))
    )
    assert FindingCode.LOOKS_CUMULATIVE not in codes(
        quality_report(history, MeterProfile(reading_kind=ReadingKind.CUMULATIVE))
    )


def test_a_meter_that_is_mostly_off_does_not_look_like_a_register(
    make_history: HistoryFactory,
) -> None:
    history = make_history(days=120)
    pulses = np.where(np.arange(len(history)) % 20 == 0, 5.0, 0.0)
    report = quality_report(replace(history, consumption=pulses), MeterProfile())
    assert not report.looks_cumulative


@pytest.mark.parametrize(
    ("meter_id", "zone", "kind", "expected"),
    [
        ("ucam_b37_elec", "Europe/London", ReadingKind.INTERVAL, set()),
        ("ucam_b31_gas", "Europe/London", ReadingKind.INTERVAL, {FindingCode.ZERO_HOURS}),
        (
            "bwdf_dma_09",
            "Europe/Rome",
            ReadingKind.POWER,
            {FindingCode.MISSING_HOURS, FindingCode.REPAIRS},
        ),
        (
            "bwdf_dma_05",  # half a reading stands before its longest gap
            "Europe/Rome",
            ReadingKind.POWER,
            {FindingCode.MISSING_HOURS, FindingCode.REPAIRS, FindingCode.OUTLIERS},
        ),
    ],
)
def test_real_meters_give_no_false_alarms(
    sample_history: Callable[[str], History],
    meter_id: str,
    zone: str,
    kind: ReadingKind,
    expected: set[FindingCode],
) -> None:
    profile = MeterProfile(timezone=zone, reading_kind=kind)

    report = quality_report(sample_history(meter_id), profile)

    assert codes(report) == expected
    assert report.outlier_hours <= 1
    assert report.level_shift is None


@pytest.mark.parametrize("shift", [1, -1])
def test_a_jump_of_an_hour_in_a_real_meter_is_found(
    sample_history: Callable[[str], History], shift: int
) -> None:
    # Given an office whose clock moves by an hour in the middle of the year
    history = sample_history("ucam_b37_elec")
    middle = len(history) // 2
    moved = history.consumption.copy()
    moved[middle + 3 : -3] = history.consumption[middle + 3 - shift : -3 - shift]
    # When
    profile = MeterProfile(timezone="Europe/London")
    report = quality_report(replace(history, consumption=moved), profile)
    # Then
    (jump,) = report.clock_jumps
    assert jump == ClockJump(day=jump.day, shift_hours=shift)
    assert abs((jump.day - date(2022, 7, 2)).days) <= 3
