"""The Flux queries that the InfluxDB 2.x store sends: pure text, no connection.

Flux has no bound parameters on every server, so each name and id passes through ``quoted``.
Consumption and temperature are asked for one by one and joined by the caller, because a
server-side pivot is about a hundred times slower; ``keep`` leaves out the columns that nobody
reads. Series that differ only in other tags come back as one.
"""

from typing import Literal

import numpy as np

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import to_datetime, to_datetime64
from energy_forecasting.meters.influx_config import InfluxConfig, InfluxTemperatureForecast
from energy_forecasting.meters.spans import EARLIEST, LATEST, Span

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


def bounded(span: Span) -> Span:
    """Close a span's open sides and cut it to what InfluxDB can express: no query is unbounded."""
    earliest, latest = (int(to_datetime64(end).astype(np.int64)) for end in (EARLIEST, LATEST))
    return Span(
        start=earliest if span.start is None else min(max(span.start, earliest), latest),
        end=latest if span.end is None else max(min(span.end, latest), earliest),
    )


def values_query(config: InfluxConfig, meter: Meter, field: str, span: Span) -> str:
    """Ask for one field of a meter: ``_time, _value``, in no promised order."""
    return _pipeline(
        config,
        span,
        _equals("_measurement", config.measurement),
        _equals("_field", field),
        *_meter_is(config, meter),
        calls=[_keep("_time", "_value")],
    )


def temperature_forecast_query(
    config: InfluxConfig, source: InfluxTemperatureForecast, meter: Meter, span: Span
) -> str:
    """Ask for the temperatures forecast for a meter: ``_time, _value``, in no promised order."""
    named = {source.tags.meter_type: meter.meter_type, source.tags.meter_id: meter.meter_id}
    wanted = {tag: value for tag, value in named.items() if tag is not None} | source.where
    return _pipeline(
        config,
        span,
        _equals("_measurement", source.measurement),
        _equals("_field", source.field),
        *(_equals(tag, value) for tag, value in wanted.items()),
        calls=[_keep("_time", "_value")],
        bucket=source.bucket,
    )


def edge_query(config: InfluxConfig, meter: Meter, edge: Literal["first", "last"]) -> str:
    """Ask for the ``_time`` of the first or last consumption, a row per series."""
    return _pipeline(
        config,
        Span(),
        _equals("_measurement", config.measurement),
        _equals("_field", config.fields.consumption),
        *_meter_is(config, meter),
        calls=[f"{edge}()", _keep("_time")],
    )


def counts_query(config: InfluxConfig, meter: Meter) -> str:
    """Ask for the ``_value`` count of each ``_field``, a row per series."""
    fields = [config.fields.consumption]
    if config.fields.temperature:
        fields.append(config.fields.temperature)
    any_field = " or ".join(_equals("_field", field) for field in fields)
    return _pipeline(
        config,
        Span(),
        _equals("_measurement", config.measurement),
        f"({any_field})",
        *_meter_is(config, meter),
        calls=["count()", _keep("_field", "_value")],
    )


def meters_query(config: InfluxConfig, meter_type: str | None) -> str:
    """Ask for the last ``_time`` of every meter, a row per series.

    The server reads one value per series (``last`` is pushed down to the storage).
    """
    wanted = [] if meter_type is None else [_equals(config.tags.meter_type, meter_type)]
    return _pipeline(
        config,
        Span(),
        _equals("_measurement", config.measurement),
        _equals("_field", config.fields.consumption),
        *wanted,
        calls=["last()", _keep(config.tags.meter_type, config.tags.meter_id, "_time"), "group()"],
    )


def probe_query(config: InfluxConfig) -> str:
    """Ask next to nothing: it succeeds when token, organization and bucket are right."""
    return _pipeline(
        config,
        Span(start=0, end=1),
        _equals("_measurement", config.measurement),
        calls=["last()", _keep("_time")],
    )


def _pipeline(
    config: InfluxConfig,
    span: Span,
    *conditions: str,
    calls: list[str],
    bucket: str | None = None,
) -> str:
    span = bounded(span)
    return "\n  |> ".join(
        [
            f"from(bucket: {quoted(bucket or config.bucket)})",
            f"range(start: {_time(span.start)}, stop: {_time(span.end)})",
            f"filter(fn: (r) => {' and '.join(conditions)})",
            *calls,
        ]
    )


def _meter_is(config: InfluxConfig, meter: Meter) -> tuple[str, str]:
    return (
        _equals(config.tags.meter_type, meter.meter_type),
        _equals(config.tags.meter_id, meter.meter_id),
    )


def _equals(column: str, value: str) -> str:
    return f"r[{quoted(column)}] == {quoted(value)}"


def _keep(*columns: str) -> str:
    return f"keep(columns: [{', '.join(map(quoted, columns))}])"


def _time(seconds: int | None) -> str:
    assert seconds is not None, "a bounded span has both sides"  # noqa: S101
    return to_datetime(np.datetime64(seconds, "s")).strftime("%Y-%m-%dT%H:%M:%SZ")
