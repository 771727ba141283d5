"""What an operator will not train on: measures of a history beyond the limits that were set."""

from typing import NamedTuple

from energy_forecasting.domain.errors import DataQualityError
from energy_forecasting.domain.quality import QualityLimits, QualityMeasures
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.quality.wording import percent, share

DEFAULT_LIMITS = QualityLimits()

#: What the hours of each problem do, and the setting that limits them.
_WORDS = {
    "mostly_missing": (
        "have no usable value (readings must be hourly or finer)",
        "QUALITY_MAX_MISSING_SHARE",
    ),
    "flat": ("repeat one value for a day or longer", "QUALITY_MAX_FLAT_SHARE"),
    "outliers": ("lie far from the usual", "QUALITY_MAX_OUTLIER_SHARE"),
    "negative": ("are below zero", "QUALITY_MAX_NEGATIVE_SHARE"),
}


class _Share(NamedTuple):
    problem: str
    found: float
    allowed: float | None


def beyond_limits(measures: QualityMeasures, limits: QualityLimits) -> DataQualityError | None:
    """Return the first limit that a history breaks as a training's refusal, else None.

    ``problem`` says which, ``found`` and ``allowed`` are in the unit of the limit.
    """
    usable = round(measures.days * HOURS_PER_DAY) - measures.missing_hours
    outlier_share = share(measures.outlier_hours, usable)
    shares = (
        _Share("mostly_missing", measures.missing_share, limits.missing_share),
        _Share("flat", measures.flat.share, limits.flat_share),
        _Share("outliers", outlier_share, limits.outlier_share),
        _Share("negative", measures.negative_share, limits.negative_share),
    )
    for problem, found, allowed in shares:
        if allowed is not None and found > allowed:
            what, setting = _WORDS[problem]
            return DataQualityError(
                f"{percent(found)} of the hours {what}; at most {percent(allowed)} may "
                f"({setting}).",
                problem=problem,
                found=found,
                allowed=allowed,
            )
    gap_days = measures.longest_gap.hours / HOURS_PER_DAY if measures.longest_gap else 0.0
    if limits.gap_days is not None and gap_days > limits.gap_days:
        return DataQualityError(
            f"The longest gap lasts {gap_days:.1f} days; at most {limits.gap_days:g} days in a row "
            "may be missing (QUALITY_MAX_GAP_DAYS).",
            problem="long_gap",
            found=round(gap_days, 2),
            allowed=limits.gap_days,
        )
    return None
