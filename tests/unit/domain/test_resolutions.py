"""Which step readings have, and whether it is the declared one."""

from datetime import timedelta

import numpy as np
import pytest

from energy_forecasting.domain.errors import DataQualityError, InvalidRequest
from energy_forecasting.domain.meters import MeterProfile
from energy_forecasting.domain.readings import Timestamps
from energy_forecasting.domain.resolutions import (
    SUPPORTED_MINUTES,
    checked_resolution,
    found_resolution,
)


def stamps(minutes: float, days: int = 40) -> Timestamps:
    seconds = np.arange(0, days * 86_400, round(minutes * 60))
    return (np.datetime64("2024-03-04", "s") + seconds).astype("datetime64[s]")


@pytest.mark.parametrize("minutes", SUPPORTED_MINUTES)
def test_every_step_is_found_whatever_is_missing(minutes: int) -> None:
    # Given a third of the readings missing at random
    all_of_them = stamps(minutes)
    kept = np.random.default_rng(minutes).random(len(all_of_them)) > 1 / 3
    # Then
    assert found_resolution(all_of_them) == timedelta(minutes=minutes)
    assert found_resolution(all_of_them[kept]) == timedelta(minutes=minutes)


def test_seconds_of_jitter_do_not_matter() -> None:
    quarters = stamps(15)
    late = np.random.default_rng(0).integers(0, 25, len(quarters)) * np.timedelta64(1, "s")
    assert found_resolution(quarters + late) == timedelta(minutes=15)


def test_a_meter_that_changed_its_step_has_the_one_of_now() -> None:
    year = stamps(60, days=365)
    month = year[-1] + np.timedelta64(1, "h") + (stamps(15, days=30) - stamps(15)[0])
    assert found_resolution(np.concatenate([year, month])) == timedelta(minutes=15)


def test_events_have_no_step() -> None:
    seconds = np.cumsum(np.random.default_rng(0).exponential(2000, 1000)).astype(int)
    events = np.datetime64("2024-01-01", "s") + np.unique(seconds)
    assert found_resolution(events.astype("datetime64[s]")) is None
    assert checked_resolution(stamps(60)[:1], None) is None


def test_a_declared_step_that_is_not_found_is_refused_with_both_named() -> None:
    assert checked_resolution(stamps(15), timedelta(minutes=15)) == timedelta(minutes=15)
    with pytest.raises(DataQualityError, match=r"every 15 minutes, .* every 60 minutes") as caught:
        checked_resolution(stamps(60), timedelta(minutes=15))
    assert caught.value.details == {
        "problem": "resolution_differs",
        "declared_minutes": 15,
        "found_minutes": 60,
    }


@pytest.mark.parametrize("minutes", [90, 5 * 60, 7 * 1440])
def test_a_long_step_that_does_not_divide_a_day_is_refused(minutes: int) -> None:
    with pytest.raises(DataQualityError) as caught:
        checked_resolution(stamps(minutes, days=300), None)
    assert caught.value.details["problem"] == "resolution_unsupported"


@pytest.mark.parametrize("minutes", [1, 7, 45, 300, 2880])
def test_a_step_that_cannot_be_used_cannot_be_declared(minutes: int) -> None:
    with pytest.raises(InvalidRequest, match="5, 10, 12, 15") as caught:
        MeterProfile(resolution=timedelta(minutes=minutes))
    assert caught.value.details["field"] == "resolution"
