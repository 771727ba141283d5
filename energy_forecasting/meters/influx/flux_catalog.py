"""Names of 2.x, asked in Flux; buckets and organizations of its API.

The queries are those of Flux's package ``influxdata/influxdb/schema`` over all times instead of
its last 30 days.
"""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.meters.influx.catalog import MOST_NAMES, FieldType, Kept, Names
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.flux_queries import names_query, tags_query, type_query
from energy_forecasting.meters.influx.flux_source import FluxSource
from energy_forecasting.meters.influx.http import InfluxHttp
from energy_forecasting.meters.influx.layout import Place

_OWN = {"_monitoring", "_tasks"}  #: where 2.x keeps its own
#: Of one bucket listing; the API gives no more at once.
_PAGE = 100
_NO_TAGS = {"_start", "_stop", "_time", "_value", "_field", "_measurement"}

_TYPES = {
    "double": FieldType.NUMBER,
    "long": FieldType.NUMBER,
    "unsignedLong": FieldType.NUMBER,
    "string": FieldType.TEXT,
    "boolean": FieldType.BOOLEAN,
}


class FluxCatalog:
    """See the protocol ``Catalog``."""

    def __init__(self, source: FluxSource, http: InfluxHttp, org: str | None) -> None:
        self._source = source
        self._http = http
        self._org = org  #: None when it is not known yet

    def containers(self, deadline: Deadline) -> Names:
        """Return the buckets, at most a page of them."""
        names = [str(each.get("name", "")) for each in self._buckets({}, deadline)]
        found = Names.first_of(name for name in names if name not in _OWN)
        return Names(names=found.names, complete=len(names) < _PAGE)

    def organizations(self, deadline: Deadline) -> Names:
        """Return the organizations."""
        found = self._api("/api/v2/orgs", {}, "orgs", deadline)
        return Names.first_of(str(each.get("name", "")) for each in found)

    def kept(self, container: str, deadline: Deadline) -> tuple[Kept, ...]:
        """Return the first rule of a bucket; 2.x has no more."""
        for bucket in self._buckets({"name": container}, deadline):
            rules = bucket.get("retentionRules") or [{}]
            seconds = int(rules[0].get("everySeconds") or 0)
            duration = timedelta(seconds=seconds) if seconds else None
            return (Kept(policy=None, is_default=True, duration=duration),)
        return ()

    def measurements(self, container: str, deadline: Deadline) -> Names:
        """Return the measurements."""
        return self._names(names_query(container, "_measurement", MOST_NAMES + 1), deadline)

    def tags(self, place: Place, deadline: Deadline) -> Names:
        """Return the tags."""
        found = self._names(tags_query(place, MOST_NAMES + 1), deadline)
        names = tuple(name for name in found.names if name not in _NO_TAGS)
        return Names(names=names, complete=found.complete)

    def fields(self, place: Place, deadline: Deadline) -> Names:
        """Return the fields."""
        return self._names(names_query(place, "_field", MOST_NAMES + 1), deadline)

    def field_types(
        self, place: Place, fields: tuple[str, ...], deadline: Deadline
    ) -> dict[str, FieldType]:
        """Return the types of newest values, a question each."""
        return {field: self._type(place, field, deadline) for field in fields}

    def tag_values(self, place: Place, tag: str, deadline: Deadline) -> Names:
        """Return the values of a tag."""
        return self._names(names_query(place, tag, MOST_NAMES + 1), deadline)

    def _type(self, place: Place, field: str, deadline: Deadline) -> FieldType:
        try:
            answer = self._source.ask(type_query(place, field), deadline)
        except EnergyForecastingError as error:
            if "collision" in error.message or "different schema" in error.message:
                return FieldType.MIXED
            raise
        for records in answer:
            return _TYPES.get(records["_value"].datatype, FieldType.UNKNOWN)
        return FieldType.UNKNOWN

    def _names(self, flux: str, deadline: Deadline) -> Names:
        answer = self._source.ask(flux, deadline)
        return Names.first_of(name for records in answer for name in records["_value"].strings())

    def _buckets(self, query: dict[str, str], deadline: Deadline) -> Iterable[dict[str, Any]]:
        org = {} if self._org is None else {"org": self._org}
        asked = {**org, **query, "limit": str(_PAGE)}
        return self._api("/api/v2/buckets", asked, "buckets", deadline)

    def _api(
        self, path: str, query: dict[str, str], key: str, deadline: Deadline
    ) -> list[dict[str, Any]]:
        def send() -> bytes:
            return self._http.get_once(path, query, accept="application/json", deadline=deadline)

        answer = self._http.persistently(send, deadline)
        try:
            listed = json.loads(answer)[key]
            return [each for each in listed if isinstance(each, dict)]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._http.faults.unreadable(answer[:100]) from None
