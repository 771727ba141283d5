"""Lines of InfluxDB's line protocol: exact, escaped, and refused where they would be misread."""

from datetime import UTC, datetime

import numpy as np
import pytest

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.meters.influx.line_protocol import line

BACKSLASH = "\\"


def test_a_line_holds_measurement_sorted_tags_fields_and_seconds() -> None:
    tags = {"meter_type": "water", "b": "2", "B": "1", "meter_id": "dma.5"}
    written = line(
        "energy", tags, {"consumption": 1.5, "readings": 3, "state": "ok"}, 1_700_000_000
    )
    assert written == (
        "energy,B=1,b=2,meter_id=dma.5,meter_type=water "
        'consumption=1.5,readings=3i,state="ok" 1700000000'
    )


def test_tags_may_be_missing() -> None:
    assert line("m", {}, {"f": 1.0}, 0) == "m f=1.0 0"


@pytest.mark.parametrize(
    ("name", "as_measurement", "as_key"),
    [
        ("a b", r"a\ b", r"a\ b"),
        ("a,b", r"a\,b", r"a\,b"),
        ("a=b", "a=b", r"a\=b"),
        ('a"b', 'a"b', 'a"b'),
        ("a'b", "a'b", "a'b"),
        (r"a\b", r"a\b", r"a\b"),
        ("Zähler 電力", r"Zähler\ 電力", r"Zähler\ 電力"),
        (" ,=", r"\ \,=", r"\ \,\="),
    ],
)
def test_names_are_escaped_where_they_stand(name: str, as_measurement: str, as_key: str) -> None:
    written = line(name, {name: name}, {name: 1}, 7)
    assert written == f"{as_measurement},{as_key}={as_key} {as_key}=1i 7"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ('say "a", b = c', r'"say \"a\", b = c"'),
        (BACKSLASH, r'"\\"'),
        (r"\"", r'"\\\""'),
        (r"C:\new", r'"C:\\new"'),
    ],
)
def test_strings_are_quoted(text: str, quoted: str) -> None:
    assert line("m", {}, {"f": text}, 7) == f"m f={quoted} 7"


@pytest.mark.parametrize(
    "number",
    [0.1, 1 / 3, 1e22, 5e-324, 1.7976931348623157e308, -0.0, 123456789.123456789, np.float64(0.1)],
)
def test_floats_are_exact(number: float) -> None:
    text = line("m", {}, {"f": number}, 7).removeprefix("m f=").removesuffix(" 7")
    assert float(text).hex() == float(number).hex()


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, -(2**63)])
def test_integers_carry_their_suffix(number: int) -> None:
    assert line("m", {}, {"f": number}, 7) == f"m f={number}i 7"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 2**63, True])
def test_numbers_that_influxdb_cannot_hold_are_refused(number: float) -> None:
    with pytest.raises(InvalidRequest, match="field value"):
        line("m", {}, {"f": number}, 7)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\nb",
        "a\rb",
        "a\tb",
        "a\x00b",
        "a\ud800",
        BACKSLASH,
        "a" + BACKSLASH,
        r"a\\b",
        r"a\,b",
        r"a\=b",
        r"a\ b",
        r"a\"b",
    ],
)
def test_what_versions_would_read_differently_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="measurement"):
        line(name, {}, {"f": 1.0}, 7)
    with pytest.raises(InvalidRequest, match="tag key"):
        line("m", {name: "v"}, {"f": 1.0}, 7)
    with pytest.raises(InvalidRequest, match="tag value"):
        line("m", {"t": name}, {"f": 1.0}, 7)
    with pytest.raises(InvalidRequest, match="field key"):
        line("m", {}, {name: 1.0}, 7)


@pytest.mark.parametrize("text", ["a\nb", "\r", "\x00", "\udfff"])
def test_line_breaks_and_control_characters_in_strings_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="control characters"):
        line("m", {}, {"f": text}, 7)


@pytest.mark.parametrize(
    ("measurement", "tags", "fields"),
    [
        ("#m", {}, {"f": 1.0}),
        ("_m", {}, {"f": 1.0}),
        ("m", {"_t": "v"}, {"f": 1.0}),
        ("m", {"time": "v"}, {"f": 1.0}),
        ("m", {}, {"_f": 1.0}),
        ("m", {}, {"time": 1.0}),
        ("m", {"t": "v"}, {}),
    ],
)
def test_reserved_names_and_empty_points_are_refused(
    measurement: str, tags: dict[str, str], fields: dict[str, float]
) -> None:
    with pytest.raises(InvalidRequest):
        line(measurement, tags, fields, 7)


def test_moments_that_influxdb_cannot_express_are_refused() -> None:
    far = int(datetime(2300, 1, 1, tzinfo=UTC).timestamp())
    with pytest.raises(InvalidRequest, match="seconds"):
        line("m", {}, {"f": 1.0}, far)


def test_a_refusal_shows_no_raw_text() -> None:
    with pytest.raises(InvalidRequest) as caught:
        line("m", {"t": "v\n2026-01-01 ERROR forged" + "x" * 500}, {"f": 1.0}, 7)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 200
