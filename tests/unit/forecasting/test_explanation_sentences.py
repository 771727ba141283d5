"""Plain sentences from an explanation's numbers."""

from dataclasses import replace
from datetime import date

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.forecasting.explaining.circumstances import Circumstances
from energy_forecasting.forecasting.explaining.explanation_sentences import describe_network

Values = npt.NDArray[np.float64]

#: Wednesday 1 May, a holiday, and Thursday 2 May.
ABOUT = Circumstances(
    days=np.repeat(np.array(["2024-05-01", "2024-05-02"], dtype="datetime64[D]"), 24),
    holiday=np.repeat([True, False], 24),
    past_holidays=(date(2024, 4, 25),),
    last_hours=0.2,
    last_day=None,
    last_week=-0.05,
    warmer=-3.0,
)
NO_HOLIDAY = replace(ABOUT, holiday=np.zeros(48, dtype=bool), past_holidays=())


def two_days(first: float, second: float) -> Values:
    return np.repeat([first, second], 24)


def said(about: Circumstances, usual: float = 100.0, **parts: Values) -> tuple[str, ...]:
    names = ("hour_of_week", "last_weeks", "last_days", "recent_level", "last_hours", "holidays")
    nothing = {name: np.zeros(48) for name in names}
    start = {"usual_week": np.full(48, usual)}
    return describe_network({**start, **nothing, **parts}, about, unit="kWh", scale=10.0)


def test_a_forecast_of_the_usual_week_says_only_that() -> None:
    (sentence,) = said(ABOUT, temperature=np.full(48, 0.02))

    assert sentence == (
        "The forecast averages 100 kWh, as high as the usual week "
        "(100 kWh, the mean of the last four weeks)."
    )


def test_causes_are_told_strongest_first_and_negligible_ones_not() -> None:
    first, second, third = said(
        ABOUT, last_days=two_days(-2, -2), temperature=two_days(4, 4), hour_of_week=two_days(0.8, 0)
    )

    assert first.startswith("The forecast averages 102 kWh, 2.4 % above the usual week")
    assert second == (
        "It will be 3.0 degrees colder than in the last four weeks: "
        "this raises the forecast by 4.00 kWh (4.1 %) on average."
    )
    assert third == (
        "The last seven days were 5.0 % below the usual week: "
        "this lowers the forecast by 2.00 kWh (1.9 %) on average."
    )


def test_a_holiday_is_judged_by_its_own_hours_and_past_ones_by_the_others() -> None:
    _, ahead, past = said(ABOUT, holidays=two_days(-20, 3))

    assert ahead == (
        "Wednesday 1 May is a public holiday: "
        "this lowers the forecast of those hours by 20.0 kWh (20.0 %) on average."
    )
    assert past == (
        "The last four weeks hold a public holiday, Thursday 25 April: "
        "allowing for that raises the forecast by 3.00 kWh (3.0 %) on average."
    )


def test_effects_that_cancel_out_over_the_days_are_still_told() -> None:
    sentences = said(NO_HOLIDAY, temperature=two_days(6, -5))

    assert sentences[1] == (
        "It will be 3.0 degrees colder than in the last four weeks: this moves the forecast from "
        "day to day by 5.50 kWh, up or down, most on Wednesday 1 May (+6.00 kWh)."
    )


def test_a_few_hours_of_a_day_do_not_stand_out_as_a_day() -> None:
    days = np.repeat(np.array(["2024-05-01", "2024-05-02"], dtype="datetime64[D]"), [47, 1])
    effect = np.full(48, 2.0)
    effect[-1] = 50.0

    sentences = said(replace(NO_HOLIDAY, days=days), temperature=effect)

    assert "2 May" not in sentences[1]


def test_the_last_hours_are_named_where_they_matter_most() -> None:
    sentences = said(NO_HOLIDAY, last_hours=two_days(5, 2), last_days=two_days(1, 1))

    assert sentences[1].startswith("The last six hours were 20.0 % above the usual week: this")


def test_what_was_not_measured_is_not_stated() -> None:
    unknown = replace(NO_HOLIDAY, last_week=None, warmer=None)

    sentences = said(unknown, last_days=two_days(3, 3), temperature=two_days(2, 2))

    assert sentences[1].startswith("What was read lately: this raises")
    assert sentences[2].startswith("The temperature of the hours ahead: this raises")


@pytest.mark.parametrize("usual", [0.0, -5.0])
def test_no_share_is_stated_of_nothing(usual: float) -> None:
    sentences = said(NO_HOLIDAY, usual=usual, temperature=two_days(2, 2))

    assert not any("%" in sentence for sentence in sentences)
    assert "this raises the forecast by 2.00 kWh on average" in sentences[1]


def test_at_most_four_sentences_are_said() -> None:
    strong = two_days(9, 9)

    sentences = said(
        ABOUT, hour_of_week=strong, last_days=strong, temperature=strong, holidays=strong
    )

    assert len(sentences) == 4
