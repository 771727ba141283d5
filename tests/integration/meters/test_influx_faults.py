"""A real InfluxDB 1.x that is stopped, killed, paused, limited and cut off.

A history is whole or it is an error: a server that ends a query midway ends its answer in good
order, with status 200, so every such end is tried here. ``docs/influxdb-faults.md`` tells what
these tests found.
"""

import dataclasses
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from energy_forecasting.domain.errors import ConnectionFailed, DeadlineExceeded, InvalidRequest
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.meters.influx import http
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.influx_server import InfluxServer
from tests.integration.meters.conftest import RealInflux, influxql_config
from tests.integration.meters.influx_real import (
    METER,
    MIDNIGHT,
    Call,
    a_day,
    at_most,
    every_call,
    fill,
    history_of,
    is_same,
    large_history,
    special_server,
    store_of,
)
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.influxdb

#: Well inside its first answer, and well beyond the small ones before.
MIDWAY_BYTES = 500_000
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_FIRST_WAIT_S", 0.05)


@contextmanager
def reading_beside(store: InfluxMeterStore) -> Iterator[Future[History]]:
    """Read the meter's history in another thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(store.read_history, METER)


@pytest.fixture(scope="module")
def large(shared_influx_server: InfluxServer) -> Iterator[str]:
    """Yield a database with the large history."""
    shared_influx_server.start()
    shared_influx_server.create_database("large")
    fill(shared_influx_server, "large", large_history())
    yield "large"
    shared_influx_server.start()
    shared_influx_server.drop_database("large")


@dataclasses.dataclass
class Proxied:
    """The large history behind a proxy."""

    server: InfluxServer
    proxy: TcpProxy
    store: InfluxMeterStore


@pytest.fixture
def proxied(influx_server: InfluxServer, large: str) -> Iterator[Proxied]:
    with TcpProxy(influx_server.port) as proxy:
        config = influxql_config(influx_server, large, url=proxy.url, timeout_s=PATIENCE_S)
        with store_of(config) as store:
            yield Proxied(influx_server, proxy, store)


class TestTheServerIsAway:
    @every_call
    @pytest.mark.parametrize("end", [InfluxServer.stop, InfluxServer.kill], ids=["stop", "kill"])
    def test_a_server_that_has_ended_is_a_connection_error_and_the_store_recovers(
        self, influxql: RealInflux, call: Call, end: Callable[[InfluxServer], None]
    ) -> None:
        # Given: a store with open connections
        influxql.holds(METER, a_day())
        influxql.store.read_history(METER)
        # When
        end(influxql.server)
        with at_most(5), pytest.raises(ConnectionFailed, match="Connection refused") as raised:
            call(influxql.store)
        assert raised.value.retryable
        # Then
        influxql.server.start()
        call(influxql.store)
        assert is_same(influxql.store.read_history(METER), a_day())

    @every_call
    def test_a_paused_server_meets_the_deadline_and_the_store_recovers(
        self, influxql: RealInflux, call: Call
    ) -> None:
        influxql.holds(METER, a_day())
        config = influxql_config(influxql.server, influxql.database, timeout_s=0.9)
        with store_of(config) as store:
            store.read_history(METER)
            with (
                influxql.server.paused(),
                at_most(3),
                pytest.raises(DeadlineExceeded, match=r"0\.9 s"),
            ):
                call(store)
            influxql.store.check()  # a busy machine needs a moment to wake it
            call(store)
            assert is_same(store.read_history(METER), a_day())

    def test_a_check_gives_up_within_seconds_whatever_the_deadline_of_a_call(
        self, influxql: RealInflux
    ) -> None:
        config = influxql_config(influxql.server, influxql.database, timeout_s=60)
        with store_of(config) as store, influxql.server.paused(), at_most(4):  # noqa: SIM117
            with pytest.raises(DeadlineExceeded):
                store.check()

    def test_a_port_that_nobody_listens_on_is_a_connection_error(
        self, influxql: RealInflux
    ) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            config = influxql_config(
                influxql.server,
                influxql.database,
                url=f"http://127.0.0.1:{unused.getsockname()[1]}",
            )
            with at_most(5), store_of(config) as store, pytest.raises(ConnectionFailed):
                store.read_history(METER)


class TestMidwayThroughAWrite:
    @pytest.mark.parametrize("end", [InfluxServer.stop, InfluxServer.kill], ids=["stop", "kill"])
    def test_a_server_that_ends_is_an_error_and_writing_again_makes_it_whole(
        self, influxql: RealInflux, end: Callable[[InfluxServer], None]
    ) -> None:
        # Given
        def batches() -> Iterator[History]:
            yield a_day()
            end(influxql.server)
            yield history_of([5, 6, 7], start=MIDNIGHT + timedelta(days=1))

        # When
        with pytest.raises(ConnectionFailed):
            influxql.store.write_readings(METER, batches())
        influxql.server.start()
        # Then
        assert is_same(influxql.store.read_history(METER), a_day())
        assert influxql.store.write_readings(METER, batches_without_end()) == 27
        assert influxql.store.describe(METER).readings == 27

    def test_writes_of_several_threads_reach_the_server_one_after_the_other(
        self, influxql: RealInflux
    ) -> None:
        """Two at once in a new shard are what InfluxDB 1.6.7 may hide one of."""
        # Given
        days = [a_day(), history_of([7] * 24, start=MIDNIGHT + timedelta(days=1))]
        with TcpProxy(influxql.server.port) as proxy, ThreadPoolExecutor(2) as pool:
            config = influxql_config(influxql.server, influxql.database, url=proxy.url)
            with store_of(config) as store:
                # When
                with proxy.holding_after(0) as held:
                    writes = [pool.submit(store.write_readings, METER, iter([day])) for day in days]
                    assert held.wait(PATIENCE_S)
                    time.sleep(0.3)
                    meanwhile = influxql.store.describe(METER).readings
                # Then
                assert meanwhile == 24
                assert sum(write.result(PATIENCE_S) for write in writes) == 48
        assert influxql.store.describe(METER).readings == 48

    def test_what_a_retention_policy_drops_is_an_error(self, influxql: RealInflux) -> None:
        server, database = influxql.server, influxql.database
        server.ask(f'CREATE RETENTION POLICY "days" ON "{database}" DURATION 2d REPLICATION 1')
        with (
            store_of(influxql_config(server, database, retention_policy="days")) as store,
            pytest.raises(InvalidRequest, match="beyond retention policy"),
        ):
            store.write_readings(METER, iter([a_day()]))


def batches_without_end() -> Iterator[History]:
    return iter([a_day(), history_of([5, 6, 7], start=MIDNIGHT + timedelta(days=1))])


class TestMidwayThroughARead:
    def test_an_undisturbed_read_is_whole(self, proxied: Proxied) -> None:
        assert is_same(proxied.store.read_history(METER), large_history())

    @pytest.mark.parametrize("end", [InfluxServer.stop, InfluxServer.kill], ids=["stop", "kill"])
    def test_a_server_that_ends_is_an_error_and_after_its_return_the_read_is_whole(
        self, proxied: Proxied, end: Callable[[InfluxServer], None]
    ) -> None:
        # When
        with reading_beside(proxied.store) as read:
            with proxied.proxy.holding_after(MIDWAY_BYTES) as held:
                assert held.wait(PATIENCE_S)
                end(proxied.server)
            # Then
            with pytest.raises(ConnectionFailed):
                read.result(PATIENCE_S)
        proxied.server.start()
        assert is_same(proxied.store.read_history(METER), large_history())

    @pytest.mark.parametrize("end", [InfluxServer.stop, InfluxServer.kill], ids=["stop", "kill"])
    def test_a_server_that_is_back_at_once_is_asked_again_and_the_read_is_whole(
        self, proxied: Proxied, end: Callable[[InfluxServer], None]
    ) -> None:
        with reading_beside(proxied.store) as read:
            with proxied.proxy.holding_after(MIDWAY_BYTES) as held:
                assert held.wait(PATIENCE_S)
                end(proxied.server)
                proxied.server.start()
            assert is_same(read.result(PATIENCE_S), large_history())

    def test_a_server_that_pauses_meets_the_deadline(
        self, influx_server: InfluxServer, large: str
    ) -> None:
        with TcpProxy(influx_server.port) as proxy:
            config = influxql_config(influx_server, large, url=proxy.url, timeout_s=1.5)
            with store_of(config) as store, at_most(4), reading_beside(store) as read:
                with proxy.holding_after(MIDWAY_BYTES) as held:
                    assert held.wait(PATIENCE_S)
                    pause = influx_server.paused()
                    pause.__enter__()
                try:
                    with pytest.raises(DeadlineExceeded, match=r"1\.5 s"):
                        read.result(PATIENCE_S)
                finally:
                    pause.__exit__(None, None, None)

    def test_an_answer_that_drips_meets_the_deadline(
        self, influx_server: InfluxServer, large: str
    ) -> None:
        # Given: no single pause is long enough for a socket's timeout
        with TcpProxy(influx_server.port) as proxy:
            proxy.pause_s = 0.02
            config = influxql_config(influx_server, large, url=proxy.url, timeout_s=1.0)
            with (
                at_most(3),
                store_of(config) as store,
                pytest.raises(DeadlineExceeded, match="1 s"),
            ):
                store.read_history(METER)

    def test_a_query_killed_on_the_server_is_asked_again_and_the_read_is_whole(
        self, proxied: Proxied
    ) -> None:
        with reading_beside(proxied.store) as read:
            with proxied.proxy.holding_after(MIDWAY_BYTES) as held:
                assert held.wait(PATIENCE_S)
                assert kill_queries(proxied.server) == 1
            assert is_same(read.result(PATIENCE_S), large_history())

    def test_a_query_that_is_always_killed_is_an_error(self, proxied: Proxied) -> None:
        proxied.proxy.pause_s = 0.001  # else it would be over before it is found
        with reading_beside(proxied.store) as read:
            killed = 0
            while not read.done():
                killed += kill_queries(proxied.server)
                time.sleep(0.01)
            with pytest.raises(ConnectionFailed, match=r"\d+ of \d+ readings"):
                read.result()
        assert killed >= 3

    def test_a_connection_cut_once_is_mended(self, proxied: Proxied) -> None:
        proxied.proxy.cut_after_bytes = MIDWAY_BYTES
        with reading_beside(proxied.store) as read:
            assert is_same(read.result(PATIENCE_S), large_history())

    def test_a_connection_that_is_always_cut_is_an_error(self, proxied: Proxied) -> None:
        proxied.proxy.cut_after_bytes = MIDWAY_BYTES
        proxied.proxy.keeps_cutting = True
        with pytest.raises(ConnectionFailed):
            proxied.store.read_history(METER)


def kill_queries(server: InfluxServer) -> int:
    """Kill what reads rows at this moment, as an administrator would; return how many."""
    killed = 0
    (running,) = server.ask("SHOW QUERIES")
    for number, text, *_ in running["series"][0]["values"]:
        if text.startswith("SELECT consumption"):
            with suppress(AssertionError):  # it has ended meanwhile
                server.ask(f"KILL QUERY {number}")
                killed += 1
    return killed


class TestLimitsOfTheServer:
    @pytest.fixture(autouse=True)
    def one_attempt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "_ATTEMPTS", 1)

    def test_a_query_timeout_midway_is_an_error(self, influxd: str, tmp_path: Path) -> None:
        with special_server(influxd, tmp_path, limits={"query-timeout": "1s"}) as server:
            self.expect_an_error(server, ConnectionFailed, r"\d+ of \d+ readings")

    def test_a_limit_of_points_is_an_error(self, influxd: str, tmp_path: Path) -> None:
        with special_server(influxd, tmp_path, limits={"max-select-point": 1000}) as server:
            self.expect_an_error(server, ConnectionFailed, r"\d+ of \d+ readings")

    def test_a_limit_of_windows_is_an_error_that_names_it(
        self, influxd: str, tmp_path: Path
    ) -> None:
        with special_server(influxd, tmp_path, limits={"max-select-buckets": 2}) as server:
            fill(server, "meters", large_history())
            with (
                store_of(influxql_config(server, "meters")) as store,
                pytest.raises(InvalidRequest, match="max-select-buckets"),
            ):
                store.read_history(METER)

    def test_a_limit_of_windows_that_fits_the_readings_is_enough_for_an_open_span(
        self, influxd: str, tmp_path: Path
    ) -> None:
        with special_server(influxd, tmp_path, limits={"max-select-buckets": 2}) as server:
            fill(server, "meters", a_day())
            with store_of(influxql_config(server, "meters")) as store:
                assert is_same(store.read_history(METER), a_day())
                assert is_same(store.read_history(METER, start=MIDNIGHT), a_day())

    def test_a_limit_of_rows_is_told_and_does_not_touch_readings(
        self, influxd: str, tmp_path: Path
    ) -> None:
        with special_server(influxd, tmp_path, row_limit=5) as server:
            fill(server, "meters", a_day())
            others = [Meter(meter_type="water", meter_id=f"w{number}") for number in range(9)]
            with store_of(influxql_config(server, "meters")) as store:
                for other in others:
                    store.write_readings(other, iter([a_day()]))
                assert is_same(store.read_history(METER), a_day())
                with pytest.raises(ConnectionFailed, match="max-row-limit"):
                    store.list_meters()

    @staticmethod
    def expect_an_error(server: InfluxServer, kind: type[Exception], match: str) -> None:
        """Read slowly enough to meet a limit that the server looks after once a second."""
        fill(server, "meters", large_history())
        with TcpProxy(server.port) as proxy:
            proxy.pause_s = 0.002
            config = influxql_config(server, "meters", url=proxy.url, timeout_s=PATIENCE_S)
            with store_of(config) as store, pytest.raises(kind, match=match):
                store.read_history(METER)
