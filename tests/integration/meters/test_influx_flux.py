"""The Flux store against a double that misbehaves in every way a server can."""

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DataQualityError,
    DeadlineExceeded,
    EnergyForecastingError,
    InvalidRequest,
    NoDataFound,
)
from energy_forecasting.domain.meters import Meter, MeterProfile, ReadingKind
from energy_forecasting.domain.readings import History
from energy_forecasting.meters.influx.store import InfluxMeterStore
from tests.integration.meters.conftest import InfluxStore, influx_config
from tests.integration.meters.flux_store import (
    METER,
    MIDNIGHT,
    assert_same,
    at_most,
    readings,
    store_of,
    values_of,
)
from tests.integration.meters.flux_tables import Series
from tests.integration.meters.influx_double import InfluxDouble, nanoseconds
from tests.integration.meters.influx_refusal import Refusal

pytestmark = pytest.mark.usefixtures("short_waits")

Call = Callable[[InfluxMeterStore], object]
EVERY_CALL: list[Call] = [
    lambda store: store.check(),
    lambda store: store.list_meters(),
    lambda store: store.describe(METER),
    lambda store: store.read_history(METER),
]
#: What a read without a start asks when all readings fit into one piece.
QUESTIONS = [
    "first reading",
    "last reading",
    "counts by week",
    "ends",
    "consumption",
    "temperature",
]
every_call = pytest.mark.parametrize("call", EVERY_CALL, ids=["check", "list", "describe", "read"])


def a_day() -> History:
    return readings(24)


class TestAnswers:
    @pytest.mark.parametrize("chunk_bytes", [7, 64, 100_000])
    @pytest.mark.parametrize("rows_per_table", [1, 5, None])
    def test_tables_and_chunks_may_be_cut_anywhere(
        self, influx: InfluxStore, chunk_bytes: int, rows_per_table: int | None
    ) -> None:
        # Given
        influx.double.chunk_bytes = chunk_bytes
        influx.double.rows_per_table = rows_per_table
        influx.holds(METER, a_day())
        # When
        history = influx.store.read_history(METER)
        # Then
        assert_same(history, a_day())

    def test_answers_travel_compressed(self, influx: InfluxStore) -> None:
        influx.holds(METER, a_day())
        influx.store.read_history(METER)
        assert influx.double.gzipped_answers == len(QUESTIONS)

    def test_a_server_may_not_pack_them(self, influx: InfluxStore) -> None:
        influx.double.packs = False
        influx.holds(METER, a_day())
        assert_same(influx.store.read_history(METER), a_day())

    @pytest.mark.parametrize("lost", [1, 8, 60])
    def test_an_answer_that_cannot_be_unpacked_is_an_error(
        self, influx: InfluxStore, lost: int
    ) -> None:
        influx.holds(METER, a_day())
        influx.double.packed_bytes_lost = lost
        with pytest.raises(ConnectionFailed, match="cannot be unpacked"):
            influx.store.read_history(METER)

    def test_a_null_is_an_unusable_reading(self, influx: InfluxStore) -> None:
        # Given
        start = nanoseconds(MIDNIGHT)
        influx.double.add_points(METER, "consumption", [(start, 1.0), (start + 10**9, None)])
        # When
        history = influx.store.read_history(METER)
        # Then
        np.testing.assert_array_equal(history.consumption, [1.0, np.nan])

    def test_stamps_may_have_any_number_of_fraction_digits(self, influx: InfluxStore) -> None:
        # Given
        start = nanoseconds(MIDNIGHT)
        fractions = [0, 500_000_000, 120_000_000, 123_456_789, 1]
        points = [(start + second * 10**9 + f, float(second)) for second, f in enumerate(fractions)]
        influx.double.add_points(METER, "consumption", points)
        # When
        history = influx.store.read_history(METER)
        # Then
        seconds = (history.timestamps - history.timestamps[0]).astype(int)
        assert seconds.tolist() == history.consumption.tolist() == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("datatype", ["long", "unsignedLong"])
    def test_whole_numbers_are_numbers(self, influx: InfluxStore, datatype: str) -> None:
        points = [(nanoseconds(MIDNIGHT), 7)]
        influx.double.add_points(METER, "consumption", points, datatype=datatype)
        assert influx.store.read_history(METER).consumption.tolist() == [7.0]

    def test_a_field_of_text_is_refused(self, influx: InfluxStore) -> None:
        points = [(nanoseconds(MIDNIGHT), "12.5")]
        influx.double.add_points(METER, "consumption", points, datatype="string")
        with pytest.raises(DataQualityError, match="string"):
            influx.store.read_history(METER)

    def test_a_temperature_without_consumption_is_no_reading(self, influx: InfluxStore) -> None:
        # Given
        start = nanoseconds(MIDNIGHT)
        influx.double.add_points(METER, "consumption", [(start, 1.0)])
        influx.double.add_points(METER, "temperature", [(start - 10**9, 5.0), (start, 6.0)])
        # When
        history = influx.store.read_history(METER)
        # Then
        assert history.consumption.tolist() == [1.0]
        assert history.temperature.tolist() == [6.0]

    def test_a_bucket_without_temperature_is_not_asked_for_it(self, double: InfluxDouble) -> None:
        # Given
        double.add_history(METER, a_day())
        config = influx_config(double, fields={"consumption": "consumption", "temperature": None})
        # When
        with store_of(config) as store:
            history = store.read_history(METER)
            described = store.describe(METER)
        # Then
        assert np.isnan(history.temperature).all()
        assert described.has_temperature is False
        assert not any("temperature" in query for query in double.queries)

    @every_call
    def test_an_error_inside_the_answer_is_an_error(self, influx: InfluxStore, call: Call) -> None:
        influx.holds(METER, a_day())
        influx.double.error_after_tables = 'engine: "out of memory"\n'
        with pytest.raises(ConnectionFailed, match="out of memory"):
            call(influx.store)

    @pytest.mark.parametrize(
        "answer",
        [
            b"<html>\r\n<body>Welcome</body>\r\n</html>\r\n",
            b"#datatype,string,long,double\r\n,result,table,_value\r\n,,0,1.0\r\n,,0,2",
            b"#datatype,string,long,double\r\n,result,table,_value\r\n,,0\r\n",
            b"#datatype,string,long,double\r\n,result,table,_value\r\n,,0,\xff\r\n",
            b"",
        ],
    )
    def test_an_answer_that_is_no_annotated_csv_is_an_error(
        self, influx: InfluxStore, answer: bytes
    ) -> None:
        influx.double.raw_answer = answer
        with pytest.raises(ConnectionFailed, match="cannot be read"):
            influx.store.read_history(METER)

    def test_no_data_names_what_was_asked(self, influx: InfluxStore) -> None:
        with pytest.raises(NoDataFound) as raised:
            influx.store.read_history(METER, start=MIDNIGHT)
        assert raised.value.details["measurement"] == "energy_consumption"
        assert raised.value.details["bucket"] == "the-bucket"
        assert raised.value.details["tags"] == "meter_type=electricity meter_id=office-1"

    def test_an_id_that_is_no_valid_name_is_not_listed(self, influx: InfluxStore) -> None:
        # Given
        influx.holds(METER, a_day())
        influx.holds(Meter(meter_type="gas", meter_id="g"), a_day())
        for series in influx.double.series[-2:]:
            series.tags["meter_id"] = "../etc/passwd"
        # When, Then
        assert [str(summary.meter) for summary in influx.store.list_meters()] == [str(METER)]

    @pytest.mark.parametrize("tag", ["meter_id", "meter_type"])
    def test_a_series_without_a_tag_is_no_meter(self, influx: InfluxStore, tag: str) -> None:
        # Given
        influx.holds(METER, a_day())
        influx.holds(Meter(meter_type="gas", meter_id="g"), a_day())
        for series in influx.double.series[-2:]:
            del series.tags[tag]
        # When, Then
        assert [str(summary.meter) for summary in influx.store.list_meters()] == [str(METER)]

    def test_a_bucket_whose_series_have_no_such_tags_lists_no_meters(
        self, double: InfluxDouble
    ) -> None:
        double.add_history(METER, a_day())
        tags = {"meter_id": "device", "meter_type": "kind"}
        with store_of(influx_config(double, tags=tags)) as store:
            assert store.list_meters() == []

    def test_the_configured_profile_serves_all_meters(self, double: InfluxDouble) -> None:
        # Given
        double.add_history(METER, a_day())
        config = influx_config(
            double, unit="m3/h", timezone="Europe/Rome", country="IT", reading_kind="power"
        )
        # When
        with store_of(config) as store:
            profiles = {store.describe(METER).profile, store.list_meters()[0].profile}
        # Then
        assert profiles == {
            MeterProfile(
                unit="m3/h",
                timezone="Europe/Rome",
                country="IT",
                reading_kind=ReadingKind.POWER,
            )
        }


class TestFieldTypes:
    """InfluxDB keeps one type of a field per week or so, and a read stops where it changes."""

    def changed(self, double: InfluxDouble, field: str = "consumption") -> datetime:
        """Hold 20 days of readings, a field of them as whole numbers from the tenth day on."""
        double.add_history(METER, readings(480))
        change = MIDNIGHT + timedelta(days=10)
        for series in [each for each in double.series if each.tags["_field"] == field]:
            whole = [(at, 7) for at, _ in series.points if at >= nanoseconds(change)]
            series.points = series.points[: -len(whole)]
            double.add_points(METER, field, whole, datatype="long")
        return change

    @pytest.mark.parametrize("start", [None, MIDNIGHT])
    @pytest.mark.parametrize("field", ["consumption", "temperature"])
    def test_a_field_that_changes_its_type_is_never_read_by_halves(
        self, influx: InfluxStore, field: str, start: datetime | None
    ) -> None:
        self.changed(influx.double, field)
        with pytest.raises(DataQualityError, match=f"{field}.*at 2024-03-10T23:00:00") as raised:
            influx.store.read_history(METER, start=start)
        assert raised.value.details == {"field": field, "end": "2024-03-20T23:00:00"}

    @pytest.mark.parametrize("field", ["consumption", "temperature"])
    def test_nor_is_it_added_up_by_halves(self, double: InfluxDouble, field: str) -> None:
        # Given: readings of every five minutes, for 20 days as decimals, then as whole numbers
        every = readings(40 * 288, 300)
        double.add_history(METER, every.before(MIDNIGHT + timedelta(days=20)))
        for name in ("consumption", "temperature"):
            kind = "long" if name == field else "double"
            late = every.timestamps[20 * 288 :].astype(np.int64) * 10**9
            points = [(at, 7 if kind == "long" else 7.0) for at in late.tolist()]
            double.add_points(METER, name, points, datatype=kind)
        border = MIDNIGHT + timedelta(days=30)
        # When, Then
        with store_of(influx_config(double)) as store, pytest.raises(DataQualityError, match=field):
            store.read_history(METER, whole_hours_before=border)

    def test_either_side_of_the_change_can_be_read(self, influx: InfluxStore) -> None:
        change = self.changed(influx.double)
        assert len(influx.store.read_history(METER, end=change)) == 240
        assert len(influx.store.read_history(METER, start=change)) == 240

    def test_the_newest_reading_is_known_all_the_same(self, influx: InfluxStore) -> None:
        self.changed(influx.double)
        (listed,) = influx.store.list_meters()
        described = influx.store.describe(METER, counted=False)
        assert (
            listed.last_reading == described.last_reading == datetime(2024, 3, 20, 23, tzinfo=UTC)
        )

    def test_series_of_two_types_cannot_be_put_together(self, influx: InfluxStore) -> None:
        # Given: two loggers, one of which writes whole numbers
        influx.holds(METER, a_day())
        points = [(nanoseconds(MIDNIGHT + timedelta(days=20)), 7)]
        influx.double.add_points(METER, "consumption", points, datatype="long", logger="other")
        # When, Then: the server says so, and the count of both is no history
        with pytest.raises(InvalidRequest, match="different schemas"):
            influx.store.read_history(METER)


class TestTemperatureForecast:
    DAY = (datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC))

    def test_one_forecast_may_serve_every_meter(self, double: InfluxDouble) -> None:
        # Given two stations' forecasts that name no meter, and a measured temperature
        start, end = self.DAY
        double.add_history(METER, a_day())
        for station, degrees in (("north", 3.5), ("south", 20.0)):
            tags = {"_measurement": "weather", "_field": "t2m", "station": station}
            double.series.append(Series(tags, "double", [(nanoseconds(start), degrees)]))
        source = {"measurement": "weather", "field": "t2m", "where": {"station": "north"}}
        # When
        with store_of(influx_config(double, temperature_forecast=source)) as store:
            forecast = store.read_temperature_forecast(METER, start=start, end=end)
        # Then
        assert forecast.degrees.tolist() == [3.5]

    def test_without_configuration_nothing_is_asked(self, double: InfluxDouble) -> None:
        start, end = self.DAY
        with store_of(influx_config(double)) as store:
            assert not len(store.read_temperature_forecast(METER, start=start, end=end))
        assert double.queries == []


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            'b") |> drop(columns: ["_value"]) //',
            "${r._value}",
            "back\\slash",
            "ends with \\",
            '"',
            "\\${x}",
            "Zähler 電力",
            "tab.and'quote`",
        ],
    )
    def test_a_hostile_name_stays_a_name(self, double: InfluxDouble, name: str) -> None:
        # Given
        double.bucket = double.measurement = name
        double.add_history(METER, a_day())
        for series in double.series:
            series.tags |= {
                "_field": f"{series.tags['_field']} {name}",
                f"id {name}": series.tags.pop("meter_id"),
                f"type {name}": series.tags.pop("meter_type"),
            }
        config = influx_config(
            double,
            measurement=name,
            tags={"meter_id": f"id {name}", "meter_type": f"type {name}"},
            fields={"consumption": f"consumption {name}", "temperature": f"temperature {name}"},
        )
        # When
        with store_of(config) as store:
            history = store.read_history(METER)
            listed = store.list_meters("electricity")
            described = store.describe(METER)
        # Then
        np.testing.assert_array_equal(history.temperature, a_day().temperature)
        assert [summary.meter for summary in listed] == [METER]
        assert described.readings == 24


class TestRefusals:
    @every_call
    def test_a_wrong_token_is_an_authentication_error_that_hides_it(
        self, double: InfluxDouble, call: Call
    ) -> None:
        with (
            store_of(influx_config(double, token="wr0ng-secret")) as store,  # noqa: S106
            pytest.raises(AuthenticationFailed, match="the-bucket") as raised,
        ):
            call(store)
        assert "wr0ng" not in repr(raised.value) + str(raised.value.details)

    def test_a_forbidden_bucket_is_an_authentication_error(self, influx: InfluxStore) -> None:
        influx.double.refusals.append(Refusal(403, "forbidden", "insufficient permissions"))
        with pytest.raises(AuthenticationFailed, match="insufficient permissions"):
            influx.store.read_history(METER)

    @every_call
    @pytest.mark.parametrize(("key", "name"), [("bucket", "no-bucket"), ("org", "no-org")])
    def test_a_missing_bucket_or_organization_is_named(
        self, double: InfluxDouble, key: str, name: str, call: Call
    ) -> None:
        with (
            store_of(influx_config(double, **{key: name})) as store,
            pytest.raises(InvalidRequest, match=name) as raised,
        ):
            call(store)
        assert raised.value.details["field"] == "bucket"

    def test_a_server_without_flux_is_told(self, influx: InfluxStore) -> None:
        # Given: what InfluxDB 1.x says
        refusal = Refusal(404, "", "")
        refusal.body = b"404 page not found\n"
        influx.double.refusals.append(refusal)
        # When, Then
        with pytest.raises(InvalidRequest, match=r"2\.x"):
            influx.store.read_history(METER)

    def test_a_refused_query_tells_why(self, influx: InfluxStore) -> None:
        influx.double.refusals.append(Refusal(400, "invalid", "type conflict\nFAKE LOG LINE"))
        with pytest.raises(InvalidRequest, match="type conflict") as raised:
            influx.store.read_history(METER)
        assert "\n" not in raised.value.message

    def test_a_fault_of_the_server_is_not_tried_again(self, influx: InfluxStore) -> None:
        influx.double.refusals.extend([Refusal(500, "internal error", "panic")] * 3)
        with pytest.raises(ConnectionFailed, match="panic"):
            influx.store.read_history(METER)
        assert len(influx.double.queries) == 1

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_server_is_tried_again(self, influx: InfluxStore, status: int) -> None:
        # Given
        influx.holds(METER, a_day())
        influx.double.refusals.append(Refusal(status, "busy", "later", {"Retry-After": "0"}))
        # When, Then
        assert len(influx.store.read_history(METER)) == 24
        assert len(influx.double.queries) == len(QUESTIONS) + 1

    @pytest.mark.parametrize(
        "headers", [{}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {"Retry-After": "soon"}]
    )
    def test_a_busy_server_that_names_no_seconds_is_tried_again_soon(
        self, influx: InfluxStore, headers: dict[str, str]
    ) -> None:
        influx.holds(METER, a_day())
        influx.double.refusals.append(Refusal(429, "busy", "later", headers))
        with at_most(4):
            assert len(influx.store.read_history(METER)) == 24

    def test_a_busy_server_is_given_the_seconds_that_it_asks_for(self, influx: InfluxStore) -> None:
        influx.holds(METER, a_day())
        influx.double.refusals.append(Refusal(429, "busy", "later", {"Retry-After": "1"}))
        started = time.monotonic()
        assert len(influx.store.read_history(METER)) == 24
        assert time.monotonic() - started >= 1

    def test_a_server_that_stays_busy_is_given_up(self, influx: InfluxStore) -> None:
        busy = Refusal(429, "too many requests", "later", {"Retry-After": "0"})
        influx.double.refusals.extend([busy] * 9)
        with pytest.raises(ConnectionFailed, match="too busy"):
            influx.store.read_history(METER)
        assert len(influx.double.queries) == 3

    def test_a_wait_beyond_the_deadline_is_not_begun(self, influx: InfluxStore) -> None:
        influx.double.refusals.append(Refusal(429, "busy", "later", {"Retry-After": "60"}))
        with at_most(5), pytest.raises(ConnectionFailed, match="too busy"):
            influx.store.read_history(METER)

    def test_a_redirect_does_not_carry_the_token_elsewhere(self, influx: InfluxStore) -> None:
        with InfluxDouble() as elsewhere:
            # Given
            target = {"Location": f"{elsewhere.url}/api/v2/query?org=the-org"}
            influx.double.refusals.append(Refusal(307, "", "", target))
            # When, Then
            with pytest.raises(InvalidRequest, match="307"):
                influx.store.read_history(METER)
            assert elsewhere.queries == elsewhere.complaints == []


class TestConnection:
    @every_call
    def test_a_refused_connection_is_a_connection_error(
        self, double: InfluxDouble, call: Call
    ) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # taken, but nobody listens
            config = influx_config(double, url=f"http://127.0.0.1:{unused.getsockname()[1]}")
            with at_most(5), store_of(config) as store, pytest.raises(ConnectionFailed):
                call(store)

    def test_an_unknown_host_is_a_connection_error(self, double: InfluxDouble) -> None:
        config = influx_config(double, url="http://influxdb.invalid:8086", timeout_s=2)
        with store_of(config) as store, pytest.raises(ConnectionFailed, match="invalid"):
            store.check()

    def test_a_plain_server_behind_https_is_a_connection_error(self, double: InfluxDouble) -> None:
        config = influx_config(double, url=double.url.replace("http:", "https:"))
        with store_of(config) as store, pytest.raises(ConnectionFailed, match="trusted"):
            store.read_history(METER)

    def test_a_connection_cut_before_the_answer_is_tried_again(self, influx: InfluxStore) -> None:
        # Given
        influx.holds(METER, a_day())
        influx.double.cuts_left = 1
        # When, Then
        assert len(influx.store.read_history(METER)) == 24

    def test_an_answer_cut_midway_is_never_a_short_history(self, influx: InfluxStore) -> None:
        # Given
        influx.holds(METER, a_day())
        influx.double.chunk_bytes = 100
        influx.double.cut_after_bytes = 200
        influx.double.afflicts = values_of("consumption")
        # When, Then
        with pytest.raises(ConnectionFailed, match="cannot be reached"):
            influx.store.read_history(METER)
        assert len([flux for flux in influx.double.queries if influx.double.afflicts(flux)]) == 3

    def test_the_store_recovers_when_the_server_does(self, influx: InfluxStore) -> None:
        # Given
        influx.holds(METER, a_day())
        influx.double.cuts_left = 3
        with pytest.raises(ConnectionFailed):
            influx.store.read_history(METER)
        # When, Then
        assert len(influx.store.read_history(METER)) == 24


class TestDeadline:
    @every_call
    def test_a_silent_server_meets_the_deadline(self, double: InfluxDouble, call: Call) -> None:
        double.delay_s = 10
        with (
            at_most(4),
            store_of(influx_config(double, timeout_s=0.3)) as store,
            pytest.raises(DeadlineExceeded, match=r"0\.3 s"),
        ):
            call(store)

    def test_a_dripping_server_meets_the_deadline(self, double: InfluxDouble) -> None:
        # Given: no single pause is long enough for a socket's timeout
        double.add_history(METER, a_day())
        double.chunk_bytes = 1
        double.chunk_delay_s = 0.05
        # When, Then
        with (
            at_most(4),
            store_of(influx_config(double, timeout_s=0.4)) as store,
            pytest.raises(DeadlineExceeded),
        ):
            store.read_history(METER)

    def test_the_deadline_covers_the_queries_of_a_call_together(self, double: InfluxDouble) -> None:
        # Given
        double.add_history(METER, a_day())
        double.delay_s = 0.3
        # When, Then
        with (
            store_of(influx_config(double, timeout_s=0.5)) as store,
            pytest.raises(DeadlineExceeded),
        ):
            store.describe(METER)

    def test_only_what_can_pass_is_marked_for_a_retry(self, influx: InfluxStore) -> None:
        # Given
        refusals: list[tuple[Refusal, type[EnergyForecastingError], bool]] = [
            (Refusal(401, "unauthorized", "no"), AuthenticationFailed, False),
            (Refusal(404, "not found", "no"), InvalidRequest, False),
            (Refusal(500, "internal error", "no"), ConnectionFailed, True),
        ]
        for refusal, kind, retryable in refusals:
            influx.double.refusals.append(refusal)
            # When
            with pytest.raises(kind) as raised:
                influx.store.read_history(METER, end=MIDNIGHT + timedelta(days=1))
            # Then
            assert raised.value.retryable is retryable
