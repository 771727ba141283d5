"""Where an answer starts and ends, in steps of any length."""

from datetime import UTC, datetime, timedelta

import pytest

from energy_forecasting.domain.cadence import Cadence
from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.serving.forecast_steps import Span, horizon_of, span_in_steps

ROME = LocalCalendar(timezone="Europe/Rome", country="IT")
DAYS = Cadence(step=timedelta(days=1), calendar=ROME)
QUARTERS = Cadence(step=timedelta(minutes=15))


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "end", "hours"),
    [
        (utc(2024, 3, 27, 23), utc(2024, 4, 3, 22), 167),
        (utc(2024, 6, 1, 22), utc(2024, 6, 8, 22), 168),
        (utc(2024, 10, 24, 22), utc(2024, 10, 31, 23), 168),  # of 169
    ],
    ids=["spring", "summer", "autumn"],
)
def test_a_week_of_days_is_seven_days_also_when_the_clocks_change(
    first: datetime, end: datetime, hours: int
) -> None:
    span = span_in_steps(None, None, DAYS, first)
    assert span == Span(start=first, end=end)
    horizon = horizon_of(span, DAYS, first)
    assert (horizon.origin, horizon.hours) == (first, hours)


@pytest.mark.parametrize(("hours", "days"), [(1, 1), (24, 1), (25, 2), (168, 7)])
def test_hours_are_rounded_up_to_whole_steps(hours: int, days: int) -> None:
    first = utc(2024, 6, 1, 22)
    assert span_in_steps(None, hours, DAYS, first).end == first + timedelta(days=days)


def test_a_week_of_quarters_ends_with_the_hours_that_the_model_reaches() -> None:
    first = utc(2024, 6, 1, 14, 30)
    span = span_in_steps(None, 168, QUARTERS, first)
    horizon = horizon_of(span, QUARTERS, first)
    assert span.end == utc(2024, 6, 8, 14)
    assert (horizon.origin, horizon.hours) == (utc(2024, 6, 1, 14), 168)
    assert span_in_steps(None, 24, QUARTERS, first).end == first + timedelta(hours=24)
