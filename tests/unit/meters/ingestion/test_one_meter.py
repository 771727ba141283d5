"""Bodies about one meter: CSV and JSON follow the same rules."""

from collections.abc import Callable

import numpy as np
import pytest

from energy_forecasting.domain.errors import DataQualityError, InvalidRequest
from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.ingestion.arrivals import Arrivals
from energy_forecasting.meters.ingestion.one_meter import read_csv_text, read_json_text
from energy_forecasting.meters.ingestion.report import Rejections

METER = Meter(meter_type="gas", meter_id="g1")
STAMP = '"timestamp": "2024-01-01T00:00:00Z"'


def read_csv(text: str) -> tuple[Arrivals, Rejections]:
    rejections = Rejections()
    return read_csv_text(text.encode(), METER, rejections), rejections


def read_json(items: str) -> tuple[Arrivals, Rejections]:
    rejections = Rejections()
    return read_json_text(f'{{"readings": [{items}]}}'.encode(), METER, rejections), rejections


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (
            read_csv,
            (
                "timestamp,consumption,temperature\n"
                "2024-01-01T01:00:00+01:00,1,\n2024-01-01T01:00:00Z,2e0,-3.5\n"
            ),
        ),
        (
            read_csv,
            (
                "\ufeffnote,temperature , consumption,meter_id,timestamp\r\n"
                "a,,1,g1,2024-01-01T00:00:00Z\r\n\r\n,-3.5,2,g1,2024-01-01T01:00:00Z"
            ),
        ),
        (
            read_json,
            (
                '{"timestamp": "2024-01-01T01:00:00+01:00", "consumption": 1, "temperature": null},'
                '{"timestamp": "2024-01-01T01:00:00Z", "consumption": 2.0, "temperature": -3.5}'
            ),
        ),
        (
            read_json,
            (
                f'{{{STAMP}, "meter_id": "g1", "meter_type": "gas", "consumption": 1, "note": []}},'
                '{"timestamp": "2024-01-01T01:00:00Z", "consumption": 2, "temperature": -35e-1}'
            ),
        ),
    ],
)
def test_csv_and_json_tell_the_same_readings(
    read: Callable[[str], tuple[Arrivals, Rejections]], text: str
) -> None:
    arrivals, rejections = read(text)
    history = arrivals.history()
    assert not len(rejections)
    assert history.timestamps.tolist() == [
        np.datetime64("2024-01-01T00:00:00").tolist(),
        np.datetime64("2024-01-01T01:00:00").tolist(),
    ]
    assert history.consumption.tolist() == [1, 2]
    np.testing.assert_array_equal(history.temperature, [np.nan, -3.5])


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("7", "7.0 is not an object"),
        ("null", "null is not an object"),
        ('[{"timestamp": 1}]', "[...] is not an object"),
        ("{}", "timestamp is missing"),
        ('{"timestamp": 1704067200, "consumption": 1}', "timestamp 1704067200.0 is not ISO 8601"),
        ('{"timestamp": null, "consumption": 1}', "timestamp null is not ISO 8601"),
        ('{"timestamp": "2024-01-01T00:00:00", "consumption": 1}', "has no time zone"),
        ('{"timestamp": "2024-13-01T00:00:00Z", "consumption": 1}', "is not ISO 8601"),
        ('{"timestamp": "1066-10-14T09:00:00Z", "consumption": 1}', "outside the years 1700"),
        (f"{{{STAMP}}}", "consumption is missing"),
        (f'{{{STAMP}, "consumption": null}}', "consumption is missing"),
        (f'{{{STAMP}, "consumption": "1.5"}}', "consumption '1.5' is text"),
        (f'{{{STAMP}, "consumption": true}}', "consumption true is not a number"),
        (f'{{{STAMP}, "consumption": [1]}}', "consumption [...] is not a number"),
        (f'{{{STAMP}, "consumption": {{}}}}', "consumption {...} is not a number"),
        (f'{{{STAMP}, "consumption": NaN}}', "consumption NaN is not a number"),
        (f'{{{STAMP}, "consumption": -Infinity}}', "consumption -Infinity is not a number"),
        (f'{{{STAMP}, "consumption": 1e400}}', "consumption Infinity is not a number"),
        (f'{{{STAMP}, "consumption": {"9" * 5_000}}}', "is not a number"),
        (f'{{{STAMP}, "consumption": 1, "temperature": "mild"}}', "temperature 'mild' is text"),
        (f'{{{STAMP}, "consumption": 1, "meter_id": "g2"}}', "meter_id 'g2' is not g1"),
        (f'{{{STAMP}, "consumption": 1, "meter_type": 3}}', "meter_type 3.0 is not gas"),
        (f'{{{STAMP}, "consumption": "\\n{"x" * 999}"}}', "is text"),
    ],
)
def test_a_bad_item_is_rejected_with_its_index_and_the_others_arrive(
    item: str, reason: str
) -> None:
    # Given it stands between two good ones
    good = f'{{{STAMP}, "consumption": 1}}'
    # When
    arrivals, rejections = read_json(f"{good}, {item}, {good}")
    # Then
    (rejection,) = rejections.told
    assert rejection.place == 1
    assert reason in rejection.reason
    assert "\n" not in rejection.reason
    assert len(rejection.reason) < 150
    assert arrivals.readings == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2024-01-01T00:00:00Z,gas,g2,1", "meter_id 'g2' is not g1"),
        ("2024-01-01T00:00:00Z,,g1,1", "meter_type '' is not gas"),
        ("2024-01-01T00:00:00Z,gas,g1,1_000", "consumption '1_000' is not a number"),
        ("2024-01-01T00:00:00Z,gas,g1,", "consumption is missing"),
        ("2024-01-01T00:00:00Z,gas,g1", "it has 3 cells, the header 4"),
    ],
)
def test_a_bad_line_is_rejected_with_its_number_and_the_others_arrive(
    line: str, reason: str
) -> None:
    good = "2024-01-01T00:00:00Z,gas,g1,1"
    arrivals, rejections = read_csv(
        f"timestamp,meter_type,meter_id,consumption\n{good}\n{line}\n{good}\n"
    )
    (rejection,) = rejections.told
    assert rejection.place == 3
    assert reason in rejection.reason
    assert arrivals.readings == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The body is empty"),
        (b"timestamp;consumption\n", "lacks the column timestamp, consumption"),
        (b"timestamp,consumption\n\xe4", "UTF-8 after line"),
        (b'timestamp,consumption\n"2024', "cannot be read as CSV"),
    ],
)
def test_a_body_that_is_no_csv_is_told(content: bytes, told: str) -> None:
    with pytest.raises(DataQualityError, match=told) as raised:
        read_csv_text(content, METER, Rejections())
    assert raised.value.details["field"] == "body"


def test_a_json_body_that_is_not_utf_8_is_told() -> None:
    with pytest.raises(InvalidRequest, match="not UTF-8 at byte 14"):
        read_json_text(b'{"readings": [\xe4]}', METER, Rejections())


def test_only_the_first_hundred_rejections_are_told_whatever_their_order() -> None:
    rejections = Rejections()
    for place in (*range(50, 250), *range(50)):
        rejections.add(place, "odd")
    assert len(rejections) == 250
    assert [rejection.place for rejection in rejections.told] == list(range(100))
