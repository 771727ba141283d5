"""CSV answers of InfluxDB 1.x, and what is none."""

import numpy as np
import pytest

from energy_forecasting.domain.errors import ConnectionFailed, DataQualityError
from energy_forecasting.meters.influx.influxql_csv import read_columns


def unreadable(answer: object) -> ConnectionFailed:
    return ConnectionFailed(f"cannot be read: {answer!r}"[:200])


def columns(answer: bytes, wanted: int = 2) -> list[list[float | None]]:
    table = read_columns(answer, wanted, unreadable)
    return [[None if np.isnan(cell) else cell for cell in column] for column in table.tolist()]


HEADER = b"name,tags,time,consumption,temperature\n"


def test_times_and_columns_come_as_numbers() -> None:
    answer = HEADER + b"energy,,0,1.5,-3\nenergy,,-3600,1e22,0.1\n"
    assert columns(answer) == [[0, -3600], [1.5, 1e22], [-3, 0.1]]


def test_one_row_and_one_column_are_a_table() -> None:
    assert columns(b"name,tags,time,v\nm,,7,2\n", 1) == [[7], [2]]


@pytest.mark.parametrize("answer", [b"", b"\n", HEADER, HEADER + b"\n"])
def test_no_rows_are_an_empty_table(answer: bytes) -> None:
    assert columns(answer) == [[], [], []]


def test_empty_cells_are_nulls() -> None:
    answer = HEADER + b"m,,1,,\nm,,2,5,\nm,,3,,6\n"
    assert columns(answer) == [[1, 2, 3], [None, 5, None], [None, None, 6]]


def test_pieces_of_3x_have_a_header_each_and_write_nulls_out() -> None:
    # As the source of InfluxDB 3 Core writes it (influxdb3_server, http/v1.rs)
    pieces = [b"m,,1,2.5,null\nm,,2,null,-5\n\r\n", HEADER + b"m,,3,4.0,6\n\r\n"]
    answer = HEADER + b"".join(pieces)
    assert columns(answer) == [[1, 2, 3], [2.5, None, 4], [None, -5, 6]]


def test_a_comma_that_3x_leaves_in_a_name_moves_no_column() -> None:
    with pytest.raises(ConnectionFailed):
        columns(HEADER + b"cold, hot,,7,2.5,3\n")


@pytest.mark.parametrize("rows", [b"m,,1,2,3", b"m,,1,2,3\nm,,2,1", b"m,,1,2,"])
def test_an_answer_that_ends_within_a_row_is_not_taken(rows: bytes) -> None:
    with pytest.raises(ConnectionFailed):
        columns(HEADER + rows)


@pytest.mark.parametrize(
    "name",
    [
        b'"a,b"',
        b'"a,,b"',
        b'"say ""hi"""',
        b'""""',
        b'" leading"',
        b"#comment",
        "Zähler 電力".encode(),
        b"a'b",
        b"5",
        b'","',
        b'",\n,"',
    ],
)
def test_a_name_may_hold_what_csv_quotes(name: bytes) -> None:
    row = name + b",,1,2,\n"
    assert columns(HEADER + row + row) == [[1, 1], [2, 2], [None, None]]


def test_tags_may_stand_beside_the_name() -> None:
    assert columns(HEADER + b'm,"a=1,b=2",1,2,3\n') == [[1], [2], [3]]


@pytest.mark.parametrize(
    "rows",
    [b"m,,1,on,2\n", b"m,,1,true,2\n", b'm,,1,"a,b",2\n', b'm,,1,"a\nb",2\n', b"m,,1,2,\x01\n"],
)
def test_a_column_of_text_is_bad_data(rows: bytes) -> None:
    with pytest.raises(DataQualityError, match="names of the fields") as raised:
        columns(HEADER + b"m,,0,1,2\n" + rows)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>\n<body>Welcome</body>\n</html>\n",
        b"<!doctype html>",
        b'{"results":[{"statement_id":0}]}\n',
        b'{"error":"unauthorized"}',
        b"\xff\xfe",
        b"name;tags;time;v\n",
        HEADER + b"m,,1,2\n",
        HEADER + b"m,,1,2,3\nm,,1\n",
        HEADER + b"m,,1,\xff,3\n",
        HEADER + b"\xff,,1,2,3\n",
        b"\xff" * 3 + b"\n" + b"m,,1,2,3\n",
    ],
)
def test_what_is_no_such_csv_is_an_error(answer: bytes) -> None:
    with pytest.raises((ConnectionFailed, DataQualityError)) as raised:
        columns(answer)
    assert raised.value.__cause__ is None


def test_a_long_answer_is_read_whole() -> None:
    rows = b"".join(b"m,,%d,%d,\n" % (second, second) for second in range(50_000))
    table = read_columns(HEADER + rows, 2, unreadable)
    assert table.shape == (3, 50_000)
    assert table[1].sum() == 50_000 * 49_999 / 2
