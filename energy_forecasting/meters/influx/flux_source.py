"""InfluxDB 2.x, asked in Flux through ``influxdb-client``.

Series that differ only in tags that nobody asked about are taken as one; their aggregates come
one by one and are put together here.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from influxdb_client import Dialect, InfluxDBClient, Query
from influxdb_client.rest import ApiException
from influxdb_client.service import QueryService
from urllib3.exceptions import HTTPError

from energy_forecasting.domain.readings import Timestamps, Values
from energy_forecasting.meters.influx.annotated_csv import Records, read_records
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.flux_queries import (
    COUNTED,
    HOURLY,
    count_query,
    edge_query,
    newest_query,
    probe_query,
    values_query,
    window_query,
)
from energy_forecasting.meters.influx.http import InfluxHttp
from energy_forecasting.meters.influx.layout import MeterGroup, Place
from energy_forecasting.meters.influx.source import (
    Counts,
    HourSums,
    Series,
    WindowCounts,
    no_series,
)
from energy_forecasting.meters.spans import Span

_DIALECT = Dialect(
    header=True,
    delimiter=",",
    comment_prefix="#",
    annotations=["datatype", "group", "default"],
    date_time_format="RFC3339",
)


class FluxSource:
    """See the protocol ``InfluxSource``."""

    def __init__(self, config: InfluxConfig, http: InfluxHttp) -> None:
        self._config = config
        self._http = http
        assert config.token is not None, "the configuration's form says so"  # noqa: S101
        self._client = InfluxDBClient(
            url=config.url,
            token=config.token.get_secret_value(),
            org=config.org,
            enable_gzip=True,
            verify_ssl=config.verify_tls,
            ssl_ca_cert=str(config.ca_file) if config.ca_file else None,
            retries=False,
        )

    def version(self, deadline: Deadline) -> str:
        """Return the server's version."""
        return self._http.ping(deadline)

    def probe(self, place: Place, deadline: Deadline) -> None:
        """See that token, organization and bucket are right."""
        self.ask(probe_query(place), deadline)

    def newest(
        self, group: MeterGroup, deadline: Deadline
    ) -> Iterator[tuple[str | None, str, np.datetime64]]:
        """Yield type, id and newest time by series."""
        for records in self.ask(newest_query(group), deadline):
            ids = records[group.id_tag].strings()
            types: list[str | None] = [None] * len(ids)
            if group.type_tag is not None:
                types = [*records[group.type_tag].strings()]
            yield from zip(types, ids, records["_time"].times(), strict=True)

    def edge(
        self,
        place: Place,
        field: str,
        span: Span,
        edge: Literal["first", "last"],
        deadline: Deadline,
    ) -> np.datetime64 | None:
        """Return the first or last time of a field."""
        answer = self.ask(edge_query(place, field, span, edge), deadline)
        times = [time for records in answer for time in records["_time"].times()]
        return (min(times) if edge == "first" else max(times)) if times else None

    def count(self, place: Place, field: str, deadline: Deadline) -> int:
        """Return how many values a field has."""
        answer = self.ask(count_query(place, field), deadline)
        return int(sum(records["_value"].numbers().sum() for records in answer))

    def window_counts(
        self, place: Place, field: str, span: Span, deadline: Deadline
    ) -> WindowCounts:
        """Count the values by windows of a week."""
        counted = self._values(window_query(place, field, span, COUNTED, "count"), deadline)
        starts, sums, _ = _by_time(counted)
        return WindowCounts(starts=starts, counts=_whole(sums))

    def readings(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> tuple[Series, Series]:
        """Return consumption and temperature, each by a question of its own."""
        consumption, temperature = fields
        return (
            self.values(place, consumption, span, deadline),
            no_series() if temperature is None else self.values(place, temperature, span, deadline),
        )

    def hour_sums(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> HourSums:
        """Return sums, counts and mean temperatures by hour."""
        consumption, temperature = fields
        hours, sums, _ = _by_time(
            self._values(window_query(place, consumption, span, HOURLY, "sum"), deadline)
        )
        counted, counts, _ = _by_time(
            self._values(window_query(place, consumption, span, HOURLY, "count"), deadline)
        )
        warm = no_series()
        if temperature is not None:
            warm = self.hour_means(place, temperature, span, deadline)
        return HourSums(
            hours=hours,
            sums=sums,
            counts=_whole(_looked_up(counted, counts, hours, missing=0.0)),
            temperature=_looked_up(warm.times, warm.values, hours, missing=np.nan),
        )

    def hour_means(self, place: Place, field: str, span: Span, deadline: Deadline) -> Series:
        """Return means by hour."""
        found = self._values(window_query(place, field, span, HOURLY, "mean"), deadline)
        hours, sums, series = _by_time(found)
        return Series(times=hours, values=sums / series)

    def values(self, place: Place, field: str, span: Span, deadline: Deadline) -> Series:
        """Return the values of one field."""
        return self._values(values_query(place, field, span), deadline)

    def ask(self, flux: str, deadline: Deadline) -> list[Records]:
        """Run a query and return the records of its tables."""
        answer = self._http.persistently(lambda: self._send(flux, deadline), deadline)
        return list(read_records(answer, self._http.faults.shown))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _values(self, flux: str, deadline: Deadline) -> Series:
        times: list[Timestamps] = [np.empty(0, dtype="datetime64[s]")]
        values: list[Values] = [np.empty(0)]
        answer = self._http.persistently(lambda: self._send(flux, deadline), deadline)
        for records in read_records(answer, self._http.faults.shown):
            times.append(records["_time"].times())
            values.append(records["_value"].numbers())
        return Series(times=np.concatenate(times), values=np.concatenate(values))

    def _send(self, flux: str, deadline: Deadline) -> bytes:
        connect_s, read_s = self._http.timeouts_s(deadline)
        faults = self._http.faults
        try:
            response = QueryService(self._client.api_client).post_query(
                org=self._config.org,
                query=Query(query=flux, dialect=_DIALECT),
                _preload_content=False,
                _request_timeout=(connect_s * 1000, read_s * 1000),
                urlopen_kw={"redirect": False},
            )
            return self._http.read(response, deadline)
        except ApiException as error:
            if error.status:
                refusal = faults.of_refusal(error.status, error.body, error.headers or {})
                raise refusal from None
            # Status 0 is how the client wraps a TLS fault.
            raise faults.no_trust(str(error.reason)) from None
        except HTTPError as error:
            raise faults.of_transport(error, deadline) from None


def _by_time(series: Series) -> tuple[Timestamps, Values, Counts]:
    """Add up what several series have at the same time; return how many had something, too."""
    times, place = np.unique(series.times, return_inverse=True)
    known = np.isfinite(series.values)
    sums: Values = np.bincount(
        place[known], weights=series.values[known], minlength=len(times)
    ).astype(np.float64)
    return times, sums, np.bincount(place[known], minlength=len(times)).astype(np.int64)


def _looked_up(times: Timestamps, values: Values, wanted: Timestamps, *, missing: float) -> Values:
    """Return the value at each wanted time; the times are ascending."""
    found = np.full(len(wanted), missing)
    both, at, of = np.intersect1d(wanted, times, assume_unique=True, return_indices=True)
    if len(both):
        found[at] = values[of]
    return found


def _whole(numbers: Values) -> Counts:
    return np.rint(numbers).astype(np.int64)
