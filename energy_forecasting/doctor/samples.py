"""A close look at a few meters: what a training would read, and whether it would take it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from energy_forecasting.doctor.finding import Finding, Step, bad, care, good
from energy_forecasting.doctor.wording import ago, count, day, plain_sentence
from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.domain.meters import Meter, MeterProfile, MeterSummary, ReadingKind
from energy_forecasting.domain.quality import (
    Finding as QualityFinding,
)
from energy_forecasting.domain.quality import (
    FindingCode,
    QualityLimits,
    QualityReport,
    Severity,
)
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.resolutions import FINE_READINGS, found_resolution, in_words
from energy_forecasting.forecasting.quality.report import examine
from energy_forecasting.meters.store import MeterStore

#: Of a type: the one that was read last, and the one that was silent longest.
_PER_TYPE = 2
_MOST = 8

_STALE = timedelta(days=2)
_AHEAD = timedelta(hours=1)
_FORECAST_DAYS = 7
#: No year has such a mean of degrees Celsius outdoors; in Fahrenheit and Kelvin every year has.
_WARMEST_MEAN = 42.0
#: A register falls when it is reset, not every fifth time.
_MOST_FALLS = 0.2
_LEAST_STEPS = 24  #: fewer tell nothing of what readings are
_FIRST_YEAR = 1980
_WHERE = (
    "in the configuration of InfluxDB (under types for one type only), or in the profiles of an "
    "import"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What was seen of one meter."""

    meter: Meter
    findings: tuple[Finding, ...]
    can_train: bool = False
    right_kind: ReadingKind | None = None  #: that the values show; None when it is as declared


def choose(newest: Mapping[Meter, datetime]) -> list[Meter]:
    """Choose a few meters of each type."""
    chosen: list[Meter] = []
    for meter_type in dict.fromkeys(meter.meter_type for meter in newest):
        of_type = [meter for meter in newest if meter.meter_type == meter_type]
        by_age = sorted(of_type, key=lambda meter: newest[meter], reverse=True)
        chosen.extend(by_age[:1] + by_age[1:][-(_PER_TYPE - 1) :])
    return chosen[:_MOST]


def look_at_meter(
    store: MeterStore, meter: Meter, *, history: timedelta, limits: QualityLimits, now: datetime
) -> Sample:
    """Read what a training reads and judge it.

    Args:
        store: to read from.
        meter: the one to read.
        history: how far back a training reads.
        limits: how bad a history may be.
        now: the moment.
    """
    try:
        summary = store.describe(meter)
        last = summary.last_reading or now
        read = store.read_history(
            meter, start=last - history, whole_hours_before=last - FINE_READINGS
        )
    except EnergyForecastingError as error:
        return Sample(
            meter=meter, findings=(bad(Step.READINGS, f"{meter}: {plain_sentence(error)}"),)
        )
    examination = examine(read, summary.profile, limits=limits)
    right_kind = _right_kind(read, summary.profile, examination.report)
    findings = [_of_span(summary, read, now)]
    if right_kind is None:
        findings.append(_of_training(meter, examination.report, examination.objection))
    else:
        findings.append(_of_kind(summary, right_kind))
    findings.extend(_of_age(summary, now))
    findings.extend(_of_temperature(store, summary, read, now))
    return Sample(
        meter=meter,
        findings=tuple(findings),
        can_train=right_kind is None and examination.objection is None,
        right_kind=right_kind,
    )


def _right_kind(
    history: History, profile: MeterProfile, report: QualityReport
) -> ReadingKind | None:
    """Return what readings are when they are not what is declared; None when nobody can tell."""
    steps = np.diff(history.consumption[np.isfinite(history.consumption)])
    if len(steps) < _LEAST_STEPS or not steps.any():
        return None
    if profile.reading_kind is not ReadingKind.CUMULATIVE:
        return ReadingKind.CUMULATIVE if report.looks_cumulative else None
    return ReadingKind.INTERVAL if (steps < 0).mean() > _MOST_FALLS else None


def _of_span(summary: MeterSummary, history: History, now: datetime) -> Finding:
    readings = len(history) if summary.readings is None else summary.readings
    first = summary.first_reading or history.first
    last = summary.last_reading or history.last
    step = found_resolution(history.timestamps)
    pace = "at odd moments" if step is None else f"every {in_words(step)}"
    warm = "with" if summary.has_temperature else "without"
    return good(
        Step.READINGS,
        f"{summary.meter}: {count(readings, 'reading')} from {day(first)} to {day(last)}, "
        f"{pace}, {warm} temperature; the newest is {ago(min(last, now), now)}.",
    )


def _of_kind(summary: MeterSummary, right_kind: ReadingKind) -> Finding:
    if right_kind is ReadingKind.CUMULATIVE:
        return bad(
            Step.READINGS,
            f"{summary.meter} is declared to have {summary.profile.reading_kind} readings, but "
            "they hardly ever fall: they are those of a register.",
            f'Declare reading_kind as "cumulative" {_WHERE}.',
        )
    return bad(
        Step.READINGS,
        f"{summary.meter} is declared to be a register (cumulative), but its values fall as "
        "registers never do.",
        'Declare reading_kind as "interval" for amounts per step, or "power" for rates such as kW, '
        f"{_WHERE}.",
    )


def _of_training(
    meter: Meter, report: QualityReport, objection: EnergyForecastingError | None
) -> Finding:
    if objection is not None:
        return bad(Step.READINGS, f"{meter} cannot be trained: {plain_sentence(objection)}")
    serious = [f.message for f in report.findings if f.severity is Severity.SERIOUS]
    if serious:
        return care(Step.READINGS, f"{meter} can be trained, but poorly: {serious[0]}")
    others = [each for each in report.findings if _is_worth_saying(each)]
    remark = f" Worth knowing: {others[0].message}" if others else ""
    return good(Step.READINGS, f"{meter} can be trained.{remark}")


def _is_worth_saying(finding: QualityFinding) -> bool:
    return finding.severity is Severity.WARNING and finding.code is not FindingCode.SHORT_HISTORY


def _of_age(summary: MeterSummary, now: datetime) -> list[Finding]:
    last = summary.last_reading
    if last is None:
        return []
    if last.year < _FIRST_YEAR:
        return [
            bad(
                Step.READINGS,
                f"{summary.meter}: its readings lie in {last.year}.",
                "They were written with a wrong precision of time: seconds taken for nanoseconds "
                "lie in 1970. Write them again with the right one.",
            )
        ]
    if last > now + _AHEAD:
        return [
            care(
                Step.READINGS,
                f"{summary.meter}: its newest reading is stamped {last:%Y-%m-%d %H:%M} UTC, which "
                "lies ahead.",
                "Forecasts would begin there. Check the clock of what writes it, and that local "
                "time is not written as UTC.",
            )
        ]
    if now - last > _STALE:
        return [
            care(
                Step.READINGS,
                f"{summary.meter}: nothing was written for {ago(last, now).removesuffix(' old')}.",
                "Forecasts begin after the last reading. Check what writes the readings.",
            )
        ]
    return []


def _of_temperature(
    store: MeterStore, summary: MeterSummary, history: History, now: datetime
) -> list[Finding]:
    findings = []
    known = history.temperature[np.isfinite(history.temperature)]
    if len(known) and float(known.mean()) > _WARMEST_MEAN:
        findings.append(
            care(
                Step.TEMPERATURE,
                f"{summary.meter}: its temperatures are {known.mean():.0f} on average.",
                "They must be degrees Celsius; these look like Fahrenheit or Kelvin.",
            )
        )
    try:
        ahead = store.read_temperature_forecast(
            summary.meter, start=now, end=now + timedelta(days=_FORECAST_DAYS)
        )
    except EnergyForecastingError as error:
        return [*findings, care(Step.TEMPERATURE, plain_sentence(error))]
    if len(ahead):
        until = ahead.timestamps[-1].astype("datetime64[s]").item().replace(tzinfo=UTC)
        sentence = f"{summary.meter}: temperatures are forecast until {until:%Y-%m-%d %H:%M} UTC."
        findings.append(good(Step.TEMPERATURE, sentence))
    return findings
