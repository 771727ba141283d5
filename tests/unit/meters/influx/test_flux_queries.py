"""Flux texts: whatever a name holds, it stays a string literal."""

from typing import Literal

import pytest

from energy_forecasting.domain.meters import MeterProfile
from energy_forecasting.meters.influx.flux_queries import (
    count_query,
    edge_query,
    ends_query,
    names_query,
    newest_query,
    probe_query,
    quoted,
    tags_query,
    type_query,
    values_query,
    window_query,
)
from energy_forecasting.meters.influx.layout import MeterGroup, Place
from energy_forecasting.meters.spans import Span, bounded
from tests.integration.meters.flux_language import FluxParser, unquoted
from tests.integration.meters.influx_refusal import Refusal

PLACE = Place(
    container="b",
    measurement="energy_consumption",
    tags=(("meter_type", "water"), ("meter_id", "dma.5")),
)
A_DAY = Span(start=0, end=86_400)

SOURCE = """\
from(bucket: "b")
  |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-02T00:00:00Z)
  |> filter(fn: (r) => r["_measurement"] == "energy_consumption" \
and r["_field"] == "consumption" and r["meter_type"] == "water" and r["meter_id"] == "dma.5")
"""
EVER = "range(start: 1700-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z)"

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


def group(place: Place, id_tag: str, type_tag: str | None) -> MeterGroup:
    return MeterGroup(
        place=place,
        consumption="consumption",
        profile=MeterProfile(),
        id_tag=id_tag,
        type_tag=type_tag,
    )


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


class TestTexts:
    def test_values_are_asked_for_field_by_field_without_pivot(self) -> None:
        query = values_query(PLACE, "consumption", A_DAY)
        assert query == SOURCE + '  |> keep(columns: ["_time", "_value"])'

    @pytest.mark.parametrize("edge", ["first", "last"])
    def test_an_edge_is_asked_for_by_series(self, edge: Literal["first", "last"]) -> None:
        query = edge_query(PLACE, "consumption", A_DAY, edge)
        assert query == f'{SOURCE}  |> {edge}()\n  |> keep(columns: ["_time"])'

    @pytest.mark.parametrize(
        ("every", "aggregate"), [("7d", "count"), ("1h", "sum"), ("1h", "mean")]
    )
    def test_windows_are_named_by_their_start_and_empty_ones_left_out(
        self, every: str, aggregate: Literal["count", "sum", "mean"]
    ) -> None:
        query = window_query(PLACE, "consumption", A_DAY, every, aggregate)
        assert query == (
            f"{SOURCE}"
            f"  |> aggregateWindow(every: {every}, fn: {aggregate}, createEmpty: false, "
            'timeSrc: "_start")\n'
            '  |> keep(columns: ["_time", "_value"])'
        )

    @pytest.mark.parametrize(
        ("fields", "condition"),
        [
            (("kWh",), 'r["_field"] == "kWh"'),
            (("kWh", "°C"), '(r["_field"] == "kWh" or r["_field"] == "°C")'),
        ],
    )
    def test_the_ends_of_fields_are_asked_for_together(
        self, fields: tuple[str, ...], condition: str
    ) -> None:
        query = ends_query(Place(container="b", measurement="m"), fields, A_DAY)
        assert query == (
            'from(bucket: "b")\n'
            "  |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-02T00:00:00Z)\n"
            f'  |> filter(fn: (r) => r["_measurement"] == "m" and {condition})\n'
            '  |> last()\n  |> keep(columns: ["_field", "_time"])'
        )

    def test_everything_is_counted(self) -> None:
        query = count_query(PLACE, "consumption")
        assert EVER in query
        assert query.endswith('  |> count()\n  |> keep(columns: ["_value"])')

    @pytest.mark.parametrize(
        ("type_tag", "kept"),
        [("meter_type", '"meter_type", "meter_id", "_time"'), (None, '"meter_id", "_time"')],
    )
    def test_meters_are_told_apart_by_their_tags(self, type_tag: str | None, kept: str) -> None:
        place = Place(container="b", measurement="energy_consumption")
        assert newest_query(group(place, "meter_id", type_tag)) == (
            f'from(bucket: "b")\n  |> {EVER}\n'
            '  |> filter(fn: (r) => r["_measurement"] == "energy_consumption" '
            'and r["_field"] == "consumption")\n'
            f"  |> last()\n  |> keep(columns: [{kept}])\n  |> group()"
        )

    def test_a_probe_looks_at_one_second(self) -> None:
        assert probe_query(Place(container="b", measurement="m")) == (
            'from(bucket: "b")\n'
            "  |> range(start: 1970-01-01T00:00:00Z, stop: 1970-01-01T00:00:01Z)\n"
            '  |> filter(fn: (r) => r["_measurement"] == "m")\n'
            '  |> last()\n  |> keep(columns: ["_time"])'
        )


class TestHostileNames:
    @pytest.mark.parametrize("name", [name for name in HOSTILE if name and name.isprintable()])
    def test_a_hostile_name_adds_no_call_to_a_query(self, name: str) -> None:
        # Given
        place = Place(container=name, measurement=name, tags=((name, name), (f"{name}2", name)))
        start = ["from", "range", "filter"]
        queries = {
            values_query(place, name, Span()): [*start, "keep"],
            edge_query(place, name, Span(), "last"): [*start, "last", "keep"],
            ends_query(place, (name, f"{name}2"), Span()): [*start, "last", "keep"],
            count_query(place, name): [*start, "count", "keep"],
            window_query(place, name, Span(), "1h", "sum"): [*start, "aggregateWindow", "keep"],
            newest_query(group(place, name, f"{name}2")): [*start, "last", "keep", "group"],
            probe_query(place): [*start, "last", "keep"],
            names_query(place, name, 5): [*start, "keep", "group", "distinct", "limit"],
            names_query(name, name, 5): ["from", "range", "keep", "group", "distinct", "limit"],
            tags_query(place, 5): [*start, "keys", "keep", "distinct", "limit"],
            type_query(place, name): [*start, "last", "keep", "limit"],
        }
        for query, expected in queries.items():
            # When
            calls = FluxParser(query).pipeline()
            # Then
            assert [call.name for call in calls] == expected
            assert calls[0].arguments == {"bucket": name}

    def test_without_quoting_the_parser_would_have_noticed(self) -> None:
        with pytest.raises(Refusal):
            FluxParser('from(bucket: "${b}")').pipeline()
        injected = FluxParser('from(bucket: "b") |> drop(columns: ["_value"])').pipeline()
        assert [call.name for call in injected] == ["from", "drop"]


class TestSpans:
    @pytest.mark.parametrize(
        ("span", "start", "stop"),
        [
            (Span(), "1700-01-01T00:00:00Z", "2200-01-01T00:00:00Z"),
            (Span(start=-(10**11), end=10**11), "1700-01-01T00:00:00Z", "2200-01-01T00:00:00Z"),
            (Span(start=-1), "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z"),
        ],
    )
    def test_a_query_is_always_bounded(self, span: Span, start: str, stop: str) -> None:
        query = values_query(PLACE, "consumption", span)
        assert f"range(start: {start}, stop: {stop})" in query

    def test_a_span_beyond_all_bounds_becomes_empty(self) -> None:
        assert bounded(Span(start=10**11)).is_empty
        assert bounded(Span(end=-(10**11))).is_empty
        assert not bounded(Span()).is_empty
