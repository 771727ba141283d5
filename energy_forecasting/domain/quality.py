"""The data report: what a meter's history holds, what is wrong with it, what training repairs.

It describes readings, it does not judge the building: a season, a closed school and a broken
sensor can look alike, so every finding is a reason to look and none is a proof.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityLimits:
    """How bad a history may be and still be trained on; None means no limit.

    The defaults refuse only what nothing can be learnt from. What is odd but honest, such as a
    solar plant's negative values or a school's closed summer, is for the operator to judge.
    """

    #: Share of the hours between first and last that may be missing. With less than half of the
    #: hours known, most inputs would be guesses.
    missing_share: float | None = 0.5
    gap_days: float | None = None  #: longest run of missing hours, in days
    #: Share of the usable hours in runs of one unchanged value, other than zero, of a day or
    #: longer. A meter that moves in one week of the year is stuck.
    flat_share: float | None = 0.98
    outlier_share: float | None = None  #: share of the usable hours that are outliers
    negative_share: float | None = None  #: share of the usable hours below zero


class Severity(StrEnum):
    """How much a finding costs the forecasts."""

    SERIOUS = "serious"  #: forecasts will be poor, or none are possible, until it is mended
    WARNING = "warning"  #: look at it; forecasts bear it
    INFO = "info"  #: worth knowing


class FindingCode(StrEnum):
    """What was found; the codes are stable, the sentences are not."""

    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"  #: a training refuses: too little history
    DATA_QUALITY_ERROR = "DATA_QUALITY_ERROR"  #: a training refuses: nothing can be learnt
    SHORT_HISTORY = "SHORT_HISTORY"  #: too little for the network
    MISSING_HOURS = "MISSING_HOURS"
    LONG_GAP = "LONG_GAP"  #: longer than the week that fills it
    DUPLICATES = "DUPLICATES"
    LOOKS_CUMULATIVE = "LOOKS_CUMULATIVE"  #: a register that is not declared as one
    IRREGULAR_STEPS = "IRREGULAR_STEPS"  #: readings between the beats of the resolution
    NEGATIVE_VALUES = "NEGATIVE_VALUES"
    INTERMITTENT = "INTERMITTENT"  #: most hours are zero
    ZERO_HOURS = "ZERO_HOURS"  #: some hours are zero
    FLAT_RUNS = "FLAT_RUNS"  #: the same value for a day or longer
    OUTLIERS = "OUTLIERS"
    LEVEL_SHIFT = "LEVEL_SHIFT"
    CLOCK_JUMP = "CLOCK_JUMP"
    NO_TEMPERATURE = "NO_TEMPERATURE"
    PARTIAL_TEMPERATURE = "PARTIAL_TEMPERATURE"
    REPAIRS = "REPAIRS"  #: what training fills in, and how


class Verdict(StrEnum):
    """Whether one can train on the history."""

    GOOD = "good"  #: nothing above an info
    USABLE = "usable"  #: a training runs; read the findings
    UNUSABLE = "unusable"  #: a training refuses


class ReportPart(BaseModel):
    """Base of the report and its parts: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(ReportPart):
    """One thing that an analyst should know."""

    code: FindingCode = Field(description="Stable, for programs")
    severity: Severity
    message: str = Field(description="A sentence for an analyst")


class Gap(ReportPart):
    """Hours in a row without a usable reading."""

    start: datetime = Field(description="First missing hour, UTC")
    hours: int = Field(description="Length in hours")


class FlatRuns(ReportPart):
    """Runs of one unchanged value that is not zero: often a stuck meter or a copied value."""

    longest_hours: int = Field(description="Longest run in hours; 1 when every value differs")
    longest_start: datetime | None = Field(description="Its first hour, UTC; null without values")
    runs: int = Field(description="Runs of 24 hours or longer")
    share: float = Field(description="Share of the usable hours that lie in those runs, 0 to 1")


class Outlier(ReportPart):
    """An hour far from what its hour of the week usually holds."""

    timestamp: datetime = Field(description="Start of the hour, UTC")
    value: float = Field(description="Meter's unit")
    usual: float = Field(description="Median of that hour of the week, meter's unit")
    distance: float = Field(description="|value - usual| in robust standard deviations")


class LevelShift(ReportPart):
    """A lasting step of the daily level between two neighbouring four-week windows."""

    day: date
    before: float = Field(description="Median daily mean of the four weeks before, meter's unit")
    after: float = Field(description="The same of the four weeks from that day on")
    size: float = Field(description="|after - before| / mean |y(t) - y(t - 168 h)|, spikes cut")


class ClockJump(ReportPart):
    """A day from which on the working days' profile runs whole hours earlier or later."""

    day: date = Field(description="Local day, known to within a few days")
    shift_hours: int = Field(description="Hours by which the profile moves; positive means later")


class Repairs(ReportPart):
    """How training fills the missing hours among its inputs; they never serve as targets."""

    week_ago_hours: int = Field(description="Hours filled with the same hour of an earlier week")
    day_ago_hours: int = Field(description="Hours filled with the same hour of an earlier day")
    later_hours: int = Field(description="Hours without an earlier one, filled with a later one")
    interpolated_hours: int = Field(description="Hours filled on a line between their neighbours")


class QualityMeasures(ReportPart):
    """What was counted; hours run from the first to the last usable one."""

    first_reading: AwareDatetime = Field(description="UTC")
    last_reading: AwareDatetime = Field(description="UTC")
    days: float = Field(description="From the first to the end of the last usable hour, in days")
    readings: int = Field(description="Readings in the store, usable or not")
    duplicates: int | None = Field(
        description="Readings that repeated a timestamp; null when unknown, as stores keep one "
        "reading per timestamp"
    )
    resolution_s: int | None = Field(
        description="Most frequent step between readings, in seconds; null for a single reading"
    )
    irregular_step_share: float = Field(
        description="Share of the steps that differ from it, gaps included, 0 to 1"
    )
    off_beat_share: float = Field(
        description="Share of the steps that are no whole multiple of it, 0 to 1"
    )
    looks_cumulative: bool = Field(
        description="Whether the values hardly ever fall, though they are not declared cumulative"
    )
    missing_hours: int = Field(description="Hours without a usable value")
    missing_share: float = Field(description="Their share of all hours, 0 to 1")
    gaps: int = Field(description="Runs of missing hours")
    longest_gap: Gap | None
    negative_hours: int = Field(description="Hours with a value below zero")
    negative_share: float = Field(description="Their share of the usable hours, 0 to 1")
    zero_share: float = Field(description="Share of the usable hours that are zero, 0 to 1")
    intermittent: bool = Field(description="Whether most usable hours are zero")
    flat: FlatRuns
    outlier_hours: int = Field(description="Hours with an outlier")
    worst_outliers: list[Outlier] = Field(description="At most five, the farthest first")
    level_shift: LevelShift | None = Field(description="The largest; null when none is large")
    clock_jumps: list[ClockJump]
    clock_change_days: list[date] = Field(
        description="Local days of the span that have 23 or 25 hours: nothing is wrong with them"
    )
    temperature_share: float = Field(description="Share of the readings that carry one, 0 to 1")
    uses_temperature: bool = Field(description="Whether that is enough to learn from")
    repairs: Repairs


class QualityReport(QualityMeasures):
    """The measures, what they mean, and whether one can train."""

    verdict: Verdict
    verdict_reason: str = Field(description="A sentence; when unusable, what a training says")
    findings: list[Finding] = Field(description="Most serious first")
