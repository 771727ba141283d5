"""The Flux queries for InfluxDB 2.x: pure text, no connection.

Flux has no bound parameters on every server, so each name and id passes through ``quoted``.
Consumption and temperature are asked for one by one and joined by the caller, because a
server-side pivot is about a hundred times slower; ``keep`` leaves out the columns that nobody
reads. Aggregates come by series, a table each; plain values of all series as one table.
"""

from typing import Literal

import numpy as np

from energy_forecasting.domain.readings import to_datetime
from energy_forecasting.meters.influx.layout import MeterGroup, Place
from energy_forecasting.meters.spans import Span, bounded

#: Windows whose values are counted before they are read.
COUNTED = "7d"
HOURLY = "1h"

_ESCAPES = str.maketrans(
    {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
    | {code: f"\\x{code:02x}" for code in (*range(9), 11, 12, *range(14, 32), 127)}
)


def quoted(text: str) -> str:
    r"""Write text as a Flux string literal (Flux specification, "String literals").

    >>> print(quoted('roof "A"'))
    "roof \"A\""
    >>> print(quoted('${r._value}'))
    "\${r._value}"
    """
    return '"' + text.translate(_ESCAPES).replace("${", r"\${") + '"'


def values_query(place: Place, field: str, span: Span) -> str:
    """Ask for one field: ``_time, _value``, in no promised order."""
    return _pipeline(place, (field,), span, _keep("_time", "_value"))


def edge_query(place: Place, field: str, span: Span, edge: Literal["first", "last"]) -> str:
    """Ask for the ``_time`` of the first or last value, a row per series."""
    return _pipeline(place, (field,), span, f"{edge}()", _keep("_time"))


def ends_query(place: Place, fields: tuple[str, ...], span: Span) -> str:
    """Ask for the last ``_time`` of each ``_field``, a row per series."""
    return _pipeline(place, fields, span, "last()", _keep("_field", "_time"))


def count_query(place: Place, field: str) -> str:
    """Ask for the count, ``_value``, a row per series."""
    return _pipeline(place, (field,), Span(), "count()", _keep("_value"))


def window_query(
    place: Place, field: str, span: Span, every: str, aggregate: Literal["count", "sum", "mean"]
) -> str:
    """Ask for an aggregate by windows that hold values: ``_time`` (their start), ``_value``."""
    window = (
        f'aggregateWindow(every: {every}, fn: {aggregate}, createEmpty: false, timeSrc: "_start")'
    )
    return _pipeline(place, (field,), span, window, _keep("_time", "_value"))


def newest_query(group: MeterGroup) -> str:
    """Ask for the last ``_time`` of each meter of a group, a row per series.

    The server reads one value per series (``last`` is pushed down to the storage).
    """
    tags = [group.id_tag] if group.type_tag is None else [group.type_tag, group.id_tag]
    return _pipeline(
        group.place, (group.consumption,), Span(), "last()", _keep(*tags, "_time"), "group()"
    )


def names_query(place: Place | str, column: str, most: int) -> str:
    """Ask for at most so many values of a tag, or of ``_measurement`` or ``_field``: ``_value``.

    Args:
        place: some series of a measurement, or the whole of a bucket.
        column: the tag.
        most: how many values.
    """
    distinct = f"distinct(column: {quoted(column)})"
    return _schema_pipeline(place, _keep(column), "group()", distinct, f"limit(n: {most})")


def tags_query(place: Place, most: int) -> str:
    """Ask for the columns that tell the series of a measurement apart: ``_value``."""
    return _schema_pipeline(place, "keys()", _keep("_value"), "distinct()", f"limit(n: {most})")


def type_query(place: Place, field: str) -> str:
    """Ask for one value of a field, which tells its type: ``_value``."""
    return _pipeline(place, (field,), Span(), "last()", _keep("_value"), "limit(n: 1)")


def probe_query(place: Place) -> str:
    """Ask next to nothing: it succeeds when token, organization and bucket are right."""
    return _pipeline(place, (), Span(start=0, end=1), "last()", _keep("_time"))


def _schema_pipeline(place: Place | str, *calls: str) -> str:
    """Write what the storage answers from its index (as ``influxdata/influxdb/schema`` does)."""
    if isinstance(place, Place):
        return _pipeline(place, (), Span(), *calls)
    every = bounded(Span())
    return "\n  |> ".join(
        [
            f"from(bucket: {quoted(place)})",
            f"range(start: {_time(every.start)}, stop: {_time(every.end)})",
            *calls,
        ]
    )


def _pipeline(place: Place, fields: tuple[str, ...], span: Span, *calls: str) -> str:
    """Write the query for some fields, for all when none is named."""
    span = bounded(span)
    conditions = [_equals("_measurement", place.measurement)]
    if fields:
        any_field = " or ".join(_equals("_field", field) for field in fields)
        conditions.append(any_field if len(fields) == 1 else f"({any_field})")
    conditions += [_equals(tag, value) for tag, value in place.tags]
    return "\n  |> ".join(
        [
            f"from(bucket: {quoted(place.container)})",
            f"range(start: {_time(span.start)}, stop: {_time(span.end)})",
            f"filter(fn: (r) => {' and '.join(conditions)})",
            *calls,
        ]
    )


def _equals(column: str, value: str) -> str:
    return f"r[{quoted(column)}] == {quoted(value)}"


def _keep(*columns: str) -> str:
    return f"keep(columns: [{', '.join(map(quoted, columns))}])"


def _time(seconds: int | None) -> str:
    assert seconds is not None, "a bounded span has both sides"  # noqa: S101
    return to_datetime(np.datetime64(seconds, "s")).strftime("%Y-%m-%dT%H:%M:%SZ")
