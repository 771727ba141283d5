"""Names of 1.x and 3.x, asked with SHOW.

1.x tells the names of all times and retention policies, 3.x perhaps those of recent times only. A
name that is not told may exist all the same.
"""

import re
from collections.abc import Iterable
from datetime import timedelta

from energy_forecasting.meters.influx.catalog import MOST_NAMES, FieldType, Kept, Names
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.influxql_queries import identifier, source, string
from energy_forecasting.meters.influx.influxql_source import InfluxqlSource
from energy_forecasting.meters.influx.layout import Place

_OWN = "_internal"  #: where 1.x watches itself
_LIMIT = f"LIMIT {MOST_NAMES + 1}"

_TYPES = {
    "float": FieldType.NUMBER,
    "integer": FieldType.NUMBER,
    "unsigned": FieldType.NUMBER,
    "string": FieldType.TEXT,
    "boolean": FieldType.BOOLEAN,
}
_DURATION = re.compile(r"(\d+)([hms])")
_UNIT_S = {"h": 3600, "m": 60, "s": 1}


class InfluxqlCatalog:
    """See the protocol ``Catalog``."""

    def __init__(self, source: InfluxqlSource) -> None:
        self._source = source

    def containers(self, deadline: Deadline) -> Names:
        """Return the databases."""
        databases = self._column("", "SHOW DATABASES", "name", deadline)
        return Names.first_of(name for name in databases if name != _OWN)

    def organizations(self, deadline: Deadline) -> Names:  # noqa: ARG002 - there are none
        """Return none."""
        return Names(names=())

    def kept(self, container: str, deadline: Deadline) -> tuple[Kept, ...]:
        """Return the retention policies."""
        asked = f"SHOW RETENTION POLICIES ON {identifier(container)}"
        return tuple(
            Kept(
                policy=str(policy.get("name")),
                is_default=bool(policy.get("default")),
                duration=_duration(str(policy.get("duration", ""))),
            )
            for series in self._source.ask(container, asked, deadline)
            for row in series.get("values", [])
            for policy in [dict(zip(series["columns"], row, strict=False))]
        )

    def measurements(self, container: str, deadline: Deadline) -> Names:
        """Return the measurements of all retention policies."""
        return Names.first_of(
            self._column(container, f"SHOW MEASUREMENTS {_LIMIT}", "name", deadline)
        )

    def tags(self, place: Place, deadline: Deadline) -> Names:
        """Return the tag keys."""
        asked = f"SHOW TAG KEYS FROM {source(place)} {_LIMIT}"
        return Names.first_of(self._column(place.container, asked, "tagKey", deadline))

    def fields(self, place: Place, deadline: Deadline) -> Names:
        """Return the field keys; one that changed its type counts once."""
        asked = f"SHOW FIELD KEYS FROM {source(place)} {_LIMIT}"
        return Names.first_of(self._column(place.container, asked, "fieldKey", deadline))

    def field_types(
        self, place: Place, fields: tuple[str, ...], deadline: Deadline
    ) -> dict[str, FieldType]:
        """Return the types as SHOW FIELD KEYS tells them."""
        asked = f"SHOW FIELD KEYS FROM {source(place)} {_LIMIT}"
        types: dict[str, FieldType] = {}
        for series in self._source.ask(place.container, asked, deadline):
            for row in series.get("values", []):
                name, kind = str(row[0]), _TYPES.get(str(row[-1]), FieldType.UNKNOWN)
                types[name] = kind if types.get(name, kind) is kind else FieldType.MIXED
        return {field: types.get(field, FieldType.UNKNOWN) for field in fields}

    def tag_values(self, place: Place, tag: str, deadline: Deadline) -> Names:
        """Return the values of a tag, under the tags of the place."""
        equals = [f"{identifier(key)} = {string(value)}" for key, value in place.tags]
        where = f" WHERE {' AND '.join(equals)}" if equals else ""
        asked = f"SHOW TAG VALUES FROM {source(place)} WITH KEY = {identifier(tag)}{where} {_LIMIT}"
        return Names.first_of(self._column(place.container, asked, "value", deadline))

    def _column(
        self, container: str, influxql: str, column: str, deadline: Deadline
    ) -> Iterable[str]:
        for series in self._source.ask(container, influxql, deadline):
            # 3.x names some columns in its own way; then the only one, or the last, is meant.
            columns = series.get("columns") or []
            at = columns.index(column) if column in columns else -1
            yield from (str(row[at]) for row in series.get("values", []))


def _duration(text: str) -> timedelta | None:
    """Read a duration such as ``720h0m0s``; None for 0, which means for ever."""
    seconds = sum(int(number) * _UNIT_S[unit] for number, unit in _DURATION.findall(text))
    return timedelta(seconds=seconds) if seconds else None
