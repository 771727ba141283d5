"""Answers of InfluxDB in the forms that its specification shows."""

import numpy as np
import pytest

from energy_forecasting.domain.errors import ConnectionFailed, DataQualityError
from energy_forecasting.meters.influx import annotated_csv
from energy_forecasting.meters.influx.annotated_csv import read_records


def answer(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


HEADER = (
    "#datatype,string,long,dateTime:RFC3339,double",
    "#group,false,false,false,false",
    "#default,_result,,,",
    ",result,table,_time,_value",
)


@pytest.mark.parametrize("nothing", [b"\r\n", b"\r\n\r\n", answer(*HEADER), answer(*HEADER, "")])
def test_an_empty_answer_has_no_records(nothing: bytes) -> None:
    assert list(read_records(nothing, ascii)) == []


def test_tables_of_like_schema_come_together_and_others_apart() -> None:
    # Given
    text = answer(
        *HEADER,
        ",,0,2024-01-01T00:00:00Z,1.5",
        ",,1,2024-01-01T01:00:00Z,2.5",
        "",
        "#datatype,string,long,long",
        "#group,false,false,false",
        "#default,_result,,",
        ",result,table,_value",
        ",,2,7",
        "",
    )
    # When
    pieces = list(read_records(text, ascii))
    # Then
    assert [piece["_value"].numbers().tolist() for piece in pieces] == [[1.5, 2.5], [7.0]]
    assert [list(piece) for piece in pieces] == [
        ["", "result", "table", "_time", "_value"],
        ["", "result", "table", "_value"],
    ]


def test_an_empty_cell_takes_the_default_and_else_is_null() -> None:
    # Given
    text = answer(
        "#datatype,string,long,string,double",
        "#default,_result,,unknown,",
        ",result,table,name,_value",
        ",,0,,1",
        ",,0,roof,",
    )
    # When
    (piece,) = read_records(text, ascii)
    # Then
    assert piece["name"].strings() == ["unknown", "roof"]
    np.testing.assert_array_equal(piece["_value"].numbers(), [1, np.nan])


def test_a_quoted_cell_may_hold_commas_quotes_and_lines() -> None:
    text = answer("#datatype,string,long,string", ",result,table,name", ',,0,"a,""b""\r\nc"')
    (piece,) = read_records(text, ascii)
    assert piece["name"].strings() == ['a,"b"\r\nc']


def test_numbers_may_be_infinite_or_nan() -> None:
    text = answer(*HEADER, ",,0,2024-01-01T00:00:00Z,+Inf", ",,0,2024-01-01T00:00:01Z,NaN")
    (piece,) = read_records(text, ascii)
    np.testing.assert_array_equal(piece["_value"].numbers(), [np.inf, np.nan])


@pytest.mark.parametrize("datatype", ["string", "boolean", "dateTime:RFC3339", "duration"])
def test_what_is_no_number_is_refused(datatype: str) -> None:
    text = answer(f"#datatype,string,long,{datatype}", ",result,table,_value", ",,0,1")
    (piece,) = read_records(text, ascii)
    with pytest.raises(DataQualityError, match=datatype):
        piece["_value"].numbers()


@pytest.mark.parametrize(
    "stamp", ["2024-02-29T23:59:59Z", "2024-02-29T23:59:59.9Z", "2024-02-29T23:59:59.999999999Z"]
)
def test_times_are_cut_to_whole_seconds(stamp: str) -> None:
    (piece,) = read_records(answer(*HEADER, f",,0,{stamp},1"), ascii)
    assert piece["_time"].times().tolist() == [np.datetime64("2024-02-29T23:59:59").item()]


@pytest.mark.parametrize("stamp", ["", "yesterdayZ", "2024-02-29T23:59:59+01:00", "1709251199"])
def test_a_time_in_another_form_is_an_error(stamp: str) -> None:
    (piece,) = read_records(answer(*HEADER, f",,0,{stamp},1"), ascii)
    with pytest.raises(ConnectionFailed, match="RFC 3339"):
        piece["_time"].times()


@pytest.mark.parametrize(
    "error",
    [
        ("error,reference", "Failed to parse query,897"),
        ("#datatype,string,long", ",error,reference", ",Failed to parse query,897"),
    ],
)
@pytest.mark.parametrize("before", [(), (*HEADER, ",,0,2024-01-01T00:00:00Z,1.5", "")])
def test_an_error_table_is_an_error(before: tuple[str, ...], error: tuple[str, ...]) -> None:
    with pytest.raises(ConnectionFailed, match="Failed to parse query"):
        list(read_records(answer(*before, *error), ascii))


def test_many_records_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    monkeypatch.setattr(annotated_csv, "_RECORDS_AT_ONCE", 2)
    rows = [f",,0,2024-01-01T00:00:0{second}Z,{second}" for second in range(5)]
    # When
    pieces = list(read_records(answer(*HEADER, *rows), ascii))
    # Then
    assert [piece["_value"].numbers().tolist() for piece in pieces] == [[0, 1], [2, 3], [4]]
