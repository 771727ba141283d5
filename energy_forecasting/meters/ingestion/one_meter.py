"""The readings of one meter in the body of a request, as CSV or JSON.

A line or an item may name its meter again and must then name the same. A bad one is rejected,
the others arrive; a body that is no CSV or JSON at all is an error and nothing arrives.
"""

import io
import json
import math
from collections.abc import Mapping

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.ingestion.arrivals import Arrivals
from energy_forecasting.meters.ingestion.csv_readings import read_lines
from energy_forecasting.meters.ingestion.csv_table import CsvTable
from energy_forecasting.meters.ingestion.json_items import items_of
from energy_forecasting.meters.ingestion.reading_rules import Unusable, seconds_of, shown
from energy_forecasting.meters.ingestion.report import Rejections

_NAMES = ("meter_type", "meter_id")


def read_csv_text(content: bytes, meter: Meter, rejections: Rejections) -> Arrivals:
    """Read lines under a header ``timestamp,consumption`` and perhaps ``temperature``.

    Raises:
        DataQualityError: a column is missing, or it is no CSV in UTF-8.
    """
    arrivals = Arrivals()
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    table = CsvTable.of(text, "The body", field="body")
    named = {name: at for name in _NAMES if (at := table.place(name)) is not None}

    def arrivals_of(cells: list[str]) -> Arrivals:
        _check_names({name: cells[at] for name, at in named.items()}, meter)
        return arrivals

    read_lines(table, rejections, arrivals_of)
    return arrivals


def read_json_text(content: bytes, meter: Meter, rejections: Rejections) -> Arrivals:
    """Read ``{"readings": [{"timestamp": ..., "consumption": ..., "temperature": ...}, ...]}``.

    Raises:
        InvalidRequest: it is not JSON in UTF-8, or there is no such list.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The body is not UTF-8 at byte {error.start}.", field="body"
        ) from error
    arrivals = Arrivals()
    for index, item in enumerate(items_of(text, "readings")):
        try:
            _add_item(index, item, meter, arrivals)
        except Unusable as error:
            rejections.add(index, str(error))
    return arrivals


def _add_item(index: int, item: object, meter: Meter, arrivals: Arrivals) -> None:
    if not isinstance(item, dict):
        raise Unusable(f"{_value_shown(item)} is not an object with timestamp and consumption")
    if "timestamp" not in item:
        raise Unusable("timestamp is missing")
    stamp = item["timestamp"]
    if not isinstance(stamp, str):
        raise Unusable(f"timestamp {_value_shown(stamp)} is not ISO 8601 in quotes")
    seconds = seconds_of(stamp)
    temperature = _number(item, "temperature")
    _check_names({name: item[name] for name in _NAMES if name in item}, meter)
    arrivals.add(
        index,
        seconds,
        _number(item, "consumption"),
        math.nan if temperature is None else temperature,
    )


def _number(item: Mapping[str, object], name: str) -> float | None:
    """Return a number of an item; None when it is null or left out."""
    value = item.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        raise Unusable(f"{name} {shown(value)} is text; write a number without quotes")
    if not isinstance(value, float) or not math.isfinite(value):
        raise Unusable(f"{name} {_value_shown(value)} is not a number")
    return value


def _check_names(given: Mapping[str, object], meter: Meter) -> None:
    for name, value in given.items():
        expected = getattr(meter, name)
        if value != expected:
            raise Unusable(f"{name} {_value_shown(value)} is not {expected}, as the path names")


def _value_shown(value: object) -> str:
    """Return what a message shows of a JSON value."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict | list):
        return "{...}" if isinstance(value, dict) else "[...]"
    return json.dumps(value)
