"""Where the readings of a meter lie, by configuration."""

import pytest

from energy_forecasting.domain.errors import NoDataFound
from energy_forecasting.domain.meters import Meter, MeterProfile, ReadingKind
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.layout import Layout, MeterGroup, Place, SeriesPlace

WELL = Meter(meter_type="water", meter_id="well-1")
MAIN = Meter(meter_type="electricity", meter_id="main")


def layout(**changes: object) -> Layout:
    values = {"url": "http://db:8086", "token": "t", "org": "o", "bucket": "b"}
    return Layout(InfluxConfig.model_validate({**values, **changes}))


def influxql_layout(**changes: object) -> Layout:
    values = {"url": "http://db:8086", "database": "d"}
    return Layout(InfluxConfig.model_validate({**values, **changes}))


def groups(of: Layout, meter_type: str | None = None) -> list[MeterGroup]:
    return list(of.groups(meter_type))


class TestPlaces:
    def test_by_default_two_tags_tell_a_meter(self) -> None:
        place = layout().of(WELL)
        assert place.readings == Place(
            container="b",
            measurement="energy_consumption",
            tags=(("meter_type", "water"), ("meter_id", "well-1")),
        )
        assert (place.consumption, place.temperature) == ("consumption", "temperature")
        assert place.temperature_apart is place.temperature_forecast is None
        assert (place.meter, place.profile) == (WELL, MeterProfile())

    def test_a_database_may_have_a_retention_policy(self) -> None:
        place = influxql_layout(retention_policy="year").of(WELL)
        assert (place.readings.container, place.readings.retention_policy) == ("d", "year")

    def test_further_tags_stand_before_those_of_the_meter(self) -> None:
        place = layout(where={"site": "rome", "domain": "sensor"}).of(WELL)
        assert place.readings.tags == (
            ("site", "rome"),
            ("domain", "sensor"),
            ("meter_type", "water"),
            ("meter_id", "well-1"),
        )

    def test_a_type_lies_where_it_says_and_others_where_they_did(self) -> None:
        # Given
        of = layout(
            types={
                "water": {
                    "measurement": "wells",
                    "tags": {"meter_id": "well", "meter_type": None},
                    "fields": {"consumption": "m3", "temperature": None},
                    "unit": "m3",
                    "reading_kind": "cumulative",
                }
            }
        )
        # When
        water, electricity = of.of(WELL), of.of(MAIN)
        # Then
        assert water.readings == Place(
            container="b", measurement="wells", tags=(("well", "well-1"),)
        )
        assert (water.consumption, water.temperature) == ("m3", None)
        assert water.profile == MeterProfile(unit="m3", reading_kind=ReadingKind.CUMULATIVE)
        assert electricity.readings.measurement == "energy_consumption"
        assert electricity.profile == MeterProfile()

    def test_listed_meters_lie_under_the_value_of_their_tag(self) -> None:
        of = layout(
            types={"water": {"meters": {"well-1": "sensor.well 1"}}, "gas": {"meters": ["g"]}}
        )
        assert of.of(WELL).readings.tags[-1] == ("meter_id", "sensor.well 1")
        gas = of.of(Meter(meter_type="gas", meter_id="g"))
        assert gas.readings.tags[-1] == ("meter_id", "g")

    def test_a_placed_meter_lies_under_tags_and_field_of_its_own(self) -> None:
        # Given
        schema = {
            "where": {"site": "rome"},
            "meters": {
                "main": {"tags": {"entity": "x", "phase": "1"}, "consumption": "total"},
                "roof": {"measurement": "solar"},
                "cellar": "sensor.cellar",
            },
        }
        of = layout(types={"electricity": schema})
        # When
        main, roof, cellar = (
            of.of(Meter(meter_type="electricity", meter_id=name))
            for name in ("main", "roof", "cellar")
        )
        # Then
        assert main.readings.tags == (("site", "rome"), ("entity", "x"), ("phase", "1"))
        assert (main.readings.measurement, main.consumption) == ("energy_consumption", "total")
        assert (roof.readings.measurement, roof.consumption) == ("solar", "consumption")
        assert roof.readings.tags == (("site", "rome"),)
        assert cellar.readings.tags == (
            ("site", "rome"),
            ("meter_type", "electricity"),
            ("meter_id", "sensor.cellar"),
        )

    def test_a_meter_that_is_not_listed_has_no_place(self) -> None:
        of = layout(types={"water": {"meters": ["well-2"]}})
        with pytest.raises(NoDataFound, match="not among the meters of its type") as raised:
            of.of(WELL)
        assert raised.value.details["meter_id"] == "well-1"

    def test_without_a_tag_for_the_type_an_unnamed_type_has_no_place(self) -> None:
        of = layout(tags={"meter_type": None}, types={"water": {}, "gas": {}})
        assert of.of(WELL).readings.tags == (("meter_id", "well-1"),)
        with pytest.raises(NoDataFound, match="types names gas, water only"):
            of.of(MAIN)


class TestTemperatures:
    def test_one_series_may_serve_all_meters(self) -> None:
        source = {"measurement": "weather", "field": "t2m", "where": {"station": "milano"}}
        place = layout(temperature=source, temperature_forecast=source).of(WELL)
        expected = SeriesPlace(
            place=Place(container="b", measurement="weather", tags=(("station", "milano"),)),
            field="t2m",
        )
        assert place.temperature_apart == place.temperature_forecast == expected
        assert place.temperature is None

    def test_a_series_of_each_meter_is_told_by_tags(self) -> None:
        source = {"measurement": "w", "tags": {"meter_id": "id", "meter_type": "kind"}}
        apart = layout(temperature=source).of(WELL).temperature_apart
        assert apart is not None
        assert apart.place.tags == (("kind", "water"), ("id", "well-1"))
        assert apart.field == "temperature"

    def test_a_retention_policy_is_of_the_readings_database_only(self) -> None:
        # Given
        near, far = {"measurement": "w"}, {"measurement": "w", "bucket": "elsewhere"}
        of = influxql_layout(retention_policy="year", temperature=near, temperature_forecast=far)
        # When
        place = of.of(WELL)
        # Then
        assert place.temperature_apart is not None
        assert place.temperature_forecast is not None
        beside, elsewhere = place.temperature_apart.place, place.temperature_forecast.place
        assert (beside.container, beside.retention_policy) == ("d", "year")
        assert (elsewhere.container, elsewhere.retention_policy) == ("elsewhere", None)

    def test_a_type_may_have_its_own_or_none(self) -> None:
        of = layout(
            temperature={"measurement": "air"},
            types={
                "water": {"temperature": {"measurement": "river"}},
                "gas": {"temperature": None},
            },
        )
        water = of.of(WELL).temperature_apart
        gas = of.of(Meter(meter_type="gas", meter_id="g"))
        assert water is not None
        assert water.place.measurement == "river"
        assert gas.temperature_apart is None
        assert gas.temperature == "temperature"


class TestListing:
    def test_by_default_one_question_lists_all(self) -> None:
        (group,) = groups(layout())
        assert (group.type_tag, group.id_tag, group.meter_type) == ("meter_type", "meter_id", None)
        assert group.place.tags == ()
        assert group.meter("water", "well-1") == WELL

    def test_one_type_is_listed_by_its_tag(self) -> None:
        (group,) = groups(layout(), "water")
        assert group.place.tags == (("meter_type", "water"),)
        assert group.type_tag is None
        assert group.meter(None, "well-1") == WELL

    def test_types_with_a_place_of_their_own_are_asked_apart_and_not_twice(self) -> None:
        # Given
        of = layout(types={"water": {"measurement": "wells", "unit": "m3"}})
        # When
        water, others = groups(of)
        # Then
        assert water.place.measurement == "wells"
        assert water.place.tags == (("meter_type", "water"),)
        assert (water.profile.unit, others.profile.unit) == ("m3", "")
        assert others.meter("gas", "g") == Meter(meter_type="gas", meter_id="g")
        assert others.meter("water", "well-1") is None

    def test_without_a_tag_for_the_type_each_named_type_is_asked(self) -> None:
        of = layout(tags={"meter_type": None}, types={"water": {}, "gas": {}})
        assert [(group.meter_type, group.type_tag) for group in groups(of)] == [
            ("water", None),
            ("gas", None),
        ]
        assert groups(of, "electricity") == []
        assert len(groups(of, "gas")) == 1

    def test_values_of_the_tag_become_ids_and_others_are_left_out(self) -> None:
        (group, _) = groups(layout(types={"water": {"meters": {"well-1": "sensor.well 1"}}}))
        assert group.meter(None, "sensor.well 1") == WELL
        assert group.meter(None, "well-1") is None

    @pytest.mark.parametrize("value", ["", "a/b", "..", "a b", "a\nb", "x" * 129, "ü"])
    def test_a_value_that_is_no_valid_name_is_no_meter(self, value: str) -> None:
        (group,) = groups(layout())
        assert group.meter("water", value) is None
        assert group.meter(value, "a") is None

    def test_placed_meters_are_asked_one_by_one(self) -> None:
        # Given
        schema = {"meters": {"b": {"consumption": "f"}, "a": {"tags": {"t": "v"}}, "c": "x"}}
        of = layout(types={"electricity": schema, "water": {}})
        # When, Then
        assert [group.meter_type for group in groups(of)] == ["water", None]
        singles = list(of.single_meters())
        assert [place.meter.meter_id for place in singles] == ["a", "b", "c"]
        assert singles[2].readings.tags[-1] == ("meter_id", "x")
        assert list(of.single_meters("water")) == []
        assert len(list(of.single_meters("electricity"))) == 3

    @pytest.mark.parametrize(
        ("changes", "measurement"),
        [
            ({}, "energy_consumption"),
            ({"types": {"water": {"measurement": "wells"}}}, "wells"),
            ({"tags": {"meter_type": None}, "types": {"gas": {"measurement": "g"}}}, "g"),
        ],
    )
    def test_some_place_can_always_be_asked(
        self, changes: dict[str, object], measurement: str
    ) -> None:
        assert layout(**changes).anywhere().measurement == measurement
