# ruff: noqa: ARG002 - a source takes what the protocol says
"""A history is read in counted pieces; a piece that comes short is never taken."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest

from energy_forecasting.domain.aggregation import to_hourly
from energy_forecasting.domain.errors import ConnectionFailed
from energy_forecasting.domain.meters import Meter, ReadingKind
from energy_forecasting.domain.readings import History
from energy_forecasting.meters.influx import http, source
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.history_reader import HistoryReader
from energy_forecasting.meters.influx.layout import Layout, MeterGroup, Place
from energy_forecasting.meters.influx.source import HourSums, Series, WindowCounts, no_series
from energy_forecasting.meters.spans import Span

METER = Meter(meter_type="electricity", meter_id="office")
WEEK_S = 7 * 86_400
YEAR_MINUTES = 365 * 1440
START = np.datetime64("2024-01-01T00:00:00", "s")
LAST_WEEKS = int((START + YEAR_MINUTES * 60 - 42 * 86_400).astype(np.int64))


def readings(count: int, step_s: int) -> History:
    random = np.random.default_rng(1)
    return History(
        timestamps=START + np.arange(count) * step_s,
        consumption=random.gamma(2.0, 1.0, count),
        temperature=np.repeat(random.normal(10, 5, -(-count // 60)), 60)[:count],
    )


class HeldInMemory:
    """An InfluxDB of one series; ``withheld`` answers of readings come a row short."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.withheld = 0
        self.deleted_after_count = 0
        self.most_rows = 0
        self.rows = 0

    def version(self, deadline: Deadline) -> str:
        raise NotImplementedError

    def probe(self, place: Place, deadline: Deadline) -> None:
        raise NotImplementedError

    def newest(
        self, group: MeterGroup, deadline: Deadline
    ) -> Iterator[tuple[str | None, str, np.datetime64]]:
        raise NotImplementedError

    def count(self, place: Place, field: str, deadline: Deadline) -> int:
        raise NotImplementedError

    def values(self, place: Place, field: str, span: Span, deadline: Deadline) -> Series:
        raise NotImplementedError

    def hour_means(self, place: Place, field: str, span: Span, deadline: Deadline) -> Series:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def edge(
        self,
        place: Place,
        field: str,
        span: Span,
        edge: Literal["first", "last"],
        deadline: Deadline,
    ) -> np.datetime64 | None:
        found = self._inside(span).timestamps
        return found[0 if edge == "first" else -1] if len(found) else None

    def window_counts(
        self, place: Place, field: str, span: Span, deadline: Deadline
    ) -> WindowCounts:
        assert not span.is_empty, "InfluxDB refuses to look into an empty range"
        at = self._inside(span).timestamps.astype(np.int64)
        starts, counts = np.unique(at // WEEK_S * WEEK_S, return_counts=True)
        return WindowCounts(
            starts=np.maximum(starts, span.start or 0).astype("datetime64[s]"),
            counts=counts.astype(np.int64),
        )

    def readings(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> tuple[Series, Series]:
        if self.deleted_after_count:
            self.history = self.history.before(self.history.last)
            self.deleted_after_count -= 1
        found = self._inside(span)
        end = len(found) - 1 if self.withheld else len(found)
        self.withheld = max(self.withheld - 1, 0)
        self.most_rows = max(self.most_rows, end)
        self.rows += end
        times = found.timestamps[:end]
        return (
            Series(times=times, values=found.consumption[:end]),
            Series(times=times, values=found.temperature[:end]) if fields[1] else no_series(),
        )

    def hour_sums(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> HourSums:
        found = self._inside(span)
        hours, at = np.unique(found.timestamps.astype("datetime64[h]"), return_inverse=True)
        counts = np.bincount(at)
        self.rows += len(hours)
        return HourSums(
            hours=hours.astype("datetime64[s]"),
            sums=np.bincount(at, weights=found.consumption).astype(np.float64),
            counts=counts.astype(np.int64),
            temperature=np.bincount(at, weights=found.temperature) / counts,
        )

    def _inside(self, span: Span) -> History:
        at = self.history.timestamps.astype(np.int64)
        inside = (at >= (span.start or 0)) & (at < (span.end or 2**62))
        return History(
            timestamps=self.history.timestamps[inside],
            consumption=self.history.consumption[inside],
            temperature=self.history.temperature[inside],
        )


def reader(held: HeldInMemory, **changes: object) -> HistoryReader:
    values = {"url": "http://localhost:8086", "database": "energy", **changes}
    config = InfluxConfig.model_validate(values)
    as_source: source.InfluxSource = held
    return HistoryReader(
        source=as_source,
        http=http.InfluxHttp(config),
        place=Layout(config).of(METER),
        deadline=Deadline(20.0),
    )


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_FIRST_WAIT_S", 0.001)


def test_ten_years_of_quarter_hours_come_whole_and_in_bounded_pieces() -> None:
    # Given
    held = HeldInMemory(readings(350_400, 900))
    # When
    history = reader(held).read(Span(), None)
    # Then
    np.testing.assert_array_equal(history.timestamps, held.history.timestamps)
    np.testing.assert_array_equal(history.consumption, held.history.consumption)
    np.testing.assert_array_equal(history.temperature, held.history.temperature)
    assert held.most_rows <= 100_000


def test_a_piece_that_comes_short_is_asked_for_again() -> None:
    held = HeldInMemory(readings(1000, 3600))
    held.withheld = 2
    assert len(reader(held).read(Span(), None)) == 1000


def test_a_piece_that_stays_short_is_an_error_and_no_history() -> None:
    held = HeldInMemory(readings(1000, 3600))
    held.withheld = 3
    with pytest.raises(ConnectionFailed, match="999 of 1000"):
        reader(held).read(Span(), None)


def test_readings_deleted_meanwhile_are_no_fault() -> None:
    held = HeldInMemory(readings(1000, 3600))
    held.deleted_after_count = 1
    assert len(reader(held).read(Span(), None)) == 999


def test_an_empty_span_is_an_empty_history() -> None:
    held = HeldInMemory(readings(10, 3600))
    assert not len(reader(held).read(Span(start=0, end=100), None))
    assert not len(reader(HeldInMemory(held.history.before(held.history.first))).read(Span(), None))


def test_a_year_of_minutes_comes_as_hours_but_for_the_last_weeks() -> None:
    # Given
    held = HeldInMemory(readings(YEAR_MINUTES, 60))
    # When
    history = reader(held).read(Span(), LAST_WEEKS)
    # Then
    assert len(history) == 42 * 1440 + 323 * 24
    assert held.rows == len(history)
    expected = to_hourly(held.history, ReadingKind.INTERVAL)
    hourly = to_hourly(history, ReadingKind.INTERVAL)
    np.testing.assert_array_equal(hourly.timestamps, expected.timestamps)
    np.testing.assert_allclose(hourly.consumption, expected.consumption, rtol=1e-9)
    np.testing.assert_allclose(hourly.temperature, expected.temperature, atol=1e-9)


def test_a_register_comes_as_it_was_read() -> None:
    held = HeldInMemory(readings(60 * 1440, 60))
    history = reader(held, reading_kind="cumulative").read(Span(), LAST_WEEKS)
    assert len(history) == 60 * 1440


def test_hours_of_a_meter_that_was_read_less_often_come_as_they_were_read() -> None:
    # Given: quarter-hours for half a year, then minutes
    quarter_hours, minutes = readings(182 * 96, 900), readings(90 * 1440, 60)
    later = minutes.timestamps + (quarter_hours.timestamps[-1] - START) + np.timedelta64(900, "s")
    held = HeldInMemory(
        History(
            timestamps=np.concatenate([quarter_hours.timestamps, later]),
            consumption=np.concatenate([quarter_hours.consumption, minutes.consumption]),
            temperature=np.concatenate([quarter_hours.temperature, minutes.temperature]),
        )
    )
    border = int(later[-42 * 1440].astype(np.int64))
    # When
    history = reader(held).read(Span(), border)
    # Then
    expected = to_hourly(held.history, ReadingKind.INTERVAL)
    hourly = to_hourly(history, ReadingKind.INTERVAL)
    np.testing.assert_array_equal(hourly.timestamps, expected.timestamps)
    np.testing.assert_allclose(hourly.consumption, expected.consumption, rtol=1e-9)


@pytest.mark.parametrize("border", [-(2**60), 0, 2**60])
def test_a_border_outside_of_the_span_does_no_harm(border: int) -> None:
    held = HeldInMemory(readings(1000, 3600))
    assert len(reader(held).read(Span(), border)) == 1000
