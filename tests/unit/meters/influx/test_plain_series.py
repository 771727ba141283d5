"""The quick reader reads what the careful one reads, or leaves it to that."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.meters.influx.annotated_csv import read_records
from energy_forecasting.meters.influx.plain_series import read_plain_series

DESCRIPTION = (
    "#datatype,string,long,dateTime:RFC3339,double\r\n"
    "#group,false,false,false,false\r\n"
    "#default,_result,,,\r\n"
    ",result,table,_time,_value\r\n"
)


def table(*rows: str, description: str = DESCRIPTION) -> bytes:
    return (description + "".join(f",,0,{row}\r\n" for row in rows) + "\r\n").encode()


def test_times_and_values_are_read() -> None:
    read = read_plain_series(table("2024-01-01T00:00:00Z,1.5", "2024-01-01T01:00:00.25Z,-2e3"))
    assert read is not None
    assert read[0].astype(str).tolist() == ["2024-01-01T00:00:00", "2024-01-01T01:00:00"]
    assert read[1].tolist() == [1.5, -2000]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n",
        b"<html>\r\n</html>\r\n\r\n\r\n\r\n",
        table(),
        table("2024-01-01T00:00:00Z,"),
        table('2024-01-01T00:00:00Z,"1.5"'),
        table("2024-01-01T00:00:00+01:00,1.5"),
        table("2024-01-01,1.5"),
        table("2024-01-01T00:00:00Z,1.5")[:-8],
        table("2024-01-01T00:00:00Z,true", description=DESCRIPTION.replace("double", "boolean")),
        table("2024-01-01T00:00:00Z,1.5") + table("2024-01-01T01:00:00Z,2.5"),
        table("2024-01-01T00:00:00Z,1.5")
        + b"#datatype,string,long\r\n,error,reference\r\n,no,1\r\n",
        table("2024-01-01T00:00:00Z,1.5", description=DESCRIPTION.replace("_value", "other")),
        table("2024-01-01T00:00:00Z,1.5", description=DESCRIPTION.replace("#datatype", "#other")),
    ],
)
def test_what_is_not_plain_is_left_to_the_careful_reader(answer: bytes) -> None:
    assert read_plain_series(answer) is None


@given(
    st.lists(
        st.tuples(
            st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
            st.one_of(st.floats(), st.integers(-(2**53), 2**53), st.just(""), st.text(max_size=3)),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_both_readers_agree(rows: list[tuple[str, object]]) -> None:
    answer = table(*(f"{moment},{value}" for moment, value in rows))
    plain = read_plain_series(answer)
    if plain is None:
        return
    try:
        (records,) = read_records(answer, str)
    except EnergyForecastingError as error:
        pytest.fail(f"only the careful reader refuses: {error}")
    np.testing.assert_array_equal(plain[0], records["_time"].times())
    np.testing.assert_array_equal(plain[1], records["_value"].numbers())
