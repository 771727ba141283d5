"""How bad a history may be: each limit refuses, says so, and the report agrees."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from energy_forecasting.domain.errors import DataQualityError
from energy_forecasting.domain.meters import MeterProfile
from energy_forecasting.domain.quality import FindingCode, QualityLimits, Verdict
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.quality.report import Examination, examine

HistoryFactory = Callable[..., History]
PROFILE = MeterProfile(unit="kWh")
NO_LIMITS = QualityLimits(missing_share=None, flat_share=None)


def ill(make_history: HistoryFactory) -> History:
    """Return a hundred days with a gap of five, a day of flat values, outliers and feed-in."""
    history = make_history(days=100)
    consumption = history.consumption + 2.0
    consumption[24 * 40 : 24 * 45] = np.nan
    consumption[24 * 50 : 24 * 60] = 4.0
    consumption[24 * 70 : 24 * 70 + 30] = 400.0
    consumption[24 * 80 : 24 * 80 + 40] = -1.0
    return replace(history, consumption=consumption)


def refusal(examination: Examination) -> DataQualityError:
    assert isinstance(examination.objection, DataQualityError)
    return examination.objection


@pytest.mark.parametrize(
    ("limits", "problem", "found", "setting"),
    [
        (QualityLimits(missing_share=0.04), "mostly_missing", 0.05, "QUALITY_MAX_MISSING_SHARE"),
        (QualityLimits(gap_days=4.5), "long_gap", 5.0, "QUALITY_MAX_GAP_DAYS"),
        (QualityLimits(flat_share=0.1), "flat", 0.13, "QUALITY_MAX_FLAT_SHARE"),
        (QualityLimits(outlier_share=0.01), "outliers", 0.013, "QUALITY_MAX_OUTLIER_SHARE"),
        (QualityLimits(negative_share=0.01), "negative", 0.0175, "QUALITY_MAX_NEGATIVE_SHARE"),
    ],
)
def test_a_history_beyond_a_limit_is_refused_with_the_report(
    make_history: HistoryFactory,
    limits: QualityLimits,
    problem: str,
    found: float,
    setting: str,
) -> None:
    examination = examine(ill(make_history), PROFILE, limits=limits)

    error = refusal(examination)
    assert error.details["problem"] == problem
    assert error.details["found"] == pytest.approx(found, abs=0.01)
    assert setting in error.message
    report = examination.report
    assert error.details["quality"] == report.model_dump(mode="json")
    assert report.verdict is Verdict.UNUSABLE
    assert report.verdict_reason == error.message
    assert report.findings[0].code is FindingCode.DATA_QUALITY_ERROR


@pytest.mark.parametrize(
    "limits",
    [
        QualityLimits(),
        NO_LIMITS,
        QualityLimits(
            missing_share=0.06,
            gap_days=5,
            flat_share=0.2,
            outlier_share=0.02,
            negative_share=0.02,
        ),
    ],
)
def test_a_history_within_the_limits_is_not_refused(
    make_history: HistoryFactory, limits: QualityLimits
) -> None:
    examination = examine(ill(make_history), PROFILE, limits=limits)

    assert examination.objection is None
    assert examination.report.verdict is Verdict.USABLE


def test_an_hourly_meter_that_lost_two_readings_of_three_is_refused_by_default(
    make_history: HistoryFactory,
) -> None:
    # Given an hourly meter whose readings come for eight hours a day only
    history = make_history(days=60)
    kept = np.arange(len(history)) % 24 < 8
    sparse = History(
        timestamps=history.timestamps[kept],
        consumption=history.consumption[kept],
        temperature=history.temperature[kept],
    )

    error = refusal(examine(sparse, PROFILE))

    assert error.details["problem"] == "mostly_missing"
    assert "66." in error.message
    assert examine(sparse, PROFILE, limits=NO_LIMITS).objection is None


def test_a_meter_that_moved_for_a_week_of_the_year_is_refused_as_stuck(
    make_history: HistoryFactory,
) -> None:
    history = make_history(days=365)
    consumption = np.full(len(history), 5.0)
    consumption[4000:4100] = history.consumption[4000:4100]

    error = refusal(examine(replace(history, consumption=consumption), PROFILE))

    assert error.details["problem"] == "flat"


def test_a_meter_that_rested_nearly_always_is_not_refused(make_history: HistoryFactory) -> None:
    history = make_history(days=365)
    consumption = np.zeros(len(history))
    consumption[[1000, 3000, 5000]] = 10.0

    examination = examine(replace(history, consumption=consumption), PROFILE)

    assert examination.objection is None
    assert examination.report.intermittent
