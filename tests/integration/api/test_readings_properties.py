"""Whatever is sent as readings: never a bug, nothing lost, and the same again changes nothing."""

import gzip
import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given, settings
from hypothesis import strategies as st

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.errors import NoDataFound
from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.settings import Settings

METER_NUMBERS = itertools.count()

# Few moments, so that they repeat; and what is no moment at all.
STAMPS = st.sampled_from([f"2026-01-01T0{hour}:00:00+0{hour}:00" for hour in range(4)]) | (
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
)
ODD_TEXT = st.text(max_size=12)
NUMBERS = st.integers(-5, 5) | st.floats()
ODD_VALUES = st.none() | st.booleans() | ODD_TEXT | NUMBERS | st.lists(NUMBERS, max_size=2)

ITEMS = (
    st.fixed_dictionaries(
        {"timestamp": STAMPS},
        optional={"consumption": NUMBERS | st.none(), "temperature": NUMBERS | st.none()},
    )
    | st.dictionaries(
        st.sampled_from(["timestamp", "consumption", "temperature", "meter_id", "x"]),
        STAMPS | ODD_VALUES,
    )
    | ODD_VALUES
)
# A cell in quotes may hold anything.
CELLS = st.just("") | NUMBERS.map(str) | ODD_TEXT.map(lambda text: f'"{text.replace(chr(34), "")}"')
LINES = st.tuples(STAMPS, CELLS, CELLS).map(",".join) | CELLS.filter(str.strip)

fearless = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module")
def parts(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[TestClient, SqliteMeterStore]]:
    folder = tmp_path_factory.mktemp("readings")
    current = Settings(
        redis_url="redis://127.0.0.1:1/0",
        meter_store="sqlite",
        sqlite_path=folder / "meters.sqlite",
        model_store=folder / "models",
        log_dir=folder,
    )
    with TestClient(create_app(bootstrap.api_services(current))) as client:
        yield client, SqliteMeterStore(current.sqlite_path)


def held(store: SqliteMeterStore, meter: Meter) -> list[list[Any]]:
    """Return everything that is held of a meter."""
    try:
        history = store.read_history(meter)
    except NoDataFound:
        return []
    return [
        history.timestamps.tolist(),
        history.consumption.tolist(),
        np.nan_to_num(history.temperature, nan=-1e99).tolist(),
    ]


def check(
    parts: tuple[TestClient, SqliteMeterStore], content: bytes, media_type: str, items: int
) -> None:
    api, store = parts
    meter = Meter(meter_type="water", meter_id=f"w{next(METER_NUMBERS)}")
    headers = {"Content-Type": media_type}
    # When the same is sent twice
    first = api.post(f"/meters/water/{meter.meter_id}/readings", content=content, headers=headers)
    after_first = held(store, meter)
    second = api.post(f"/meters/water/{meter.meter_id}/readings", content=content, headers=headers)
    # Then the answer and the store are the same, and every item is accounted for
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert held(store, meter) == after_first
    told = first.json()
    if first.status_code == 200:
        assert told["accepted"] + told["rejected"] == items
        assert told["accepted"] > 0
        parts_of = ("written", "duplicates", "forecast_temperatures")
        assert told["accepted"] == sum(told[part] for part in parts_of)
        assert len(after_first[0]) == told["written"]
        assert len(told["rejections"]) == min(told["rejected"], 100)
    else:
        assert first.status_code == 422, told
        assert told["error"]["type"] == "DATA_QUALITY_ERROR"
        assert told["error"]["details"]["rejected"] == items
        assert after_first == []


@fearless
@given(items=st.lists(ITEMS, max_size=12))
@example(items=[{"timestamp": "2026-01-01T00:00:00Z", "consumption": 10**400}])
def test_json_is_taken_in_item_by_item(
    parts: tuple[TestClient, SqliteMeterStore], items: list[object]
) -> None:
    content = json.dumps({"readings": items}).encode()
    check(parts, content, "application/json", len(items))


@fearless
@given(lines=st.lists(LINES, max_size=12), ending=st.sampled_from(["\n", "\r\n"]))
def test_csv_is_taken_in_line_by_line(
    parts: tuple[TestClient, SqliteMeterStore], lines: list[str], ending: str
) -> None:
    content = ending.join(["timestamp,consumption,temperature", *lines]).encode(
        errors="surrogatepass"
    )
    check(parts, content, "text/csv", len(lines))


@fearless
@given(
    content=st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode()),
    media_type=st.sampled_from(["text/csv", "application/json"]),
    head=st.sampled_from([b"", b"timestamp,consumption\n", b'{"readings": [', b"\xef\xbb\xbf"]),
    packing=st.sampled_from(["none", "gzip", "false"]),
)
def test_anything_else_is_refused_in_the_one_form(
    parts: tuple[TestClient, SqliteMeterStore],
    content: bytes,
    media_type: str,
    head: bytes,
    packing: str,
) -> None:
    api, store = parts
    sent = gzip.compress(head + content) if packing == "gzip" else head + content
    headers = {"Content-Type": media_type}
    if packing != "none":
        headers["Content-Encoding"] = "gzip"
    answer = api.post("/meters/heat/h1/readings", content=sent, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["field"] in {"body", "readings"}
    assert store.list_meters("heat") == []
