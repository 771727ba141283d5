"""JSON answers of InfluxDB 1.x, and what is none."""

import json

import pytest

from energy_forecasting.meters.influx.influxql_json import NotOfThisForm, read_answer


def answered(**result: object) -> bytes:
    return json.dumps({"results": [{"statement_id": 0, **result}]}).encode()


def test_series_have_tags_and_rows() -> None:
    told = answered(
        series=[
            {"name": "m", "tags": {"id": "a"}, "columns": ["time", "last"], "values": [[0, 1.5]]},
            {"name": "m", "columns": ["time", "last"]},
        ]
    )
    first, second = read_answer(told).series
    assert (first["tags"], first["values"]) == ({"id": "a"}, [[0, 1.5]])
    assert (second["tags"], second["values"]) == ({}, [])


@pytest.mark.parametrize("answer", [b'{"results":[]}', b'{"results":[{"statement_id":0}]}', b"{}"])
def test_nothing_found_is_no_series(answer: bytes) -> None:
    told = read_answer(answer)
    assert (told.series, told.fault, told.is_cut) == ([], None, False)


def test_a_fault_of_the_statement_or_of_all_is_told() -> None:
    assert read_answer(answered(error="database not found: x")).fault == "database not found: x"
    assert read_answer(b'{"error":"error parsing query"}').fault == "error parsing query"


def test_rows_left_out_are_told() -> None:
    series = {"values": [[0, 1]]}
    assert read_answer(answered(series=[series], partial=True)).is_cut
    assert read_answer(answered(series=[series, {**series, "partial": True}])).is_cut
    assert not read_answer(answered(series=[series])).is_cut


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"5",
        b"null",
        b"\xff",
        b'{"results":5}',
        b'{"results":[5]}',
        b'{"results":{"series":[]}}',
        answered(series="x"),
        answered(series=[5]),
        answered(series=[{"values": 5}]),
        answered(series=[{"values": [5]}]),
        answered(series=[{"values": [[]]}]),
        answered(series=[{"values": {"a": 1}}]),
        answered(series=[{"tags": ["a"], "values": [[0, 1]]}]),
        b"[" * 100_000,
        b'{"a":' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_not_of_that_form_is_told(answer: bytes) -> None:
    with pytest.raises(NotOfThisForm):
        read_answer(answer)
