"""Buckets as other programs fill them, each read through a configuration in Flux."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from energy_forecasting.domain.errors import InvalidRequest, NoDataFound
from energy_forecasting.domain.meters import Meter, MeterProfile, ReadingKind
from energy_forecasting.meters.influx.store import InfluxMeterStore
from energy_forecasting.meters.store import MeterStore
from tests.integration.meters.conftest import influx_config
from tests.integration.meters.flux_store import METER, MIDNIGHT, readings, store_of
from tests.integration.meters.flux_tables import Series
from tests.integration.meters.influx_double import InfluxDouble, nanoseconds

HOUR_NS = 3600 * 10**9
STATION = {"measurement": "weather", "field": "t2m", "where": {"station": "north"}}


def hold(
    double: InfluxDouble, measurement: str, field: str, values: list[float], **tags: str
) -> None:
    """Hold hourly values from midnight on."""
    points = [(nanoseconds(MIDNIGHT) + hour * HOUR_NS, each) for hour, each in enumerate(values)]
    named = {"_measurement": measurement, "_field": field, **tags}
    double.series.append(Series(named, "double", [*points]))


def consumption(store: MeterStore, name: str) -> list[float]:
    meter_type, meter_id = name.split("/")
    read: list[float] = store.read_history(
        Meter(meter_type=meter_type, meter_id=meter_id)
    ).consumption.tolist()
    return read


class TestTypes:
    """Electricity as Home Assistant writes it, water and gas each in a way of its own."""

    @pytest.fixture
    def store(self, double: InfluxDouble) -> Iterator[InfluxMeterStore]:
        hold(double, "kWh", "value", [1.0, 2.0], entity_id="house_energy", domain="sensor")
        hold(double, "kWh", "value", [3.0], entity_id="heat_pump_energy", domain="sensor")
        hold(double, "kWh", "value", [9.0], entity_id="house_energy", domain="number")
        hold(double, "flow", "litres", [10.0, 20.0, 30.0], node="w-1")
        hold(double, "flow", "litres", [40.0], node="w-2")
        hold(double, "boiler", "gas_m3", [0.5], site="north")
        hold(double, "boiler", "heat_kWh", [5.0], site="north")
        types = {
            "electricity": {
                "measurement": "kWh",
                "tags": {"meter_id": "entity_id"},
                "where": {"domain": "sensor"},
                "fields": {"consumption": "value", "temperature": None},
                "meters": {"house": "house_energy", "heat-pump": "heat_pump_energy"},
                "reading_kind": "cumulative",
                "unit": "kWh",
            },
            "water": {
                "measurement": "flow",
                "tags": {"meter_id": "node"},
                "fields": {"consumption": "litres", "temperature": None},
                "reading_kind": "power",
                "timezone": "Europe/Rome",
            },
            "heating": {
                "measurement": "boiler",
                "tags": {"meter_id": None},
                "fields": {"temperature": None},
                "meters": {
                    "gas": {"consumption": "gas_m3", "tags": {"site": "north"}},
                    "heat": {"consumption": "heat_kWh", "tags": {"site": "north"}},
                },
            },
        }
        with store_of(influx_config(double, tags={"meter_type": None}, types=types)) as running:
            yield running

    def test_every_meter_is_listed_once(self, store: InfluxMeterStore) -> None:
        assert [str(summary.meter) for summary in store.list_meters()] == [
            "electricity/heat-pump",
            "electricity/house",
            "heating/gas",
            "heating/heat",
            "water/w-1",
            "water/w-2",
        ]
        assert [str(summary.meter) for summary in store.list_meters("water")] == [
            "water/w-1",
            "water/w-2",
        ]
        assert store.list_meters("gas") == []

    @pytest.mark.parametrize(
        ("meter", "expected"),
        [
            ("electricity/house", [1.0, 2.0]),
            ("electricity/heat-pump", [3.0]),
            ("water/w-1", [10.0, 20.0, 30.0]),
            ("heating/gas", [0.5]),
            ("heating/heat", [5.0]),
        ],
    )
    def test_every_meter_has_its_own_readings(
        self, store: InfluxMeterStore, meter: str, expected: list[float]
    ) -> None:
        assert consumption(store, meter) == expected

    def test_every_type_has_its_own_profile(self, store: InfluxMeterStore) -> None:
        profiles = {str(each.meter): each.profile for each in store.list_meters()}
        assert profiles["electricity/house"] == MeterProfile(
            unit="kWh", reading_kind=ReadingKind.CUMULATIVE
        )
        assert profiles["water/w-1"].reading_kind is ReadingKind.POWER
        assert profiles["water/w-1"].timezone == "Europe/Rome"
        assert profiles["heating/gas"] == MeterProfile()

    @pytest.mark.parametrize("meter", ["electricity/house_energy", "gas/g", "heating/w-1"])
    def test_what_is_not_configured_has_no_place(self, store: InfluxMeterStore, meter: str) -> None:
        with pytest.raises(NoDataFound, match="has no place"):
            consumption(store, meter)

    def test_the_one_bucket_is_asked_about_what_is_configured(
        self, store: InfluxMeterStore, double: InfluxDouble
    ) -> None:
        store.list_meters()
        asked = [flux.split("filter")[1].split('"')[3] for flux in double.queries]
        assert asked == ["kWh", "flow", "boiler", "boiler"]


def test_a_type_of_its_own_is_not_listed_by_the_tag_of_all(double: InfluxDouble) -> None:
    # Given: a tag that tells the type, and a type that lies elsewhere all the same
    double.add_history(METER, readings(2))
    double.add_history(Meter(meter_type="water", meter_id="old"), readings(2))
    hold(double, "flow", "consumption", [1.0], meter_id="new", meter_type="water")
    types = {"water": {"measurement": "flow"}}
    # When
    with store_of(influx_config(double, types=types)) as store:
        listed = [str(summary.meter) for summary in store.list_meters()]
    # Then
    assert listed == [str(METER), "water/new"]


class TestTemperatureApart:
    """A weather station that knows nothing of meters, or a thermometer for each of them."""

    def test_a_station_serves_every_meter(self, double: InfluxDouble) -> None:
        # Given
        other = Meter(meter_type="water", meter_id="w")
        for meter in (METER, other):
            double.add_history(meter, readings(4))
        hold(double, "weather", "t2m", [1.0, 2.0, 3.0, 4.0], station="north")
        hold(double, "weather", "t2m", [20.0] * 4, station="south")
        # When
        with store_of(influx_config(double, temperature=STATION)) as store:
            read = [store.read_history(meter).temperature.tolist() for meter in (METER, other)]
            described = store.describe(METER)
        # Then: what lies beside the consumption is not asked about
        assert read == [[1.0, 2.0, 3.0, 4.0]] * 2
        assert described.has_temperature is True
        assert not any('"temperature"' in flux for flux in double.queries)

    def test_a_thermometer_may_belong_to_a_meter(self, double: InfluxDouble) -> None:
        # Given
        double.add_history(METER, readings(2))
        hold(double, "rooms", "celsius", [19.0, 21.0], sensor="office-1")
        hold(double, "rooms", "celsius", [5.0, 5.0], sensor="office-2")
        source = {"measurement": "rooms", "field": "celsius", "tags": {"meter_id": "sensor"}}
        # When
        with store_of(influx_config(double, temperature=source)) as store:
            read = store.read_history(METER)
        # Then
        assert read.temperature.tolist() == [19.0, 21.0]

    def test_hours_are_averaged_by_the_server_and_held_where_they_are_missing(
        self, double: InfluxDouble
    ) -> None:
        # Given: quarter-hours of consumption; at one o'clock 3 and 5 degrees, then nothing
        double.add_history(METER, readings(48, 900))
        hour = nanoseconds(MIDNIGHT) + HOUR_NS
        points = [(hour + 60 * 10**9, 3.0), (hour + 120 * 10**9, 5.0)]
        tags = {"_measurement": "weather", "_field": "t2m", "station": "north"}
        double.series.append(Series(tags, "double", [*points]))
        # When
        with store_of(influx_config(double, temperature=STATION)) as store:
            read = store.read_history(METER)
        # Then: unknown at first, held for six hours, then unknown again
        hourly = read.temperature.reshape(12, 4)
        assert np.isnan(hourly[0]).all()
        assert (hourly[1:8] == 4.0).all()
        assert np.isnan(hourly[8:]).all()
        assert any("every: 1h, fn: mean" in flux for flux in double.queries)

    def test_a_station_that_is_silent_leaves_them_unknown(self, double: InfluxDouble) -> None:
        double.add_history(METER, readings(4))
        with store_of(influx_config(double, temperature=STATION)) as store:
            assert np.isnan(store.read_history(METER).temperature).all()
            assert store.describe(METER).has_temperature is False

    def test_a_type_may_have_a_station_of_its_own(self, double: InfluxDouble) -> None:
        # Given
        heat = Meter(meter_type="heat", meter_id="h")
        for meter in (METER, heat):
            double.add_history(meter, readings(2))
        hold(double, "weather", "t2m", [1.0, 2.0], station="north")
        types = {"heat": {"temperature": STATION}}
        # When
        with store_of(influx_config(double, types=types)) as store:
            read = store.read_history(heat)
            usual = store.read_history(METER)
        # Then
        assert read.temperature.tolist() == [1.0, 2.0]
        np.testing.assert_array_equal(usual.temperature, readings(2).temperature)

    def test_a_fault_of_the_station_is_an_error(self, double: InfluxDouble) -> None:
        # Given
        double.add_history(METER, readings(4))
        hold(double, "weather", "t2m", [1.0], station="north")
        source = {**STATION, "bucket": "elsewhere"}
        # When, Then
        with (
            store_of(influx_config(double, temperature=source)) as store,
            pytest.raises(InvalidRequest, match="elsewhere"),
        ):
            store.read_history(METER)


class TestVersions:
    @pytest.mark.parametrize("version", ["1.8.10", "1.6.7~rc0", "v1.11.8", "3.1.0"])
    def test_a_server_that_speaks_no_flux_is_told_with_what_to_write(
        self, double: InfluxDouble, version: str
    ) -> None:
        double.version = version
        with (
            store_of(influx_config(double)) as store,
            pytest.raises(
                InvalidRequest, match=r"database.*username and password or token"
            ) as told,
        ):
            store.check()
        assert version in told.value.message
        assert told.value.details["field"] == "influxdb_config"
        assert double.queries == []

    @pytest.mark.parametrize("version", ["v2.7.12", "2.0.4", "v2.9.0"])
    def test_every_2_is_right(self, double: InfluxDouble, version: str) -> None:
        double.version = version
        with store_of(influx_config(double)) as store:
            assert store.check().version == version

    def test_a_server_that_hides_its_version_is_asked_in_flux(self, double: InfluxDouble) -> None:
        double.version = ""
        with store_of(influx_config(double)) as store:
            assert store.check().version == "unknown"
        assert len(double.queries) == 1


def test_a_bucket_of_mixed_types_can_be_probed(double: InfluxDouble) -> None:
    # Given: text, whole numbers and decimals in the second that a probe looks at
    for kind, value in (("string", "on"), ("long", 1), ("double", 1.5)):
        tags = {"_measurement": "energy_consumption", "_field": kind}
        double.series.append(Series(tags, kind, [(0, value)]))
    # When, Then
    with store_of(influx_config(double)) as store:
        assert store.check().version == "v2.7.12"


def test_a_forecast_of_temperature_may_lie_in_another_bucket(double: InfluxDouble) -> None:
    source = {"measurement": "weather", "field": "t2m", "bucket": "forecasts"}
    with store_of(influx_config(double, temperature_forecast=source)) as store:
        double.bucket = "forecasts"
        hold(double, "weather", "t2m", [1.0, 2.0])
        forecast = store.read_temperature_forecast(
            METER, start=MIDNIGHT, end=MIDNIGHT + timedelta(days=1)
        )
    assert forecast.degrees.tolist() == [1.0, 2.0]
