"""What a history must offer before a training starts."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from energy_forecasting.domain.errors import DataQualityError, InsufficientData
from energy_forecasting.domain.meters import MeterProfile
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.validation import validate_history

HistoryFactory = Callable[..., History]
PROFILE = MeterProfile(unit="kWh")


def test_a_good_history_is_summed_up(make_history: HistoryFactory) -> None:
    summary = validate_history(make_history(days=224), PROFILE)
    assert summary.days == 224
    assert summary.readings == 224 * 24
    assert summary.missing_share == 0
    assert summary.has_temperature
    assert summary.enough_for_network


def test_ten_weeks_are_too_few_for_the_network(make_history: HistoryFactory) -> None:
    assert not validate_history(make_history(days=70), PROFILE).enough_for_network


def test_one_day_is_too_little_and_the_error_says_how_many_are_needed(
    make_history: HistoryFactory,
) -> None:
    with pytest.raises(InsufficientData, match=r"1\.0 days .* 2 days") as caught:
        validate_history(make_history(days=1), PROFILE)
    assert caught.value.details == {"have_days": 1.0, "need_days": 2}


def test_two_days_suffice(make_history: HistoryFactory) -> None:
    assert validate_history(make_history(days=2), PROFILE).readings == 48


def test_unusable_readings_do_not_count_as_history(make_history: HistoryFactory) -> None:
    # Given sixty days of which only the last is usable
    history = make_history(days=60)
    consumption = history.consumption.copy()
    consumption[: 59 * 24] = np.nan
    # Then
    with pytest.raises(InsufficientData) as caught:
        validate_history(replace(history, consumption=consumption), PROFILE)
    assert caught.value.details["have_days"] == 1.0


@pytest.mark.parametrize("days", [0, 60])
def test_no_usable_reading_at_all_is_insufficient(make_history: HistoryFactory, days: int) -> None:
    history = make_history(days=days)
    with pytest.raises(InsufficientData):
        validate_history(replace(history, consumption=np.full(len(history), np.nan)), PROFILE)


def test_a_constant_meter_cannot_be_learnt(make_history: HistoryFactory) -> None:
    history = make_history(days=60)
    with pytest.raises(DataQualityError, match="same value, 5 kWh;") as caught:
        validate_history(replace(history, consumption=np.full(len(history), 5.0)), PROFILE)
    assert caught.value.details["problem"] == "constant"


def test_an_infinite_reading_is_an_error(make_history: HistoryFactory) -> None:
    history = make_history(days=60)
    consumption = history.consumption.copy()
    consumption[7] = np.inf
    with pytest.raises(DataQualityError) as caught:
        validate_history(replace(history, consumption=consumption), PROFILE)
    assert caught.value.details["problem"] == "non_finite"


def test_quarter_hours_must_be_brought_onto_hours_first(make_history: HistoryFactory) -> None:
    history = make_history(days=60)
    shifted = replace(history, timestamps=history.timestamps + np.timedelta64(900, "s"))
    with pytest.raises(DataQualityError) as caught:
        validate_history(shifted, PROFILE)
    assert caught.value.details["problem"] == "not_hourly"
