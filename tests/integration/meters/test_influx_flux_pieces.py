"""The Flux store reads a long history in pieces, and no fault in one of them makes it short."""

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DeadlineExceeded,
    EnergyForecastingError,
    InvalidRequest,
)
from energy_forecasting.meters.influx import history_reader
from energy_forecasting.meters.influx.chunks import chunks
from tests.integration.meters.conftest import InfluxStore, influx_config
from tests.integration.meters.flux_store import (
    METER,
    MIDNIGHT,
    assert_same,
    at_most,
    readings,
    span_of,
    store_of,
    values_of,
)
from tests.integration.meters.influx_double import InfluxDouble, nanoseconds
from tests.integration.meters.influx_refusal import Refusal

pytestmark = pytest.mark.usefixtures("short_waits")

WEEKS = readings(24 * 24)
BROKEN = Refusal(500, "internal error", "panic")
REVOKED = Refusal(401, "unauthorized", "unauthorized access")
GONE = Refusal(404, "not found", "could not find bucket")
BUSY = Refusal(429, "too many requests", "later", {"Retry-After": "0"})


def beset(double: InfluxDouble, afflicts: Callable[[str], bool], **trouble: object) -> None:
    """Let some queries of the double go wrong."""
    double.afflicts = afflicts
    for what, value in trouble.items():
        setattr(double, what, deque(value) if isinstance(value, list) else value)


class TestPieces:
    """A history of three weeks that is read in pieces of one window each."""

    @pytest.fixture(autouse=True)
    def small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(history_reader, "chunks", partial(chunks, most=200))

    def second(self, field: str = "consumption") -> Callable[[str], bool]:
        """Tell which queries ask for the values of the second piece."""
        asks, stop = values_of(field), "stop: 2024-03-14T00:00:00Z"
        return lambda flux: asks(flux) and stop in flux

    def test_pieces_together_are_the_whole(self, influx: InfluxStore) -> None:
        # Given
        influx.holds(METER, WEEKS)
        # When
        history = influx.store.read_history(METER)
        # Then: cut at Thursdays, and the first piece at the first reading
        assert_same(history, WEEKS)
        spans = [span_of(flux) for flux in influx.double.queries if values_of("consumption")(flux)]
        assert spans == [
            ("2024-03-01T00:00:00Z", "2024-03-07T00:00:00Z"),
            ("2024-03-07T00:00:00Z", "2024-03-14T00:00:00Z"),
            ("2024-03-14T00:00:00Z", "2024-03-21T00:00:00Z"),
            ("2024-03-21T00:00:00Z", "2024-03-24T23:00:01Z"),
        ]

    def test_no_reading_at_a_cut_is_lost_or_doubled(self, influx: InfluxStore) -> None:
        # Given: in the last and in the first nanosecond of two windows, and between seconds
        cut = nanoseconds(MIDNIGHT + timedelta(days=6))
        near = [cut - 10**9, cut - 1, cut, cut + 1, cut + 10**9]
        influx.holds(METER, WEEKS)
        influx.double.add_points(METER, "consumption", [(at, 1.0) for at in near], logger="near")
        # When
        history = influx.store.read_history(METER)
        # Then: of readings of the same second one is kept
        seconds = {at // 10**9 for at in near}
        assert len(history) == len(WEEKS) + len(seconds) - 1

    @pytest.mark.parametrize(
        ("trouble", "error"),
        [
            pytest.param({"refusals": [BROKEN]}, ConnectionFailed, id="500"),
            pytest.param({"refusals": [REVOKED]}, AuthenticationFailed, id="401"),
            pytest.param({"refusals": [GONE]}, InvalidRequest, id="404"),
            pytest.param({"refusals": [BUSY] * 3}, ConnectionFailed, id="429"),
            pytest.param({"cuts_left": 3}, ConnectionFailed, id="cut before"),
            pytest.param({"cut_after_bytes": 200}, ConnectionFailed, id="cut midway"),
            pytest.param({"error_after_tables": "shard 7"}, ConnectionFailed, id="error table"),
            pytest.param({"raw_answer": b"<html>\n"}, ConnectionFailed, id="proxy's page"),
            pytest.param({"raw_answer": b"\r\n"}, EnergyForecastingError, id="empty"),
            pytest.param({"rows_lost": 1}, EnergyForecastingError, id="a row short"),
            pytest.param({"delay_s": 10}, DeadlineExceeded, id="silent"),
            pytest.param({"chunk_delay_s": 0.2}, DeadlineExceeded, id="dripping"),
        ],
    )
    @pytest.mark.parametrize("field", ["consumption", "temperature"])
    def test_a_fault_in_the_second_piece_is_never_a_short_history(
        self,
        double: InfluxDouble,
        field: str,
        trouble: dict[str, object],
        error: type[EnergyForecastingError],
    ) -> None:
        # Given
        double.add_history(METER, WEEKS)
        double.chunk_bytes = 100
        beset(double, self.second(field), **trouble)
        config = influx_config(double, timeout_s=1)
        # When, Then
        with at_most(5), store_of(config) as store, pytest.raises(error):
            store.read_history(METER)

    @pytest.mark.parametrize(
        "trouble",
        [
            pytest.param({"refusals": [BUSY]}, id="429"),
            pytest.param({"cuts_left": 1}, id="cut before"),
            pytest.param({"cut_after_bytes": 200, "afflictions_left": 2}, id="cut midway"),
            pytest.param({"raw_answer": b"\r\n", "afflictions_left": 2}, id="empty"),
            pytest.param({"rows_lost": 3, "afflictions_left": 2}, id="three rows short"),
        ],
    )
    def test_a_fault_that_passes_leaves_no_trace(
        self, influx: InfluxStore, trouble: dict[str, object]
    ) -> None:
        # Given
        influx.holds(METER, WEEKS)
        influx.double.chunk_bytes = 100
        beset(influx.double, self.second(), **trouble)
        # When, Then
        assert_same(influx.store.read_history(METER), WEEKS)

    def test_a_reading_lost_in_the_middle_of_a_piece_is_missed(self, influx: InfluxStore) -> None:
        # Given: an answer that lacks one row, though neither the first nor the last
        influx.holds(METER, WEEKS)
        consumption = influx.double.series[0]
        points, lost = consumption.points, nanoseconds(MIDNIGHT + timedelta(days=8))

        def lossy(flux: str) -> bool:
            ill = self.second()(flux)
            consumption.points = [each for each in points if not ill or each[0] != lost]
            return False

        influx.double.afflicts = lossy
        # When, Then
        with pytest.raises(ConnectionFailed, match="167 of 168"):
            influx.store.read_history(METER)

    def test_readings_deleted_since_they_were_counted_are_no_fault(
        self, influx: InfluxStore
    ) -> None:
        # Given
        influx.holds(METER, WEEKS)
        removed = nanoseconds(MIDNIGHT + timedelta(days=8))

        def deleting(flux: str) -> bool:
            if self.second()(flux):
                for series in influx.double.series:
                    series.points = [point for point in series.points if point[0] != removed]
            return False

        influx.double.afflicts = deleting
        # When, Then
        assert len(influx.store.read_history(METER)) == len(WEEKS) - 1

    def test_readings_that_arrive_meanwhile_are_no_fault(self, influx: InfluxStore) -> None:
        # Given
        influx.holds(METER, WEEKS)
        late = [nanoseconds(MIDNIGHT + timedelta(days=24))]

        def growing(flux: str) -> bool:
            if "aggregateWindow" not in flux:
                late.append(late[-1] + 60 * 10**9)
                influx.double.add_points(METER, "consumption", [(late[-1], 1.0)])
            return False

        influx.double.afflicts = growing
        # When, Then
        assert len(influx.store.read_history(METER)) >= len(WEEKS)
