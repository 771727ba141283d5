"""Layouts guessed from names alone; each must be a configuration that can be used."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from energy_forecasting.doctor.guess import Guess, guess, worth_looking_at
from energy_forecasting.doctor.sight import Measurement
from energy_forecasting.domain.meters import DEFAULT_METER_TYPES
from energy_forecasting.meters.influx.catalog import FieldType, Names
from energy_forecasting.meters.influx.config import check_influx_values

NUMBER, TEXT = FieldType.NUMBER, FieldType.TEXT


def measurement(
    name: str, tags: Mapping[str, Sequence[str]] | None = None, **fields: FieldType
) -> Measurement:
    return Measurement(
        name=name,
        tags={tag: Names(names=tuple(values)) for tag, values in (tags or {}).items()},
        fields=fields,
    )


def guessed(*measurements: Measurement) -> dict[str, Any]:
    """Return the layout; it must be one that the configuration takes."""
    found = found_in(*measurements)
    connection = {"url": "http://db:8086", "database": "d"}
    check_influx_values({**connection, **found.layout}, Path("proposed"))
    return found.layout


def found_in(*measurements: Measurement) -> Guess:
    found = guess(measurements, DEFAULT_METER_TYPES)
    assert found is not None
    return found


def test_tags_of_types_and_ids_are_recognised() -> None:
    layout = guessed(
        measurement(
            "verbrauch",
            {"zaehler": ["a", "b"], "host": ["x"], "medium": ["gas", "heat"]},
            kwh=NUMBER,
            temperatur=NUMBER,
            status=TEXT,
        )
    )
    assert layout == {
        "measurement": "verbrauch",
        "fields": {"consumption": "kwh", "temperature": "temperatur"},
        "unit": "kWh",
        "tags": {"meter_id": "zaehler", "meter_type": "medium"},
    }


def test_types_in_another_language_are_translated() -> None:
    layout = guessed(
        measurement("data", {"meter": ["1", "2"], "tipo": ["acqua", "elettricita"]}, value=NUMBER)
    )
    assert layout["tags"] == {"meter_id": "meter", "meter_type": None}
    assert layout["types"] == {
        "water": {"where": {"tipo": "acqua"}},
        "electricity": {"where": {"tipo": "elettricita"}},
    }


def test_ids_that_cannot_be_used_get_others() -> None:
    layout = guessed(
        measurement("energy", {"sensor": ["ns=3;s=Hall 2", "roof", "a b", "a-b"]}, total=NUMBER)
    )
    assert layout["types"]["electricity"]["meters"] == {
        "ns-3-s-Hall-2": "ns=3;s=Hall 2",
        "roof": "roof",
        "a-b": "a b",
        "a-b-2": "a-b",
    }


def test_a_measurement_without_tags_is_one_meter() -> None:
    layout = guessed(measurement("gas meter", counter_m3=NUMBER))
    assert layout == {
        "types": {
            "gas": {
                "measurement": "gas meter",
                "fields": {"consumption": "counter_m3", "temperature": None},
                "unit": "m3",
                "meters": {"gas-meter": {"consumption": "counter_m3"}},
                "tags": {"meter_type": None},
            }
        }
    }


def test_power_is_a_rate_and_energy_is_preferred() -> None:
    tags = {"meter": ["a", "b"]}
    assert guessed(measurement("mains", tags, power_w=NUMBER))["reading_kind"] == "power"
    both = guessed(measurement("mains", tags, power_w=NUMBER, energy_kwh=NUMBER))
    assert both["fields"]["consumption"] == "energy_kwh"
    assert "reading_kind" not in both


def test_measurements_of_types_lie_beside_each_other() -> None:
    layout = guessed(
        measurement("gas_consumption", {"meter_id": ["g1", "g2"]}, value=NUMBER),
        measurement("water_consumption", {"meter_id": ["w1", "w2"]}, value=NUMBER),
        measurement("cpu", {"host": ["x"]}, usage_idle=NUMBER),
    )
    assert set(layout["types"]) == {"gas", "water"}
    assert layout["types"]["water"]["measurement"] == "water_consumption"


def test_a_type_that_no_name_tells_is_said_to_be_a_guess() -> None:
    found = found_in(measurement("m", {"id": ["1", "2"]}, value=NUMBER))
    assert list(found.layout["types"]) == ["electricity"]
    assert any("electricity is a guess" in remark for remark in found.remarks)


def test_a_thermometer_among_several_has_to_be_named() -> None:
    found = found_in(
        measurement("kWh", {"domain": ["sensor"], "entity_id": ["grid"]}, value=NUMBER),
        measurement("°C", {"domain": ["sensor"], "entity_id": ["kitchen", "bath"]}, value=NUMBER),
    )
    assert "temperature" not in found.layout
    assert any('"kitchen", "bath"' in remark for remark in found.remarks)


@pytest.mark.parametrize(
    "nothing",
    [
        measurement("cpu", {"host": ["a"]}, temperature=NUMBER),
        measurement("log", {"host": ["a"]}, message=TEXT),
        measurement("°C", {"entity_id": ["a"]}, value=NUMBER),
        measurement("energy", {"meter": ["a"]}, **{"kwh\x1b[31m": NUMBER}),
    ],
)
def test_nothing_like_meters_is_nothing(nothing: Measurement) -> None:
    assert guess([nothing], DEFAULT_METER_TYPES) is None


def test_promising_names_come_first_and_impossible_ones_never() -> None:
    names = ["cpu", "zz", "kWh", "bad\nname", "gas_meter", "battery", "weather"]
    looked_at = worth_looking_at(names, 3)
    assert looked_at[:2] == ["kWh", "gas_meter"]
    assert "weather" in looked_at
    assert not {"cpu", "battery", "bad\nname"} & set(looked_at)
