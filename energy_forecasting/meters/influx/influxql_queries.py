"""The InfluxQL queries for InfluxDB 1.x, 3.x and mapped buckets of 2.x: pure text.

Identifiers and strings are quoted here and nowhere else; names of the configuration hold no
control characters, so nothing but quotes and backslashes can end a literal. The database is no
part of a query, it travels beside it.
"""

from typing import Literal

import numpy as np

from energy_forecasting.domain.readings import to_datetime
from energy_forecasting.meters.influx.layout import MeterGroup, Place
from energy_forecasting.meters.spans import Span, bounded

#: Windows whose values are counted before they are read.
COUNTED = "7d"
HOURLY = "1h"


def identifier(name: str) -> str:
    r"""Write a name as an InfluxQL identifier.

    >>> print(identifier('roof "A"'))
    "roof \"A\""
    """
    return '"' + _escaped(name, '"') + '"'


def string(text: str) -> str:
    r"""Write text as an InfluxQL string.

    >>> print(string("roof 'A'"))
    'roof \'A\''
    """
    return "'" + _escaped(text, "'") + "'"


def source(place: Place) -> str:
    """Write a measurement, with its retention policy where one is named."""
    measurement = identifier(place.measurement)
    if place.retention_policy is None:
        return measurement
    return f"{identifier(place.retention_policy)}.{measurement}"


def values_query(place: Place, fields: tuple[str, ...], span: Span) -> str:
    """Ask for the rows that have a value in at least one of the fields."""
    return _select(", ".join(map(identifier, fields)), place, span)


def edge_query(place: Place, field: str, span: Span, edge: Literal["first", "last"]) -> str:
    """Ask for the first or last value with its time."""
    return _select(f"{edge}({identifier(field)})", place, span)


def count_query(place: Place, field: str, span: Span) -> str:
    """Ask for the number of values."""
    return _select(f"count({identifier(field)})", place, span)


def window_query(place: Place, aggregates: tuple[str, ...], span: Span, every: str) -> str:
    """Ask for aggregates by windows that hold values, with the start of each."""
    return f"{_select(', '.join(aggregates), place, span)} GROUP BY time({every}) fill(none)"


def newest_query(group: MeterGroup) -> str:
    """Ask for the last value of each meter of a group with its time."""
    tags = [group.id_tag] if group.type_tag is None else [group.type_tag, group.id_tag]
    selected = _select(f"last({identifier(group.consumption)})", group.place, Span())
    return f"{selected} GROUP BY {', '.join(map(identifier, tags))}"


def probe_query(place: Place) -> str:
    """Ask next to nothing: it succeeds when credentials, database and policy are right."""
    return f"{_select('*', place, Span(start=0, end=1))} LIMIT 1"


def aggregate(function: Literal["count", "sum", "mean"], field: str) -> str:
    """Write an aggregate of a field."""
    return f"{function}({identifier(field)})"


def _select(what: str, place: Place, span: Span) -> str:
    span = bounded(span)
    conditions = [
        *(f"{identifier(tag)} = {string(value)}" for tag, value in place.tags),
        f"time >= {_time(span.start)}",
        f"time < {_time(span.end)}",
    ]
    return f"SELECT {what} FROM {source(place)} WHERE {' AND '.join(conditions)}"  # noqa: S608 - quoted


def _escaped(text: str, quote: str) -> str:
    return text.replace("\\", r"\\").replace(quote, f"\\{quote}").replace("\n", r"\n")


def _time(seconds: int | None) -> str:
    assert seconds is not None, "a bounded span has both sides"  # noqa: S101
    moment = to_datetime(np.datetime64(seconds, "s"))
    return string(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
