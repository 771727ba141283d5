"""InfluxDB 2.x, asked in Flux through ``influxdb-client``.

Series that differ only in tags that nobody asked about are taken as one; their aggregates come
one by one and are put together here.

A series whose field changes its type, as from whole numbers to decimals, is read by 2.x up to the
change, without a word (influxdb issues 18855, 24938 and 26937). Only ``last``, which begins at the
other end, sees more. So a reading that ends before its field does is refused: such a field can
only be read in InfluxQL, which turns whole numbers into decimals. Where several series are taken as
one, a change in one of them can still hide behind another.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from influxdb_client import Dialect, InfluxDBClient, Query
from influxdb_client.rest import ApiException
from influxdb_client.service import QueryService
from urllib3.exceptions import HTTPError

from energy_forecasting.domain.errors import DataQualityError
from energy_forecasting.domain.readings import Timestamps, Values
from energy_forecasting.meters.influx.annotated_csv import Records, read_records
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.faults import MayPass
from energy_forecasting.meters.influx.flux_queries import (
    COUNTED,
    HOURLY,
    count_query,
    edge_query,
    ends_query,
    newest_query,
    probe_query,
    values_query,
    window_query,
)
from energy_forecasting.meters.influx.http import InfluxHttp
from energy_forecasting.meters.influx.layout import MeterGroup, Place
from energy_forecasting.meters.influx.plain_series import read_plain_series
from energy_forecasting.meters.influx.source import (
    Counts,
    HourSums,
    Series,
    WindowCounts,
    no_series,
)
from energy_forecasting.meters.spans import Span

_SECOND, _HOUR = np.timedelta64(1, "s"), np.timedelta64(1, "h")

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
            times = records["_time"].times()
            ids = _texts(records, group.id_tag, len(times))
            types: list[str | None] = [None] * len(times)
            if group.type_tag is not None:
                types = [*_texts(records, group.type_tag, len(times))]
            yield from zip(types, ids, times, strict=True)

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
        return WindowCounts(starts=starts, counts=_rounded(sums))

    def readings(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> tuple[Series, Series]:
        """Return consumption and temperature, each by a question of its own."""
        ends = self._ends(place, fields, span, deadline)

        def read(field: str) -> Series:
            return self._whole(
                field, ends, _SECOND, lambda: self.values(place, field, span, deadline), deadline
            )

        consumption, temperature = fields
        return read(consumption), no_series() if temperature is None else read(temperature)

    def hour_sums(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> HourSums:
        """Return sums, counts and mean temperatures by hour."""
        ends = self._ends(place, fields, span, deadline)

        def read(field: str, aggregate: Literal["count", "sum", "mean"]) -> Series:
            flux = window_query(place, field, span, HOURLY, aggregate)
            return self._hourly(flux, field, ends, deadline)

        consumption, temperature = fields
        hours, sums, _ = _by_time(read(consumption, "sum"))
        counted, counts, _ = _by_time(read(consumption, "count"))
        warm = no_series() if temperature is None else _means(read(temperature, "mean"))
        return HourSums(
            hours=hours,
            sums=sums,
            counts=_rounded(_looked_up(counted, counts, hours, missing=0.0)),
            temperature=_looked_up(warm.times, warm.values, hours, missing=np.nan),
        )

    def hour_means(self, place: Place, field: str, span: Span, deadline: Deadline) -> Series:
        """Return means by hour."""
        ends = self._ends(place, (field,), span, deadline)
        flux = window_query(place, field, span, HOURLY, "mean")
        return _means(self._hourly(flux, field, ends, deadline))

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

    def _ends(
        self, place: Place, fields: tuple[str | None, ...], span: Span, deadline: Deadline
    ) -> dict[str, np.datetime64]:
        """Return when each field has its last value; asked before it is read, as it may grow."""
        named = tuple(field for field in fields if field is not None)
        ends: dict[str, np.datetime64] = {}
        for records in self.ask(ends_query(place, named, span), deadline):
            times = records["_time"].times()
            for field, time in zip(records["_field"].strings(), times, strict=True):
                ends[field] = max(time, ends.get(field, time))
        return ends

    def _whole(
        self,
        field: str,
        ends: dict[str, np.datetime64],
        step: np.timedelta64,
        read: Callable[[], Series],
        deadline: Deadline,
    ) -> Series:
        """Read a field and see that it is read to its end, give or take a step."""

        def attempt() -> Series:
            found = read()
            reached = found.times.max() if len(found.times) else None
            if field in ends and (reached is None or reached + step <= ends[field]):
                raise MayPass(_cut_off(field, reached, ends[field]))
            return found

        return self._http.persistently(attempt, deadline)

    def _hourly(
        self, flux: str, field: str, ends: dict[str, np.datetime64], deadline: Deadline
    ) -> Series:
        """Run a query for an aggregate by hour, and name each hour by its start."""

        def read() -> Series:
            found = self._values(flux, deadline)
            # The server names the first window by the start of the span, if that lies inside.
            hours = found.times.astype("datetime64[h]").astype("datetime64[s]")
            return Series(times=hours, values=found.values)

        return self._whole(field, ends, _HOUR, read, deadline)

    def _values(self, flux: str, deadline: Deadline) -> Series:
        answer = self._http.persistently(lambda: self._send(flux, deadline), deadline)
        plain = read_plain_series(answer)
        if plain is not None:
            return Series(times=plain[0], values=plain[1])
        times: list[Timestamps] = [np.empty(0, dtype="datetime64[s]")]
        values: list[Values] = [np.empty(0)]
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


def _cut_off(field: str, reached: np.datetime64 | None, end: np.datetime64) -> DataQualityError:
    ending = "is empty" if reached is None else f"ends at {reached}"
    return DataQualityError(
        f"InfluxDB holds field {field} until {end}, but its answer {ending}; most likely "
        "the field changes its type there, which InfluxDB 2.x cannot read in Flux: write it anew "
        "with one type, or let the configuration give database instead of org and bucket (map the "
        "bucket to it, influx v1 dbrp create).",
        field=field,
        end=str(end),
    )


def _texts(records: Records, label: str, rows: int) -> list[str]:
    """Return a column; empty texts where no series has such a tag."""
    return records[label].strings() if label in records else [""] * rows


def _means(found: Series) -> Series:
    """Average what several series have at the same time."""
    times, sums, series = _by_time(found)
    known = series > 0
    return Series(times=times[known], values=sums[known] / series[known])


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


def _rounded(numbers: Values) -> Counts:
    return np.rint(numbers).astype(np.int64)
