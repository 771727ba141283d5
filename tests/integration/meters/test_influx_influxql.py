"""The InfluxQL store on a real InfluxDB 1.x: logins, names, values, TLS and secrets."""

import base64
import dataclasses
import logging
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import psutil
import pytest

from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DataQualityError,
    InvalidRequest,
    NoDataFound,
)
from energy_forecasting.domain.meters import MeterProfile
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.influx import http
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.certificates import Certificates, make_certificates
from tests.influx_server import InfluxServer, InfluxUser
from tests.integration.meters.conftest import RealInflux, influxql_config
from tests.integration.meters.influx_real import (
    EVERY_CALL,
    METER,
    MIDNIGHT,
    Call,
    a_day,
    every_call,
    history_of,
    is_same,
    large_history,
    special_server,
    store_of,
)

pytestmark = pytest.mark.influxdb

WRONG = "wr0ng-secret"


class TestLogin:
    @every_call
    def test_a_wrong_password_is_an_authentication_error_that_hides_it(
        self, influxql: RealInflux, call: Call
    ) -> None:
        config = influxql_config(influxql.server, influxql.database, password=WRONG)
        with store_of(config) as store, pytest.raises(AuthenticationFailed) as raised:
            call(store)
        assert influxql.database in raised.value.message
        assert WRONG not in repr(raised.value) + str(raised.value.details)
        assert not raised.value.retryable

    @every_call
    def test_an_unknown_user_is_an_authentication_error(
        self, influxql: RealInflux, call: Call
    ) -> None:
        config = influxql_config(influxql.server, influxql.database, username="nobody")
        with store_of(config) as store, pytest.raises(AuthenticationFailed):
            call(store)

    @every_call
    def test_a_user_without_a_grant_is_refused_and_sees_no_empty_store(
        self, influxql: RealInflux, call: Call
    ) -> None:
        influxql.holds(METER, a_day())
        stranger = as_user(influxql.server, influxql.database, influxql.server.stranger)
        with store_of(stranger) as store, pytest.raises(AuthenticationFailed) as raised:
            call(store)
        assert influxql.database in raised.value.message

    def test_a_user_who_may_only_read_reads_and_is_refused_to_write(
        self, influxql: RealInflux
    ) -> None:
        influxql.holds(METER, a_day())
        reader = as_user(influxql.server, influxql.database, influxql.server.reader)
        with store_of(reader) as store:
            assert is_same(store.read_history(METER), a_day())
            with pytest.raises(AuthenticationFailed, match="write"):
                store.write_readings(METER, iter([a_day()]))

    def test_no_login_at_all_is_refused(self, influxql: RealInflux) -> None:
        config = influxql_config(influxql.server, influxql.database, username=None, password=None)
        with store_of(config) as store, pytest.raises(AuthenticationFailed):
            store.check()


def as_user(server: InfluxServer, database: str, user: InfluxUser) -> InfluxConfig:
    return influxql_config(server, database, username=user.name, password=user.password)


class TestNamesInTheConfiguration:
    @every_call
    def test_a_missing_database_is_named_and_is_never_a_store_without_data(
        self, influx_server: InfluxServer, call: Call
    ) -> None:
        config = as_user(influx_server, "no_such_database", influx_server.admin)
        with store_of(config) as store, pytest.raises(InvalidRequest) as raised:
            call(store)
        assert "no_such_database" in raised.value.message
        assert raised.value.details["field"] == "database"

    def test_who_is_no_administrator_is_not_told_whether_a_database_is_there(
        self, influx_server: InfluxServer
    ) -> None:
        config = influxql_config(influx_server, "no_such_database")
        with store_of(config) as store, pytest.raises(AuthenticationFailed) as raised:
            store.read_history(METER)
        assert "no_such_database" in raised.value.message

    @every_call
    def test_a_missing_retention_policy_is_named(self, influxql: RealInflux, call: Call) -> None:
        config = influxql_config(
            influxql.server, influxql.database, retention_policy="no_such_policy"
        )
        with store_of(config) as store, pytest.raises(InvalidRequest) as raised:
            call(store)
        assert "no_such_policy" in raised.value.message
        assert "retention_policy" in raised.value.message

    def test_a_retention_policy_holds_what_is_written_there_only(
        self, influxql: RealInflux
    ) -> None:
        # Given
        server, database = influxql.server, influxql.database
        server.ask(
            f'CREATE RETENTION POLICY "ten years" ON "{database}" DURATION INF REPLICATION 1'
        )
        influxql.holds(METER, history_of([1, 2, 3]))
        with store_of(influxql_config(server, database, retention_policy="ten years")) as store:
            with pytest.raises(NoDataFound):
                store.read_history(METER)
            # When
            store.write_readings(METER, iter([history_of([10, 20])]))
            # Then
            assert store.read_history(METER).consumption.tolist() == [10, 20]
            assert store.describe(METER).readings == 2
            assert [each.meter for each in store.list_meters()] == [METER]
        assert influxql.store.read_history(METER).consumption.tolist() == [1, 2, 3]

    def test_the_default_policy_of_a_database_need_not_be_autogen(
        self, influx_server: InfluxServer
    ) -> None:
        influx_server.create_database("yearly", retention_policy="one year")
        try:
            with store_of(influxql_config(influx_server, "yearly")) as store:
                store.write_readings(METER, iter([a_day()]))
                assert is_same(store.read_history(METER), a_day())
        finally:
            influx_server.drop_database("yearly")

    def test_databases_are_never_mixed_up(self, influxql: RealInflux) -> None:
        # Given the same meter in two databases, and forecasts in the second
        server = influxql.server
        server.create_database("other")
        try:
            influxql.holds(METER, history_of([1, 2]))
            with store_of(influxql_config(server, "other")) as other:
                other.write_readings(METER, iter([history_of([7, 8, 9])]))
                other.write_temperature_forecast(METER, forecast())
                source = {"measurement": "weather_forecast", "field": "degrees", "bucket": "other"}
                config = influxql_config(server, influxql.database, temperature_forecast=source)
                # When, Then
                assert other.read_history(METER).consumption.tolist() == [7, 8, 9]
                assert influxql.store.read_history(METER).consumption.tolist() == [1, 2]
                with store_of(config) as store:
                    assert degrees(store) == [3.5, -4]
                assert degrees(influxql.store) == []
        finally:
            server.drop_database("other")

    @pytest.mark.parametrize(
        "name",
        [
            '"; DROP MEASUREMENT x; --',
            "' OR '1'='1",
            "quoted \"twice\" and 'once'",
            "comma, equals= and blank",
            "Zähler 電力",
            "a\\b",
            "$name",
            "SELECT",
        ],
    )
    def test_a_hostile_name_stays_a_name(self, influxql: RealInflux, name: str) -> None:
        # Given
        config = influxql_config(
            influxql.server,
            influxql.database,
            measurement=name,
            tags={"meter_id": f"id {name}", "meter_type": f"type {name}"},
            fields={"consumption": f"used {name}", "temperature": f"warm {name}"},
            where={f"site {name}": name},
        )
        # When
        with store_of(config) as store:
            store.write_readings(METER, iter([a_day()]))
            # Then
            assert is_same(store.read_history(METER), a_day())
            assert [each.meter for each in store.list_meters("electricity")] == [METER]
            assert store.describe(METER).readings == 24
        measurements = influxql.server.ask("SHOW MEASUREMENTS", database=influxql.database)
        assert measurements[0]["series"][0]["values"] == [[name]]


def forecast() -> TemperatureForecast:
    hours = np.datetime64(MIDNIGHT.replace(tzinfo=None), "s") + np.arange(2) * np.timedelta64(
        1, "h"
    )
    return TemperatureForecast(timestamps=hours, degrees=np.array([3.5, -4.0]))


def degrees(store: InfluxMeterStore) -> list[float]:
    end = MIDNIGHT + timedelta(days=1)
    read = store.read_temperature_forecast(METER, start=MIDNIGHT, end=end)
    return [float(each) for each in read.degrees]


class TestValues:
    def test_whole_numbers_are_numbers(self, influxql: RealInflux) -> None:
        write(influxql, "consumption=7i", "consumption=8i,temperature=-3i")
        history = influxql.store.read_history(METER)
        assert history.consumption.tolist() == [7, 8]
        np.testing.assert_array_equal(history.temperature, [np.nan, -3])

    def test_a_text_that_is_a_number_is_taken_as_one(self, influxql: RealInflux) -> None:
        write(influxql, 'consumption="12.5"')  # the answer, CSV, does not tell one from the other
        assert influxql.store.read_history(METER).consumption.tolist() == [12.5]

    @pytest.mark.parametrize("value", ['"off"', '"1,5"', "true"])
    def test_a_field_that_holds_no_numbers_is_refused(
        self, influxql: RealInflux, value: str
    ) -> None:
        write(influxql, f"consumption={value}")
        with pytest.raises(DataQualityError, match="not numbers"):
            influxql.store.read_history(METER)

    def test_a_value_of_another_kind_is_refused_by_name(self, influxql: RealInflux) -> None:
        write(influxql, "consumption=7i")
        with pytest.raises(InvalidRequest, match="type conflict"):
            influxql.store.write_readings(METER, iter([a_day()]))

    def test_a_temperature_without_consumption_is_no_reading(self, influxql: RealInflux) -> None:
        write(influxql, "temperature=1", "consumption=5,temperature=2", "temperature=3")
        history = influxql.store.read_history(METER)
        assert (history.consumption.tolist(), history.temperature.tolist()) == ([5], [2])

    def test_minutes_may_come_as_the_hours_that_the_server_adds_up(
        self, influxql: RealInflux
    ) -> None:
        # Given
        minutes = large_history()
        influxql.holds(METER, minutes)
        # When
        border = minutes.last - timedelta(days=2)
        history = influxql.store.read_history(METER, whole_hours_before=border)
        # Then
        whole = int((border - MIDNIGHT).total_seconds()) // 3600
        sums = minutes.consumption[: whole * 60].reshape(whole, 60).sum(axis=1)
        np.testing.assert_allclose(history.consumption[:whole], sums, rtol=1e-12)
        np.testing.assert_array_equal(
            history.consumption[whole:], minutes.consumption[whole * 60 :]
        )


def write(influxql: RealInflux, *fields: str) -> None:
    """Write points of METER an hour apart."""
    start = int(MIDNIGHT.timestamp())
    tags = f"meter_id={METER.meter_id},meter_type={METER.meter_type}"
    lines = (
        f"energy_consumption,{tags} {each} {start + 3600 * n}" for n, each in enumerate(fields)
    )
    influxql.server.write(influxql.database, "\n".join(lines))


class TestWhatItCannotHold:
    def test_an_unusable_reading_is_left_out(self, influxql: RealInflux) -> None:
        written = influxql.store.write_readings(METER, iter([history_of([1, np.nan, 3])]))
        history = influxql.store.read_history(METER)
        assert written == 2
        assert history.consumption.tolist() == [1, 3]

    def test_a_temperature_that_a_later_reading_lacks_stays(self, influxql: RealInflux) -> None:
        # Given
        influxql.store.write_readings(METER, iter([history_of([1, 2])]))
        without = dataclasses.replace(history_of([5, 6]), temperature=np.full(2, np.nan))
        # When
        influxql.store.write_readings(METER, iter([without]))
        # Then
        history = influxql.store.read_history(METER)
        assert history.consumption.tolist() == [5, 6]
        assert history.temperature.tolist() == [10, 10.25]

    def test_a_write_that_fails_midway_leaves_a_part_and_is_made_whole_by_another(
        self, influxql: RealInflux
    ) -> None:
        # Given
        def breaking_off() -> Iterator[History]:
            yield history_of([1, 2])
            raise OSError("the source broke")

        with pytest.raises(OSError, match="the source broke"):
            influxql.store.write_readings(METER, breaking_off())
        assert influxql.store.read_history(METER).consumption.tolist() == [1, 2]
        # When
        influxql.store.write_readings(METER, iter([history_of([1, 2, 3])]))
        # Then
        assert influxql.store.read_history(METER).consumption.tolist() == [1, 2, 3]

    def test_a_profile_stands_in_the_configuration(self, influxql: RealInflux) -> None:
        influxql.store.write_profile(METER, MeterProfile())  # as the configuration says
        with pytest.raises(InvalidRequest, match="configuration"):
            influxql.store.write_profile(METER, MeterProfile(unit="kWh"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def https_server(
    influxd: str, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[InfluxServer]:
    folder = tmp_path_factory.mktemp("influxdb-https")
    with special_server(influxd, folder, certificates=certificates) as server:
        fill_https(server, certificates)
        yield server


def fill_https(server: InfluxServer, certificates: Certificates) -> None:
    with store_of(influxql_config(server, "meters", ca_file=certificates.ca)) as store:
        store.write_readings(METER, iter([a_day()]))


class TestHttps:
    def test_an_authority_of_ones_own_is_trusted_when_it_is_named(
        self, https_server: InfluxServer, certificates: Certificates
    ) -> None:
        with store_of(influxql_config(https_server, "meters", ca_file=certificates.ca)) as store:
            assert is_same(store.read_history(METER), a_day())

    @every_call
    def test_a_certificate_of_an_unknown_authority_is_not_trusted(
        self, https_server: InfluxServer, call: Call
    ) -> None:
        with (
            store_of(influxql_config(https_server, "meters")) as store,
            pytest.raises(ConnectionFailed, match="ca_file"),
        ):
            call(store)

    def test_a_certificate_of_another_host_is_not_trusted(
        self, https_server: InfluxServer, certificates: Certificates
    ) -> None:
        url = https_server.url.replace("127.0.0.1", "localhost")
        config = influxql_config(https_server, "meters", url=url, ca_file=certificates.ca)
        with store_of(config) as store, pytest.raises(ConnectionFailed, match="certificate"):
            store.check()

    def test_verification_may_be_turned_off(self, https_server: InfluxServer) -> None:
        with store_of(influxql_config(https_server, "meters", verify_tls=False)) as store:
            assert is_same(store.read_history(METER), a_day())

    def test_plain_http_to_an_https_port_is_told(self, https_server: InfluxServer) -> None:
        url = https_server.url.replace("https:", "http:")
        with (
            store_of(influxql_config(https_server, "meters", url=url)) as store,
            pytest.raises(InvalidRequest, match="HTTPS server"),
        ):
            store.check()

    def test_https_to_a_plain_port_is_told(self, influxql: RealInflux) -> None:
        url = influxql.server.url.replace("http:", "https:")
        config = influxql_config(influxql.server, influxql.database, url=url)
        with store_of(config) as store, pytest.raises(ConnectionFailed, match="trusted"):
            store.check()


def test_no_password_is_logged_or_stands_in_a_command_line(
    influxql: RealInflux,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    monkeypatch.setattr(http, "_FIRST_WAIT_S", 0.05)
    influxql.holds(METER, a_day())
    caplog.set_level(logging.DEBUG)
    # influxdb-client, wherever it was used before, quietens it for the whole process.
    caplog.set_level(logging.DEBUG, logger="urllib3")
    password = influxql.server.member.password
    header = base64.b64encode(f"{influxql.server.member.name}:{password}".encode()).decode()
    # When
    for call in EVERY_CALL.values():
        call(influxql.store)
    influxql.server.stop()
    for call in EVERY_CALL.values():
        with pytest.raises(ConnectionFailed):
            call(influxql.store)
    # Then
    logged = caplog.text + capsys.readouterr().out
    lines = [" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)]
    assert "GET /query" in logged
    assert "is asked again" in logged
    assert not any(secret in text for text in (logged, *lines) for secret in (password, header))
