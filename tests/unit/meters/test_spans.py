"""Spans of whole seconds, rounded so that no reading slips in or is lost."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.spans import Span, no_data_found

MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
SECONDS = 1_704_067_200


@pytest.mark.parametrize(("more", "seconds"), [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1)])
def test_bounds_are_rounded_up_to_a_whole_second(more: int, seconds: int) -> None:
    moment = MOMENT + timedelta(microseconds=more)
    assert Span.between(moment, moment) == Span(start=SECONDS + seconds, end=SECONDS + seconds)


def test_bounds_of_any_offset_are_the_same_moment() -> None:
    rome = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert Span.between(rome, None) == Span(start=SECONDS)


def test_the_last_moment_of_a_calendar_is_no_error() -> None:
    assert Span.between(datetime.max.replace(tzinfo=UTC), None).start is not None


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00"])
def test_a_moment_outside_the_calendar_is_refused(moment: str) -> None:
    with pytest.raises(InvalidRequest, match="outside the calendar"):
        Span.between(datetime.fromisoformat(moment), None)


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no time zone"):
        Span.between(None, datetime(2024, 1, 1))  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span(), "at any time"),
        (Span(start=0), "from 1970-01-01T00:00:00+00:00 on"),
        (Span(end=0), "before 1970-01-01T00:00:00+00:00"),
        (Span(start=0, end=60), "from 1970-01-01T00:00:00+00:00 to 1970-01-01T00:01:00+00:00"),
    ],
)
def test_a_span_reads_as_a_sentence(span: Span, text: str) -> None:
    assert str(span) == text
    meter = Meter(meter_type="gas", meter_id="g1")
    error = no_data_found(meter, span, bucket="energy")
    assert f"Meter gas/g1 has no reading {text} (bucket energy)" in error.message
    assert error.details["bucket"] == "energy"
