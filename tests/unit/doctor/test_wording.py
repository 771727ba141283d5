"""Nothing from outside reaches a terminal as it is."""

import json

from hypothesis import given
from hypothesis import strategies as st

from energy_forecasting.doctor.clean_ids import clean_ids
from energy_forecasting.doctor.wording import as_json, listed, named, plain
from energy_forecasting.domain.meters import Meter


@given(st.text())
def test_any_text_is_shown_printable_and_short(text: str) -> None:
    for shown in (plain(text), named(text), listed([text, text])):
        assert shown.isprintable()
        assert len(plain(text)) <= 83


@given(st.dictionaries(st.text(), st.lists(st.text()) | st.none() | st.text()))
def test_json_is_inert_and_says_the_same(values: dict[str, object]) -> None:
    for only_ascii in (False, True):
        written = as_json(values, only_ascii=only_ascii)
        assert all(each.isprintable() or each == "\n" for each in written)
        assert json.loads(written) == values
        assert not only_ascii or written.isascii()


@given(st.lists(st.text(min_size=1), unique=True))
def test_any_names_get_ids_of_their_own(names: list[str]) -> None:
    ids = clean_ids(tuple(names))
    assert list(ids.values()) == names
    for meter_id in ids:
        Meter(meter_type="gas", meter_id=meter_id)
