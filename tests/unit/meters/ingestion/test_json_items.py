"""A list in a JSON object, item by item, without trusting the rest of the text."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.meters.ingestion.json_items import items_of

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(
    before=st.dictionaries(st.text().filter(lambda key: key != "readings"), JSON_VALUES),
    items=st.lists(JSON_VALUES),
    indent=st.sampled_from([None, 0, 3]),
)
def test_what_the_standard_library_writes_is_read(
    before: dict[str, object], items: list[object], indent: int | None
) -> None:
    text = json.dumps({**before, "readings": items, "after": items}, indent=indent)
    assert list(items_of(text, "readings")) == items


VALID = '{"unit": "kWh", "readings": [1, {"a": [null, "b"]}, -2e3], "note": {}}'


@given(
    cut=st.tuples(st.integers(0, len(VALID)), st.integers(0, 4)),
    put=st.text(alphabet='{}[]",:\\ \n0-.eu\u00e4', max_size=3),
)
def test_a_damaged_text_is_refused_exactly_when_it_is_no_longer_such_json(
    cut: tuple[int, int], put: str
) -> None:
    # Given a text with some characters replaced
    start, length = cut
    text = VALID[:start] + put + VALID[start + length :]
    # When the standard library reads it
    try:
        whole = json.loads(text)
        is_ours = isinstance(whole, dict) and isinstance(whole.get("readings"), list)
    except ValueError:
        is_ours = False
    # Then this agrees
    if is_ours:
        assert list(items_of(text, "readings")) == whole["readings"]
    else:
        with pytest.raises(InvalidRequest):
            list(items_of(text, "readings"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a JSON object with a list readings"),
        ("[]", "must be a JSON object with a list readings"),
        ("{}", "lacks the list readings"),
        ('{"reading": []}', "lacks the list readings"),
        ('{"readings": {}}', "readings must be a list"),
        ('{"readings": [], "readings": []}', "has readings twice"),
        ('{"readings": [1,]}', "line 1, column 17: Expecting value"),
        ('{"readings": [1 2]}', "Expecting ']'"),
        ('{"readings": [1]', "Expecting '}'"),
        ('{"readings": [1]} 2', "Expecting the end"),
        ('{"readings": [1],}', "Expecting a key in double quotes"),
        ("{readings: [1]}", "Expecting a key in double quotes"),
        ('{"readings" [1]}', "Expecting ':'"),
        ('{\n"readings": [\n1,\n oops]}', "line 4, column 2"),
        ('{"readings": [' + "[" * 200_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        list(items_of(text, "readings"))
    assert told in raised.value.message


def test_numbers_that_are_none_come_as_such_and_not_as_errors() -> None:
    text = '{"readings": [NaN, -Infinity, 1e999, %s]}' % ("7" * 5_000)
    first, *others = items_of(text, "readings")
    assert isinstance(first, float)
    assert math.isnan(first)
    assert others == [-math.inf, math.inf, math.inf]
