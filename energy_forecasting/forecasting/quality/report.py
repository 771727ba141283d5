"""The data report of one meter: measures its history and says what an analyst should know.

Pure and without TensorFlow: two years of hours take a fraction of a second. It measures what a
training would learn from, the readings brought onto whole hours; only the steps, the duplicates
and the temperature are those of the readings themselves. It repairs nothing.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np

from energy_forecasting.domain.aggregation import to_hourly
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.errors import (
    DataQualityError,
    EnergyForecastingError,
    InsufficientData,
)
from energy_forecasting.domain.meters import MeterProfile, ReadingKind
from energy_forecasting.domain.quality import (
    ClockJump,
    LevelShift,
    Outlier,
    QualityLimits,
    QualityMeasures,
    QualityReport,
    Severity,
    Verdict,
)
from energy_forecasting.domain.readings import (
    HOUR,
    History,
    Timestamps,
    Values,
    to_datetime,
)
from energy_forecasting.domain.resolutions import HOUR_S, checked_resolution
from energy_forecasting.forecasting.grid import Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.quality.clock_jumps import by_day, clock_jumps
from energy_forecasting.forecasting.quality.findings import find
from energy_forecasting.forecasting.quality.level_shift import largest_step
from energy_forecasting.forecasting.quality.limits import DEFAULT_LIMITS, beyond_limits
from energy_forecasting.forecasting.quality.outliers import (
    OUTLIER_DISTANCE,
    deviations,
    is_intermittent,
)
from energy_forecasting.forecasting.quality.repairs import repairs_by_rule
from energy_forecasting.forecasting.quality.runs import (
    FLAT_RUN_HOURS,
    find_runs,
    flat_runs,
    longest_gap,
)
from energy_forecasting.forecasting.quality.wording import share
from energy_forecasting.forecasting.scale import seasonal_scale
from energy_forecasting.forecasting.validation import validate_history

WORST_OUTLIERS = 5

#: Hours of a day that must be known for its mean to stand for it.
_DAY_NEEDS_HOURS = 18

#: A register stands still for hours and is reset now and then; consumption falls as it rises.
_REGISTER_RISES = 0.1
_RISES_PER_FALL = 10

_WORKING_DAYS = 5  #: Monday to Friday


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """What a look at a history brought: the report and, for a training, what follows from it."""

    report: QualityReport
    hourly: History  #: on whole hours, as a training learns from it
    objection: EnergyForecastingError | None  #: what a training refuses it with; has the report


def quality_report(
    history: History,
    profile: MeterProfile,
    *,
    limits: QualityLimits = DEFAULT_LIMITS,
    duplicates: int | None = None,
) -> QualityReport:
    """Report on a history as the store gave it; see ``examine``."""
    return examine(history, profile, limits=limits, duplicates=duplicates).report


def examine(
    history: History,
    profile: MeterProfile,
    *,
    limits: QualityLimits = DEFAULT_LIMITS,
    duplicates: int | None = None,
) -> Examination:
    """Measure a history and decide whether one may train on it.

    Never raises for bad data: what a training refuses makes the verdict ``unusable``.

    Args:
        history: readings of any step, at least one.
        profile: the meter's unit, time zone, country and what a reading means.
        limits: how bad it may be.
        duplicates: repeated timestamps that the caller saw; None when it cannot know.
    """
    hourly = to_hourly(history, profile.reading_kind)
    measures = _measures(history, hourly, profile, duplicates)
    objection = _objection(history, hourly, profile, measures, limits)
    findings = find(measures, objection, profile)
    if objection is not None:
        verdict, reason = Verdict.UNUSABLE, objection.message
    elif any(finding.severity is not Severity.INFO for finding in findings):
        verdict, reason = Verdict.USABLE, findings[0].message
    else:
        verdict, reason = Verdict.GOOD, "Nothing was found that would harm a forecast."
    report = QualityReport(
        **dict(measures), verdict=verdict, verdict_reason=reason, findings=findings
    )
    if objection is not None:
        objection.details["quality"] = report.model_dump(mode="json")
    return Examination(report=report, hourly=hourly, objection=objection)


def _objection(
    history: History,
    hourly: History,
    profile: MeterProfile,
    measures: QualityMeasures,
    limits: QualityLimits,
) -> EnergyForecastingError | None:
    """Return what a training refuses the history with."""
    try:
        checked_resolution(history.timestamps, profile.resolution)
        validate_history(hourly, profile)
    except (InsufficientData, DataQualityError) as error:
        return error
    return beyond_limits(measures, limits)


def _measures(
    history: History, hourly: History, profile: MeterProfile, duplicates: int | None
) -> QualityMeasures:
    start, consumption = _every_hour(hourly)
    stamps = start + np.arange(len(consumption)) * HOUR
    grid = LocalGrid.from_history(
        History(
            timestamps=stamps,
            consumption=consumption,
            temperature=np.full(len(stamps), np.nan),
        ),
        LocalCalendar(timezone=profile.timezone, country=profile.country),
    )
    grid_hours = grid.hours_of(stamps)
    scale = seasonal_scale(consumption)
    known = np.isfinite(consumption)
    missing = int((~known).sum())
    negative = int((consumption < 0).sum())
    gap_starts, gap_hours = find_runs(~known)
    resolution_s, irregular, off_beat = _steps(history.timestamps)
    step_hours = (resolution_s or HOUR_S) // HOUR_S
    outliers = _outliers(stamps, consumption, _hour_of_week(grid, grid_hours))
    return QualityMeasures(
        first_reading=history.first,
        last_reading=history.last,
        days=round(len(consumption) / HOURS_PER_DAY, 2) if known.any() else 0.0,
        readings=len(history),
        duplicates=duplicates,
        resolution_s=resolution_s,
        irregular_step_share=irregular,
        off_beat_share=off_beat,
        looks_cumulative=(
            profile.reading_kind is not ReadingKind.CUMULATIVE
            and _looks_cumulative(history.consumption)
        ),
        missing_hours=missing,
        missing_share=share(missing, len(consumption)),
        gaps=len(gap_starts),
        longest_gap=longest_gap(stamps, gap_starts, gap_hours),
        negative_hours=negative,
        negative_share=share(negative, int(known.sum())),
        zero_share=share(int((consumption == 0).sum()), int(known.sum())),
        intermittent=is_intermittent(consumption),
        flat=flat_runs(stamps, consumption, shortest_hours=max(FLAT_RUN_HOURS, 3 * step_hours)),
        outlier_hours=len(outliers),
        worst_outliers=outliers[:WORST_OUTLIERS],
        level_shift=_level_shift(grid, scale),
        # Readings of several hours have no profile that could move.
        clock_jumps=_clock_jumps(grid, scale) if step_hours <= 1 else [],
        clock_change_days=_clock_change_days(grid, grid_hours),
        temperature_share=share(int(np.isfinite(history.temperature).sum()), len(history)),
        uses_temperature=history.has_temperature,
        repairs=repairs_by_rule(np.isfinite(grid.consumption), grid_hours[~known]),
    )


def _every_hour(hourly: History) -> tuple[np.datetime64, Values]:
    """Return the first usable hour and all hours to the last usable one, NaN where missing."""
    known = np.flatnonzero(np.isfinite(hourly.consumption))
    used = slice(known[0], known[-1] + 1) if len(known) else slice(None)
    hours = hourly.timestamps[used].astype("datetime64[h]").astype(np.int64)
    consumption = np.full(int(hours[-1] - hours[0]) + 1, np.nan)
    values = hourly.consumption[used]
    consumption[hours - hours[0]] = np.where(np.isfinite(values), values, np.nan)
    return hourly.timestamps[used][0].astype("datetime64[h]").astype("datetime64[s]"), consumption


def _steps(timestamps: Timestamps) -> tuple[int | None, float, float]:
    """Return the most frequent step in seconds, the share of others, the share off its beat."""
    seconds = timestamps.astype("datetime64[s]").astype(np.int64)
    steps = seconds[1:] - seconds[:-1]
    if not len(steps):
        return None, 0.0, 0.0
    lengths, counts = np.unique(steps, return_counts=True)
    resolution = int(lengths[np.argmax(counts)])
    irregular = int((steps != resolution).sum())
    off_beat = int((steps % resolution != 0).sum())
    return resolution, share(irregular, len(steps)), share(off_beat, len(steps))


def _looks_cumulative(values: Values) -> bool:
    """Tell whether values rise like a register's: often, and hardly ever fall."""
    steps = np.diff(values[np.isfinite(values)])
    rises, falls = int((steps > 0).sum()), int((steps < 0).sum())
    return rises >= _REGISTER_RISES * len(steps) > 0 and falls * _RISES_PER_FALL <= rises


def _hour_of_week(grid: LocalGrid, grid_hours: Hours) -> Hours:
    return np.asarray(grid.weekday[grid_hours] * HOURS_PER_DAY + grid_hours % HOURS_PER_DAY)


def _outliers(stamps: Timestamps, consumption: Values, hour_of_week: Hours) -> list[Outlier]:
    """Return all outliers, the farthest first."""
    deviation = deviations(consumption, hour_of_week)
    far = np.flatnonzero(deviation.distance > OUTLIER_DISTANCE)
    return [
        Outlier(
            timestamp=to_datetime(stamps[hour]),
            value=float(consumption[hour]),
            usual=float(deviation.usual[hour]),
            distance=round(float(deviation.distance[hour]), 1),
        )
        for hour in far[np.argsort(-deviation.distance[far], kind="stable")]
    ]


def _level_shift(grid: LocalGrid, scale: float) -> LevelShift | None:
    days = by_day(grid.consumption)
    known = np.isfinite(days).sum(axis=1)
    daily = np.where(
        known >= _DAY_NEEDS_HOURS, np.nansum(days, axis=1) / np.maximum(known, 1), np.nan
    )
    step = largest_step(daily, scale)
    if step is None:
        return None
    return LevelShift(
        day=_local_day(grid, step.day),
        before=step.before,
        after=step.after,
        size=round(abs(step.after - step.before) / scale, 2),
    )


def _clock_jumps(grid: LocalGrid, scale: float) -> list[ClockJump]:
    profiles = by_day(grid.consumption)
    weekday = grid.weekday[: profiles.size : HOURS_PER_DAY]
    jumps = clock_jumps(profiles, weekday < _WORKING_DAYS, scale)
    return [
        ClockJump(day=_local_day(grid, jump.day), shift_hours=jump.shift_hours) for jump in jumps
    ]


def _clock_change_days(grid: LocalGrid, grid_hours: Hours) -> list[date]:
    """Return the days on which the next hour of UTC is not the next one on the wall."""
    changed = np.flatnonzero(grid_hours[1:] - grid_hours[:-1] != 1) + 1
    return [_local_day(grid, hour // HOURS_PER_DAY) for hour in grid_hours[changed].tolist()]


def _local_day(grid: LocalGrid, day: int) -> date:
    local: date = (grid.start.astype("datetime64[D]") + day).item()
    return local
