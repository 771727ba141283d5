"""The JSON in which InfluxDB answers one statement of InfluxQL: ``{"results": [{"series": ...}]}``.

It tells faults, which its CSV does not. What is not of that form is no answer of InfluxDB.
"""

import json
from dataclasses import dataclass
from typing import Any


class NotOfThisForm(ValueError):
    """The text is something else, such as a proxy's page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonAnswer:
    """What one statement gave."""

    series: list[dict[str, Any]]  #: each with ``tags`` by name and ``values``, rows of some cells
    fault: str | None = None  #: what the server says went wrong
    is_cut: bool = False  #: the server left rows out


def read_answer(answer: bytes) -> JsonAnswer:
    """Read an answer.

    Raises:
        NotOfThisForm: it is none.
    """
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        raise NotOfThisForm from None
    if not isinstance(told, dict):
        raise NotOfThisForm
    result: object = next(iter(_listed(told, "results")), {})
    if not isinstance(result, dict):
        raise NotOfThisForm
    fault = told.get("error") or result.get("error")
    return JsonAnswer(
        series=[_series(each) for each in _listed(result, "series")],
        fault=str(fault) if fault else None,
        # Told of the series that was cut, or of the answer when whole series are missing.
        is_cut=any(each.get("partial") for each in (result, *_listed(result, "series"))),
    )


def _listed(told: dict[str, Any], key: str) -> list[Any]:
    listed = told.get(key) or []
    if not isinstance(listed, list):
        raise NotOfThisForm
    return listed


def _series(told: object) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise NotOfThisForm
    tags = told.get("tags") or {}
    rows = _listed(told, "values")
    if not isinstance(tags, dict) or not all(map(_is_row, rows)):
        raise NotOfThisForm
    return {**told, "tags": tags, "values": rows}


def _is_row(row: object) -> bool:
    return isinstance(row, list) and bool(row)
