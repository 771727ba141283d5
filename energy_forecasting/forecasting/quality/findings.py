"""What the measures of a history mean to an analyst, in sentences, the most serious first."""

from collections.abc import Iterator
from datetime import timedelta

from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.domain.meters import MeterProfile, ReadingKind
from energy_forecasting.domain.quality import (
    ClockJump,
    Finding,
    FindingCode,
    QualityMeasures,
    Severity,
)
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK
from energy_forecasting.forecasting.quality.level_shift import WINDOW_DAYS
from energy_forecasting.forecasting.quality.wording import count, percent, with_unit
from energy_forecasting.forecasting.recipe import NETWORK_NEEDS_DAYS

#: A quarter has shown a meter's weeks and holidays; until then forecasts lean on other meters.
SHORT_HISTORY_DAYS = 98

#: A day a month; below it nothing of the accuracy was seen to be lost.
WARNING_MISSING_SHARE = 0.03
#: Up to a fifth missing or flat was measured: 4 to 10 % more error. Beyond, nobody knows.
SERIOUS_MISSING_SHARE = 0.2
SERIOUS_FLAT_SHARE = 0.2

#: A longer gap is filled with a week that was filled itself.
WARNING_GAP_HOURS = HOURS_PER_WEEK
#: A longer gap leaves a forecast after it without any week to compare with.
SERIOUS_GAP_HOURS = 4 * HOURS_PER_WEEK

#: A few late stamps blur nothing; more of them mean a clock or an export that cannot be trusted.
WARNING_OFF_BEAT_SHARE = 0.01

#: More than this is no accident: the meter feeds in, or its sign is wrong.
FEED_IN_SHARE = 0.01

#: A jump so near to the start or end of summer time comes from it.
_CLOCK_CHANGE_REACH = timedelta(days=7)

_RANK = {severity: rank for rank, severity in enumerate(Severity)}


def find(
    measures: QualityMeasures, objection: EnergyForecastingError | None, profile: MeterProfile
) -> list[Finding]:
    """Return the findings, most serious first.

    Args:
        measures: of the history.
        objection: what a training refuses the history with; None when it does not.
        profile: the meter's unit, printed beside values, and what a reading means.
    """
    findings = [
        *_of_length(measures, objection),
        *_of_time(measures, profile.reading_kind),
        *_of_gaps(measures),
        *_of_values(measures, profile.unit),
        *_of_temperature(measures),
        *_of_repairs(measures),
    ]
    return sorted(findings, key=lambda finding: _RANK[finding.severity])


def _of_length(
    measures: QualityMeasures, objection: EnergyForecastingError | None
) -> Iterator[Finding]:
    if objection is not None:
        yield _finding(FindingCode(objection.error_type), Severity.SERIOUS, objection.message)
    elif measures.days < SHORT_HISTORY_DAYS:
        yield _finding(
            FindingCode.SHORT_HISTORY,
            Severity.WARNING,
            f"The history holds {measures.days:.0f} days; below {NETWORK_NEEDS_DAYS} days a "
            "regression learnt mostly from other meters serves, which knows no temperature.",
        )


def _of_time(measures: QualityMeasures, kind: ReadingKind) -> Iterator[Finding]:
    if measures.looks_cumulative:
        yield _finding(
            FindingCode.LOOKS_CUMULATIVE,
            Severity.SERIOUS,
            "The values rise and hardly ever fall, as those of a register do; if they are meter "
            "counts, declare reading_kind as cumulative, else forecasts are of the register.",
        )
    for jump in measures.clock_jumps:
        yield _of_clock_jump(jump, measures)
    if measures.duplicates:
        yield _finding(
            FindingCode.DUPLICATES,
            Severity.WARNING,
            f"{count(measures.duplicates, 'reading')} repeated a timestamp; the last one given "
            "was kept.",
        )
    # A register may be read at any moment; many are reported only when they change.
    if kind is not ReadingKind.CUMULATIVE and measures.off_beat_share > WARNING_OFF_BEAT_SHARE:
        yield _finding(
            FindingCode.IRREGULAR_STEPS,
            Severity.WARNING,
            f"{measures.off_beat_share:.1%} of the steps between readings are no multiple of "
            f"the usual {measures.resolution_s} seconds; check the clock or the export.",
        )


def _of_clock_jump(jump: ClockJump, measures: QualityMeasures) -> Finding:
    hours = count(abs(jump.shift_hours), "hour")
    direction = "later" if jump.shift_hours > 0 else "earlier"
    near = [day for day in measures.clock_change_days if abs(day - jump.day) <= _CLOCK_CHANGE_REACH]
    reason = (
        f"the clocks changed on {near[0]}, so the meter's time zone is wrong or its equipment "
        "ignores summer time."
        if near
        else "check the meter's clock, its time zone and whether a timer was changed."
    )
    return _finding(
        FindingCode.CLOCK_JUMP,
        Severity.WARNING,
        f"From about {jump.day} on the profile of working days runs {hours} {direction}: {reason}",
    )


def _of_gaps(measures: QualityMeasures) -> Iterator[Finding]:
    gap = measures.longest_gap
    if gap is None:
        return
    share = measures.missing_share
    yield _finding(
        FindingCode.MISSING_HOURS,
        _graded(share, WARNING_MISSING_SHARE, SERIOUS_MISSING_SHARE),
        f"{count(measures.missing_hours, 'hour')} ({percent(share)}) "
        f"{'is' if measures.missing_hours == 1 else 'are'} missing, in "
        f"{count(measures.gaps, 'gap')}.",
    )
    severity = _graded(gap.hours, WARNING_GAP_HOURS, SERIOUS_GAP_HOURS)
    if severity is not Severity.INFO:
        yield _finding(
            FindingCode.LONG_GAP,
            severity,
            f"The longest gap, {gap.hours / HOURS_PER_DAY:.1f} days from {gap.start:%Y-%m-%d} on, "
            "is longer than the week that fills it; import its readings if they exist.",
        )


def _of_values(measures: QualityMeasures, unit: str) -> Iterator[Finding]:
    yield from _of_signs(measures)
    yield from _of_flat_runs(measures)
    if measures.worst_outliers:
        worst = measures.worst_outliers[0]
        yield _finding(
            FindingCode.OUTLIERS,
            Severity.WARNING,
            f"{count(measures.outlier_hours, 'hour')} "
            f"{'lies' if measures.outlier_hours == 1 else 'lie'} far from the usual; the farthest "
            f"is {with_unit(worst.value, unit)} at {worst.timestamp:%Y-%m-%d %H:%M} UTC instead of "
            f"about {with_unit(worst.usual, unit)}.",
        )
    shift = measures.level_shift
    if shift is not None:
        yield _finding(
            FindingCode.LEVEL_SHIFT,
            Severity.WARNING,
            f"On {shift.day} the hourly mean stepped from {with_unit(shift.before, unit)} to "
            f"{with_unit(shift.after, unit)} and stayed for {WINDOW_DAYS} days; if the meter or "
            "its use changed, older readings mislead.",
        )


def _of_signs(measures: QualityMeasures) -> Iterator[Finding]:
    if measures.negative_hours:
        reason = (
            "the meter feeds in or its sign is wrong"
            if measures.negative_share > FEED_IN_SHARE
            else "a meter that only consumes cannot; correct them"
        )
        yield _finding(
            FindingCode.NEGATIVE_VALUES,
            Severity.WARNING,
            f"{count(measures.negative_hours, 'hour')} ({percent(measures.negative_share)}) "
            f"{'is' if measures.negative_hours == 1 else 'are'} below zero: {reason}. Forecasts "
            "are therefore not floored at zero.",
        )
    if measures.intermittent:
        yield _finding(
            FindingCode.INTERMITTENT,
            Severity.WARNING,
            f"{percent(measures.zero_share)} of the hours are zero: the meter is intermittent, "
            "its median forecast is often zero, and the upper quantiles say more.",
        )
    elif measures.zero_share:
        yield _finding(
            FindingCode.ZERO_HOURS,
            Severity.INFO,
            f"{percent(measures.zero_share)} of the hours are zero.",
        )


def _of_flat_runs(measures: QualityMeasures) -> Iterator[Finding]:
    flat = measures.flat
    if flat.runs and flat.longest_start is not None:
        yield _finding(
            FindingCode.FLAT_RUNS,
            _graded(flat.share, 0.0, SERIOUS_FLAT_SHARE),
            f"{count(flat.runs, 'run')} of one unchanged value for a day or longer "
            f"({percent(flat.share)} of the hours); the longest lasts {flat.longest_hours} hours "
            f"from {flat.longest_start:%Y-%m-%d %H:%M} UTC on. A stuck meter looks like this.",
        )


def _of_temperature(measures: QualityMeasures) -> Iterator[Finding]:
    if not measures.uses_temperature:
        yield _finding(
            FindingCode.NO_TEMPERATURE,
            Severity.INFO,
            f"{percent(measures.temperature_share)} of the readings carry a temperature: too few "
            "to learn from, or it never changes. Forecasts do without.",
        )
    elif measures.temperature_share < 1:
        yield _finding(
            FindingCode.PARTIAL_TEMPERATURE,
            Severity.INFO,
            f"{percent(measures.temperature_share)} of the readings carry a temperature; the "
            "others are interpolated.",
        )


def _of_repairs(measures: QualityMeasures) -> Iterator[Finding]:
    repairs = measures.repairs
    rules = {
        "the week before": repairs.week_ago_hours,
        "the day before": repairs.day_ago_hours,
        "a later week or day": repairs.later_hours,
        "a line between their neighbours": repairs.interpolated_hours,
    }
    parts = [f"{hours} from {rule}" for rule, hours in rules.items() if hours]
    if parts:
        yield _finding(
            FindingCode.REPAIRS,
            Severity.INFO,
            f"Training fills missing hours among its inputs: {', '.join(parts)}. They are never "
            "learnt as if they had been measured.",
        )


def _finding(code: FindingCode, severity: Severity, message: str) -> Finding:
    return Finding(code=code, severity=severity, message=message)


def _graded(measure: float, warning: float, serious: float) -> Severity:
    """Return the severity of a measure that is worse the larger it is."""
    if measure > serious:
        return Severity.SERIOUS
    return Severity.WARNING if measure > warning else Severity.INFO
