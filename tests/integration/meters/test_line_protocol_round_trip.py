"""What is written as line protocol is what a real InfluxDB 1.x says it holds, or it is refused."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.meters.influx.line_protocol import line
from tests.influx_server import InfluxServer
from tests.integration.meters.hostile_text import texts, writable_names

pytestmark = pytest.mark.influxdb

one_server = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
SECONDS = st.integers(-8_520_336_000, 7_258_118_400)  # 1700 to 2200


def ask(server: InfluxServer, database: str, influxql: str) -> list[dict[str, Any]]:
    (result,) = server.ask(influxql, database=database)
    return list(result.get("series", []))


def quoted(name: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


@dataclass(frozen=True)
class Point:
    """One point without text."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | int]
    seconds: int


POINTS = st.builds(
    Point,
    measurement=writable_names,
    tags=st.dictionaries(writable_names, writable_names, max_size=3),
    # A field called as a tag is could not be asked for.
    fields=st.dictionaries(writable_names.map("{}.".format), NUMBERS, min_size=1, max_size=3),
    seconds=SECONDS,
)


@one_server
@given(point=POINTS)
def test_names_and_numbers_come_back_as_they_were_given(
    influx_server: InfluxServer, influx_database: str, point: Point
) -> None:
    # Given
    written = line(point.measurement, point.tags, point.fields, point.seconds)
    source = quoted(point.measurement)
    # When
    influx_server.write(influx_database, written)
    (found,) = ask(influx_server, influx_database, f"SELECT * FROM {source} GROUP BY *")  # noqa: S608
    ask(influx_server, influx_database, f"DROP MEASUREMENT {source}")
    # Then
    assert (found["name"], found.get("tags", {})) == (point.measurement, point.tags)
    (row,) = found["values"]
    time, cells = row[0], dict(zip(found["columns"][1:], row[1:], strict=True))
    assert time == point.seconds
    assert cells.keys() == point.fields.keys()
    for name, number in point.fields.items():
        # The server writes floats without an exponent as integers of as many digits as tell them.
        assert type(number)(cells[name]) == number


@one_server
@given(text=texts)
def test_text_of_a_field_comes_back_as_it_was_given_or_is_refused(
    influx_server: InfluxServer, influx_database: str, text: str
) -> None:
    try:
        written = line("m", {}, {"state": text}, 7)
    except InvalidRequest:
        return
    influx_server.write(influx_database, written)
    (series,) = ask(influx_server, influx_database, 'SELECT "state" FROM "m"')
    assert series["values"] == [[7, text]]


@one_server
@given(
    measurement=texts,
    tags=st.dictionaries(texts, texts, max_size=2),
    fields=st.dictionaries(texts, NUMBERS | texts, max_size=2),
)
def test_any_point_is_one_point_or_refused(
    influx_server: InfluxServer,
    influx_database: str,
    measurement: str,
    tags: dict[str, str],
    fields: dict[str, float | int | str],
) -> None:
    # Given
    try:
        written = line(measurement, tags, fields, 7)
    except InvalidRequest:
        return
    assert "\n" not in written
    if max(map(len, (measurement, *tags, *tags.values(), *fields))) > 256:
        return  # longer than a configuration may name; the server takes keys up to 64 kB
    # When
    influx_server.write(influx_database, written)
    # Then
    found = ask(influx_server, influx_database, "SHOW SERIES")
    ask(influx_server, influx_database, f"DROP MEASUREMENT {quoted(measurement)}")
    assert [len(each["values"]) for each in found] == [1]
