"""Flux texts: whatever a name holds, it stays a string literal."""

import pytest

from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.flux import (
    bounded,
    counts_query,
    edge_query,
    meters_query,
    probe_query,
    quoted,
    temperature_forecast_query,
    values_query,
)
from energy_forecasting.meters.influx.config import InfluxConfig, InfluxTemperatureForecast
from energy_forecasting.meters.spans import Span
from tests.integration.meters.influx_double import FluxParser, Refusal, unquoted

METER = Meter(meter_type="water", meter_id="dma.5")
HOSTILE = [
    '") |> drop(columns: ["_value"]) //',
    '"',
    "\\",
    "\\\\",
    '\\"',
    "${r._value}",
    "\\${r._value}",
    "$",
    "$${",
    "{}",
    "line\nbreak\r\n",
    "tab\t",
    "\x00\x01\x0b\x1f\x7f",
    "Zähler 電力",
    "",
]


def config(**changes: object) -> InfluxConfig:
    values = {"url": "http://localhost:8086", "token": "t", "org": "o", "bucket": "b"}
    return InfluxConfig.model_validate({**values, **changes})


@pytest.mark.parametrize("text", HOSTILE)
def test_quoting_is_undone_by_reading_the_literal(text: str) -> None:
    literal = quoted(text)
    assert unquoted(literal) == text
    assert not {"\n", "\r", "\t", "\x00"} & set(literal)


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ('a"b', r'"a\"b"'),
        ("a\\b", r'"a\\b"'),
        ("a\nb", r'"a\nb"'),
        ("${a}", r'"\${a}"'),
        ("$a", '"$a"'),
        ("\x07", r'"\x07"'),
    ],
)
def test_quoting_writes_the_escapes_of_the_specification(text: str, literal: str) -> None:
    assert quoted(text) == literal


def test_a_history_is_asked_for_field_by_field_without_pivot() -> None:
    query = values_query(config(), METER, "consumption", Span(start=0, end=86_400))
    assert query == (
        'from(bucket: "b")\n'
        "  |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-02T00:00:00Z)\n"
        '  |> filter(fn: (r) => r["_measurement"] == "energy_consumption" '
        'and r["_field"] == "consumption" and r["meter_type"] == "water" '
        'and r["meter_id"] == "dma.5")\n'
        '  |> keep(columns: ["_time", "_value"])'
    )


@pytest.mark.parametrize("name", [name for name in HOSTILE if name and name.isprintable()])
def test_a_hostile_name_adds_no_call_to_a_query(name: str) -> None:
    # Given
    hostile = config(
        bucket=name,
        measurement=name,
        tags={"meter_id": name, "meter_type": name},
        fields={"consumption": name, "temperature": name},
    )
    source = InfluxTemperatureForecast(
        measurement=name, field=name, bucket=name, where={name: name}
    )
    weather = temperature_forecast_query(hostile, source, METER, Span())
    queries = {
        values_query(hostile, METER, name, Span()): ["from", "range", "filter", "keep"],
        edge_query(hostile, METER, "last"): ["from", "range", "filter", "last", "keep"],
        counts_query(hostile, METER): ["from", "range", "filter", "count", "keep"],
        meters_query(hostile, name): ["from", "range", "filter", "last", "keep", "group"],
        probe_query(hostile): ["from", "range", "filter", "last", "keep"],
        weather: ["from", "range", "filter", "keep"],
    }
    for query, expected in queries.items():
        # When
        calls = FluxParser(query).pipeline()
        # Then
        assert [call.name for call in calls] == expected
        assert calls[0].arguments == {"bucket": name}


def test_without_quoting_the_parser_would_have_noticed() -> None:
    with pytest.raises(Refusal):
        FluxParser('from(bucket: "${b}")').pipeline()
    injected = FluxParser('from(bucket: "b") |> drop(columns: ["_value"])').pipeline()
    assert [call.name for call in injected] == ["from", "drop"]


@pytest.mark.parametrize(
    ("span", "start", "stop"),
    [
        (Span(), "1700-01-01T00:00:00Z", "2200-01-01T00:00:00Z"),
        (Span(start=-(10**11), end=10**11), "1700-01-01T00:00:00Z", "2200-01-01T00:00:00Z"),
        (Span(start=-1), "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z"),
    ],
)
def test_a_query_is_always_bounded(span: Span, start: str, stop: str) -> None:
    query = values_query(config(), METER, "consumption", span)
    assert f"range(start: {start}, stop: {stop})" in query


def test_a_span_beyond_all_bounds_becomes_empty() -> None:
    assert bounded(Span(start=10**11)).is_empty
    assert bounded(Span(end=-(10**11))).is_empty
    assert not bounded(Span()).is_empty
