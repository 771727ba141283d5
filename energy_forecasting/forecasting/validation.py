"""Deciding, before any training, whether a history can teach anything at all.

Cheap and without TensorFlow: it runs in the worker, ahead of the trainer process. How bad a
history may be beyond that is for the operator to limit: ``quality/limits.py``.
"""

from dataclasses import dataclass

import numpy as np

from energy_forecasting.domain.errors import DataQualityError, InsufficientData
from energy_forecasting.domain.meters import MeterProfile
from energy_forecasting.domain.readings import HOUR, History
from energy_forecasting.forecasting.recipe import NETWORK_NEEDS_DAYS, YOUNG_NEEDS_DAYS

_HOURS_PER_DAY = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class HistorySummary:
    """What a history offers to a training."""

    days: float  #: from the first to the end of the last usable hour
    readings: int  #: hours with a usable value
    missing_share: float  #: share of the hours in between without one, 0 to 1
    has_temperature: bool
    enough_for_network: bool  #: else the pooled regression serves


def validate_history(history: History, profile: MeterProfile) -> HistorySummary:
    """Check a history of hourly readings (see ``domain.aggregation.to_hourly``).

    Args:
        history: hourly readings in UTC; NaN where unusable.
        profile: the meter's unit, for the sentence of an error.

    Raises:
        InsufficientData: less than two days; ``have_days`` and ``need_days``.
        DataQualityError: infinite, not on whole hours or constant; ``problem`` says which.
    """
    _check_form(history)
    known = np.flatnonzero(np.isfinite(history.consumption))
    if not len(known):
        raise InsufficientData(
            "The history holds no usable reading; at least "
            f"{YOUNG_NEEDS_DAYS} days of hourly readings are needed.",
            have_days=0.0,
            need_days=YOUNG_NEEDS_DAYS,
        )
    first, last = history.timestamps[known[0]], history.timestamps[known[-1]]
    hours = int((last - first) / HOUR) + 1
    days = hours / _HOURS_PER_DAY
    if days < YOUNG_NEEDS_DAYS:
        raise InsufficientData(
            f"The history holds {days:.1f} days of readings; at least {YOUNG_NEEDS_DAYS} days "
            f"are needed, and {NETWORK_NEEDS_DAYS} for the full model. "
            "Train again when more has been collected.",
            have_days=round(days, 2),
            need_days=YOUNG_NEEDS_DAYS,
        )
    missing_share = 1.0 - len(known) / hours
    values = history.consumption[known]
    if np.ptp(values) == 0:
        raise DataQualityError(
            f"All {len(known)} readings have the same value, {values[0]:g} {profile.unit}".rstrip()
            + "; a constant meter cannot be learnt. Check the meter or its connection.",
            problem="constant",
            value=float(values[0]),
            readings=len(known),
        )
    return HistorySummary(
        days=days,
        readings=len(known),
        missing_share=missing_share,
        has_temperature=history.has_temperature,
        enough_for_network=days >= NETWORK_NEEDS_DAYS,
    )


def _check_form(history: History) -> None:
    infinite = int(np.isinf(history.consumption).sum())
    if infinite:
        raise DataQualityError(
            f"{infinite} readings are infinite; correct or remove them.",
            problem="non_finite",
            readings=infinite,
        )
    off_hour = int(np.count_nonzero(history.timestamps.astype("datetime64[s]").astype(int) % 3600))
    if off_hour:
        raise DataQualityError(
            f"{off_hour} readings are not on a whole hour; bring the history onto hours first.",
            problem="not_hourly",
            readings=off_hour,
        )
