"""What the store writes into InfluxDB 2.x, and what it says when that fails."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DeadlineExceeded,
    EnergyForecastingError,
    InvalidRequest,
    NoDataFound,
)
from energy_forecasting.domain.meters import MeterProfile, ReadingKind
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.influx import store as influx_store
from tests.integration.meters.conftest import InfluxStore, influx_config
from tests.integration.meters.flux_store import (
    METER,
    MIDNIGHT,
    assert_same,
    at_most,
    readings,
    store_of,
)
from tests.integration.meters.influx_double import InfluxDouble, nanoseconds
from tests.integration.meters.influx_refusal import Refusal
from tests.integration.meters.line_protocol_reader import Point

pytestmark = pytest.mark.usefixtures("short_waits")

WEEKS = readings(24 * 24)
BUSY = Refusal(429, "too many requests", "later", {"Retry-After": "0"})


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a request carry few lines, so that a history takes several."""
    monkeypatch.setattr(influx_store, "_LINES_PER_WRITE", 100)


def written(influx: InfluxStore, history: History = WEEKS) -> int:
    return influx.store.write_readings(METER, iter([history]))


class TestLines:
    def test_a_reading_is_a_point_of_the_configured_names(self, influx: InfluxStore) -> None:
        # Given
        history = readings(1)
        # When
        written(influx, history)
        # Then
        ((point,),) = influx.double.writes
        assert point == Point(
            {
                "_measurement": "energy_consumption",
                "meter_id": "office-1",
                "meter_type": "electricity",
            },
            {
                "consumption": ("double", history.consumption[0]),
                "temperature": ("double", history.temperature[0]),
            },
            nanoseconds(MIDNIGHT) // 10**9,
        )

    def test_what_was_written_is_read_bit_for_bit(self, influx: InfluxStore) -> None:
        # Given
        random = np.random.default_rng(3)
        history = readings(300)
        history.consumption[:] = random.normal(size=300) * 10.0 ** random.integers(-20, 20, 300)
        # When
        assert written(influx, history) == 300
        # Then
        assert_same(influx.store.read_history(METER), history)

    def test_tags_and_fields_of_a_type_are_those_it_is_read_by(self, double: InfluxDouble) -> None:
        # Given
        types = {
            "electricity": {
                "measurement": "power plant, hall 1",
                "tags": {"meter_id": None, "meter_type": None},
                "where": {"site = north": "roof, east"},
                "meters": {"office-1": {"consumption": "k W,h", "tags": {"device": 'a"1'}}},
            }
        }
        config = influx_config(double, types=types)
        # When
        with store_of(config) as store:
            store.write_readings(METER, iter([readings(3)]))
            read = store.read_history(METER)
        # Then
        assert_same(read, readings(3))
        assert double.writes[0][0].tags == {
            "_measurement": "power plant, hall 1",
            "site = north": "roof, east",
            "device": 'a"1',
        }

    def test_an_unusable_reading_is_left_out_and_an_unknown_temperature_too(
        self, influx: InfluxStore
    ) -> None:
        # Given
        history = readings(4)
        history.consumption[1] = np.nan
        history.temperature[2] = np.nan
        # When
        assert written(influx, history) == 3
        # Then
        ((first, third, fourth),) = influx.double.writes
        assert first.fields.keys() == fourth.fields.keys() == {"consumption", "temperature"}
        assert third.fields.keys() == {"consumption"}

    def test_a_temperature_without_a_field_for_it_is_refused_before_anything_is_written(
        self, double: InfluxDouble
    ) -> None:
        fields = {"consumption": "consumption", "temperature": None}
        with (
            store_of(influx_config(double, fields=fields)) as store,
            pytest.raises(InvalidRequest, match=r"fields\.temperature"),
        ):
            store.write_readings(METER, iter([readings(2)]))
        assert double.writes == []

    @pytest.mark.usefixtures("small_pieces")
    def test_many_readings_travel_in_several_requests(self, influx: InfluxStore) -> None:
        assert written(influx) == len(WEEKS)
        assert [len(points) for points in influx.double.writes] == [100] * 5 + [76]

    def test_nothing_usable_sends_nothing(self, influx: InfluxStore) -> None:
        history = readings(2)
        history.consumption[:] = np.nan
        assert written(influx, history) == 0
        assert influx.double.writes == []


@pytest.mark.usefixtures("small_pieces")
class TestTryingAgain:
    def test_a_connection_cut_before_the_points_are_taken(self, influx: InfluxStore) -> None:
        influx.double.write_cuts_left = 2
        assert written(influx) == len(WEEKS)
        assert_same(influx.store.read_history(METER), WEEKS)

    def test_a_reply_lost_after_the_points_were_taken(self, influx: InfluxStore) -> None:
        # Given
        influx.double.lost_replies = 2
        # When
        assert written(influx) == len(WEEKS)
        # Then: sent thrice, held once
        assert [points == influx.double.writes[0] for points in influx.double.writes[:4]] == [
            True,
            True,
            True,
            False,
        ]
        assert_same(influx.store.read_history(METER), WEEKS)
        assert influx.store.describe(METER).readings == len(WEEKS)

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_server(self, influx: InfluxStore, status: int) -> None:
        busy = Refusal(status, "busy", "later", {"Retry-After": "0"})
        influx.double.write_refusals.extend([None, busy, busy, None])
        assert written(influx) == len(WEEKS)
        assert_same(influx.store.read_history(METER), WEEKS)

    def test_writing_everything_again_after_an_error_makes_it_whole(
        self, influx: InfluxStore
    ) -> None:
        # Given: the third request fails for good
        influx.double.write_refusals.extend([None, None, *[BUSY] * 3])
        with pytest.raises(ConnectionFailed, match="too busy"):
            written(influx)
        assert influx.store.describe(METER).readings == 200
        # When
        written(influx)
        # Then
        assert_same(influx.store.read_history(METER), WEEKS)

    def test_writing_twice_changes_nothing(self, influx: InfluxStore) -> None:
        for _ in range(2):
            written(influx)
        assert influx.store.describe(METER).readings == len(WEEKS)
        assert_same(influx.store.read_history(METER), WEEKS)


class TestRefusals:
    @pytest.mark.parametrize(
        ("refusal", "error", "told"),
        [
            (Refusal(401, "unauthorized", "unauthorized access"), AuthenticationFailed, "write"),
            (Refusal(403, "forbidden", "insufficient permissions"), AuthenticationFailed, "write"),
            (Refusal(404, "not found", 'bucket "b" not found'), InvalidRequest, "bucket"),
            (Refusal(413, "request too large", "batch is too large"), InvalidRequest, "too large"),
            (Refusal(500, "internal error", "disk full"), ConnectionFailed, "disk full"),
        ],
        ids=lambda value: str(value.status) if isinstance(value, Refusal) else "",
    )
    @pytest.mark.usefixtures("small_pieces")
    def test_what_cannot_pass_is_said_at_once(
        self,
        influx: InfluxStore,
        refusal: Refusal,
        error: type[EnergyForecastingError],
        told: str,
    ) -> None:
        # Given: in the second request
        influx.double.write_refusals.extend([None, refusal])
        # When, Then
        with pytest.raises(error, match=told):
            written(influx)
        assert len(influx.double.writes) == 2

    @pytest.mark.parametrize(("key", "name"), [("bucket", "no-bucket"), ("org", "no-org")])
    def test_a_missing_bucket_or_organization_is_named(
        self, double: InfluxDouble, key: str, name: str
    ) -> None:
        with (
            store_of(influx_config(double, **{key: name})) as store,
            pytest.raises(InvalidRequest, match=name),
        ):
            store.write_readings(METER, iter([readings(2)]))

    def test_points_before_the_retention_period_are_missed(self, influx: InfluxStore) -> None:
        # Given
        influx.double.kept_from_s = nanoseconds(MIDNIGHT + timedelta(days=4)) // 10**9
        # When, Then: the rest is written, and nobody believes that all is
        with pytest.raises(InvalidRequest, match=r"retention policy dropped=96.*only the points"):
            written(influx)
        assert influx.store.describe(METER).readings == len(WEEKS) - 96

    def test_a_field_of_another_type_is_told(self, influx: InfluxStore) -> None:
        # Given: whole numbers of the same day
        points = [(nanoseconds(MIDNIGHT + timedelta(hours=1)), 7)]
        influx.double.add_points(METER, "consumption", points, datatype="long")
        # When, Then
        with pytest.raises(InvalidRequest, match=r"field type conflict.*only the points"):
            written(influx, readings(24))

    def test_a_wrong_token_is_not_told(self, double: InfluxDouble) -> None:
        with (
            store_of(influx_config(double, token="wr0ng-secret")) as store,  # noqa: S106
            pytest.raises(AuthenticationFailed) as raised,
        ):
            store.write_readings(METER, iter([readings(2)]))
        assert "wr0ng" not in repr(raised.value) + str(raised.value.details)

    def test_a_silent_server_meets_the_deadline(self, double: InfluxDouble) -> None:
        double.delay_s = 10
        with (
            at_most(4),
            store_of(influx_config(double, timeout_s=0.3)) as store,
            pytest.raises(DeadlineExceeded, match=r"0\.3 s"),
        ):
            store.write_readings(METER, iter([readings(2)]))

    @pytest.mark.usefixtures("small_pieces")
    def test_a_source_that_breaks_leaves_what_was_written_before(self, influx: InfluxStore) -> None:
        # Given
        def breaking_off() -> Iterator[History]:
            yield WEEKS
            raise OSError("the source broke")

        # When
        with pytest.raises(OSError, match="the source broke"):
            influx.store.write_readings(METER, breaking_off())
        # Then
        assert_same(influx.store.read_history(METER), WEEKS)


class TestTemperatureForecasts:
    FORECAST = TemperatureForecast(
        timestamps=np.array(["2024-03-01T01:00:00", "2024-03-01T02:00:00"], dtype="datetime64[s]"),
        degrees=np.array([-1.5, 2.25]),
    )

    def test_they_are_written_where_they_are_read(self, influx: InfluxStore) -> None:
        # Given
        written(influx, readings(1))
        # When
        influx.store.write_temperature_forecast(METER, self.FORECAST)
        # Then
        assert influx.double.writes[-1][0].tags == {
            "_measurement": "weather_forecast",
            "meter_id": "office-1",
            "meter_type": "electricity",
        }
        read = influx.store.read_temperature_forecast(
            METER, start=MIDNIGHT, end=MIDNIGHT + timedelta(days=1)
        )
        assert read.degrees.tolist() == [-1.5, 2.25]

    def test_without_a_place_for_them_they_are_refused(self, double: InfluxDouble) -> None:
        with (
            store_of(influx_config(double)) as store,
            pytest.raises(InvalidRequest, match="temperature_forecast"),
        ):
            store.write_temperature_forecast(METER, self.FORECAST)
        assert double.writes == []
        assert double.queries == []

    def test_an_unknown_meter_has_none(self, influx: InfluxStore) -> None:
        with pytest.raises(NoDataFound):
            influx.store.write_temperature_forecast(METER, self.FORECAST)
        assert influx.double.writes == []


class TestProfiles:
    def test_the_configuration_holds_them(self, influx: InfluxStore) -> None:
        other = MeterProfile(reading_kind=ReadingKind.POWER)
        with pytest.raises(InvalidRequest, match="stand in the InfluxDB configuration"):
            influx.store.write_profile(METER, other)
        influx.store.write_profile(METER, MeterProfile())
        assert influx.double.writes == []
