"""InfluxQL texts: whatever a name holds, it stays one identifier or one string."""

# ruff: noqa: S608 - texts that are compared, not sent

import re

import pytest

from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.influxql_queries import (
    aggregate,
    count_query,
    edge_query,
    identifier,
    newest_query,
    probe_query,
    string,
    values_query,
    window_query,
)
from energy_forecasting.meters.influx.layout import Layout, MeterGroup, Place
from energy_forecasting.meters.spans import Span

PLACE = Place(
    container="d", measurement="energy", tags=(("meter_type", "water"), ("meter_id", "dma.5"))
)
DAY = Span(start=0, end=86_400)
TAGS = "\"meter_type\" = 'water' AND \"meter_id\" = 'dma.5' AND "
WITHIN_DAY = "time >= '1970-01-01T00:00:00Z' AND time < '1970-01-02T00:00:00Z'"
EVER = "time >= '1700-01-01T00:00:00Z' AND time < '2200-01-01T00:00:00Z'"

HOSTILE = [
    "'; DROP DATABASE x; --",
    '"; DROP DATABASE x; --',
    "' OR 1=1 --",
    '" WHERE 1=1 --',
    "'",
    '"',
    "\\",
    "\\\\",
    "\\'",
    '\\"',
    "a\\",
    "'\\",
    "''",
    '""',
    "/* */",
    "-- x",
    "/.*/",
    "$1",
    "${x}",
    "time",
    "*",
    "::field",
    "Zähler 電力 🚰",
    "\u202egnp",
    " ",
]


def literal(text: str) -> str:
    """Return what InfluxDB reads from a quoted literal; fail when it ends elsewhere.

    The rules are those of its scanner: ``\\n``, ``\\\\``, ``\\"`` and ``\\'`` are the only escapes.
    """
    quote = text[0]
    assert quote in "'\""
    read, rest = "", text[1:]
    while not rest.startswith(quote):
        assert rest, "it never ends"
        if rest[0] == "\\":
            assert rest[1] in "n\\\"'", "InfluxDB knows no such escape"
            read += "\n" if rest[1] == "n" else rest[1]
            rest = rest[2:]
        else:
            assert rest[0] != "\n", "a line break ends it"
            read += rest[0]
            rest = rest[1:]
    assert rest == quote, "it ends too early"
    return read


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_stays_one_literal(name: str) -> None:
    assert literal(identifier(name)) == literal(string(name)) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_a_query_without_its_literals_is_the_same_for_every_name(name: str) -> None:
    # Given
    config = InfluxConfig.model_validate(
        {
            "url": "http://db",
            "database": name,
            "retention_policy": name,
            "measurement": name,
            "where": {f"a{name}": name},
            "tags": {"meter_id": f"b{name}", "meter_type": f"c{name}"},
            "fields": {"consumption": f"d{name}", "temperature": f"e{name}"},
        }
    )
    place = Layout(config).of(Meter(meter_type="water", meter_id="dma.5"))
    (group,) = Layout(config).groups()
    # When
    queries = [
        values_query(place.readings, (place.consumption, str(place.temperature)), DAY),
        edge_query(place.readings, place.consumption, DAY, "last"),
        count_query(place.readings, place.consumption, DAY),
        window_query(place.readings, (aggregate("sum", place.consumption),), DAY, "1h"),
        newest_query(group),
        probe_query(group.place),
    ]
    # Then
    quoted = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
    where = "L = L AND L = L AND L = L AND time >= L AND time < L"
    assert [re.sub(quoted, "L", query) for query in queries] == [
        f"SELECT L, L FROM L.L WHERE {where}",
        f"SELECT last(L) FROM L.L WHERE {where}",
        f"SELECT count(L) FROM L.L WHERE {where}",
        f"SELECT sum(L) FROM L.L WHERE {where} GROUP BY time(1h) fill(none)",
        "SELECT last(L) FROM L.L WHERE L = L AND time >= L AND time < L GROUP BY L, L",
        "SELECT * FROM L.L WHERE L = L AND time >= L AND time < L LIMIT 1",
    ]


def test_a_history_is_asked_for_in_one_question() -> None:
    assert values_query(PLACE, ("consumption", "temperature"), DAY) == (
        f'SELECT "consumption", "temperature" FROM "energy" WHERE {TAGS}{WITHIN_DAY}'
    )
    assert values_query(PLACE, ("consumption",), DAY) == (
        f'SELECT "consumption" FROM "energy" WHERE {TAGS}{WITHIN_DAY}'
    )


def test_a_retention_policy_stands_before_the_measurement() -> None:
    place = Place(container="d", retention_policy="a year", measurement="energy")
    assert count_query(place, "v", DAY) == (
        f'SELECT count("v") FROM "a year"."energy" WHERE {WITHIN_DAY}'
    )


@pytest.mark.parametrize("edge", ["first", "last"])
def test_the_ends_are_asked_for_with_a_selector(edge: str) -> None:
    query = edge_query(PLACE, "v", Span(), "first" if edge == "first" else "last")
    assert query == f'SELECT {edge}("v") FROM "energy" WHERE {TAGS}{EVER}'


def test_windows_without_values_are_left_out() -> None:
    wanted = (aggregate("sum", "v"), aggregate("count", "v"), aggregate("mean", "t"))
    assert window_query(PLACE, wanted, DAY, "1h") == (
        f'SELECT sum("v"), count("v"), mean("t") FROM "energy" WHERE {TAGS}{WITHIN_DAY} '
        "GROUP BY time(1h) fill(none)"
    )


def test_meters_are_listed_by_their_tags() -> None:
    place = Place(container="d", measurement="energy", tags=(("site", "rome"),))
    group = MeterGroup(
        place=place,
        consumption="v",
        profile=Layout(InfluxConfig(url="http://db", database="d"))
        .of(Meter(meter_type="gas", meter_id="g"))
        .profile,
        id_tag="id",
        type_tag="kind",
    )
    assert newest_query(group) == (
        f'SELECT last("v") FROM "energy" WHERE "site" = \'rome\' AND {EVER} GROUP BY "kind", "id"'
    )


def test_the_probe_reads_next_to_nothing() -> None:
    assert probe_query(Place(container="d", measurement="m")) == (
        "SELECT * FROM \"m\" WHERE time >= '1970-01-01T00:00:00Z' AND "
        "time < '1970-01-01T00:00:01Z' LIMIT 1"
    )


@pytest.mark.parametrize(
    ("span", "since", "before"),
    [
        (Span(), "1700-01-01T00:00:00Z", "2200-01-01T00:00:00Z"),
        (Span(start=-(10**11), end=10**11), "1700-01-01T00:00:00Z", "2200-01-01T00:00:00Z"),
        (Span(start=-1), "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z"),
    ],
)
def test_a_query_is_always_bounded(span: Span, since: str, before: str) -> None:
    query = values_query(PLACE, ("v",), span)
    assert query.endswith(f"time >= '{since}' AND time < '{before}'")
