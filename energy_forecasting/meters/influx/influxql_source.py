"""InfluxDB 1.x, 3.x and mapped buckets of 2.x, asked in InfluxQL over ``GET /query``.

Small questions are answered in JSON, which tells faults. Readings travel as chunked CSV,
which NumPy reads at once but which does not: a statement that fails, at once or midway, just ends.
So readings are only taken when a count, asked in JSON, says that there are that many.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.errors import ConnectionFailed
from energy_forecasting.domain.readings import Timestamps, Values
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.faults import MayPass, cut_short
from energy_forecasting.meters.influx.http import InfluxHttp
from energy_forecasting.meters.influx.influxql_csv import read_columns
from energy_forecasting.meters.influx.influxql_json import NotOfThisForm, read_answer
from energy_forecasting.meters.influx.influxql_queries import (
    COUNTED,
    HOURLY,
    aggregate,
    count_query,
    edge_query,
    newest_query,
    probe_query,
    values_query,
    window_query,
)
from energy_forecasting.meters.influx.layout import MeterGroup, Place
from energy_forecasting.meters.influx.source import (
    Counts,
    HourSums,
    Series,
    WindowCounts,
    no_series,
)
from energy_forecasting.meters.spans import Span

_ROWS_PER_CHUNK = "20000"


class InfluxqlSource:
    """See the protocol ``InfluxSource``."""

    def __init__(self, http: InfluxHttp) -> None:
        self._http = http

    def version(self, deadline: Deadline) -> str:
        """Return the server's version."""
        return self._http.ping(deadline)

    def probe(self, place: Place, deadline: Deadline) -> None:
        """See that credentials, database and retention policy are right."""
        self.ask(place.container, probe_query(place), deadline)

    def newest(
        self, group: MeterGroup, deadline: Deadline
    ) -> Iterator[tuple[str | None, str, np.datetime64]]:
        """Yield type, id and newest time by series."""
        for series in self.ask(group.place.container, newest_query(group), deadline):
            tags = series["tags"]
            named_type = None if group.type_tag is None else str(tags.get(group.type_tag, ""))
            for row in series["values"]:
                yield named_type, str(tags.get(group.id_tag, "")), self._moment(row)

    def edge(
        self,
        place: Place,
        field: str,
        span: Span,
        edge: Literal["first", "last"],
        deadline: Deadline,
    ) -> np.datetime64 | None:
        """Return the first or last time of a field."""
        rows = self._rows(place, edge_query(place, field, span, edge), deadline)
        return self._moment(rows[0]) if rows else None

    def count(self, place: Place, field: str, deadline: Deadline) -> int:
        """Return how many values a field has."""
        return self._count(place, field, Span(), deadline)

    def window_counts(
        self, place: Place, field: str, span: Span, deadline: Deadline
    ) -> WindowCounts:
        """Count the values by windows of a week."""
        counted = window_query(place, (aggregate("count", field),), span, COUNTED)
        rows = self._numbers(place, counted, 1, deadline)
        starts = rows[:, 0] if span.start is None else np.maximum(rows[:, 0], span.start)
        return WindowCounts(starts=_times(starts), counts=_whole(rows[:, 1]))

    def readings(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> tuple[Series, Series]:
        """Return consumption and temperature, asked for in one question."""
        consumption, temperature = fields
        selected = (consumption,) if temperature is None else (consumption, temperature)
        answer = self._table(place, values_query(place, selected, span), len(selected), deadline)
        times = _times(answer[0])
        return (
            _known(times, answer[1]),
            no_series() if temperature is None else _known(times, answer[2]),
        )

    def hour_sums(
        self, place: Place, fields: tuple[str, str | None], span: Span, deadline: Deadline
    ) -> HourSums:
        """Return sums, counts and mean temperatures by hour."""
        consumption, temperature = fields
        wanted = [aggregate("sum", consumption), aggregate("count", consumption)]
        if temperature is not None:
            wanted.append(aggregate("mean", temperature))
        asked = window_query(place, tuple(wanted), span, HOURLY)
        rows = self._numbers(place, asked, len(wanted), deadline)
        rows = rows[rows[:, 2] > 0]  # an hour may hold nothing but temperatures
        return HourSums(
            hours=_times(rows[:, 0]),
            sums=rows[:, 1],
            counts=_whole(rows[:, 2]),
            temperature=np.full(len(rows), np.nan) if temperature is None else rows[:, 3],
        )

    def hour_means(self, place: Place, field: str, span: Span, deadline: Deadline) -> Series:
        """Return means by hour."""
        asked = window_query(place, (aggregate("mean", field),), span, HOURLY)
        rows = self._numbers(place, asked, 1, deadline)
        return Series(times=_times(rows[:, 0]), values=rows[:, 1])

    def values(self, place: Place, field: str, span: Span, deadline: Deadline) -> Series:
        """Return the values of one field; complete, or an error."""

        def read() -> Series:
            expected = self._count(place, field, span, deadline)
            times, values = self._table(place, values_query(place, (field,), span), 1, deadline)
            if len(times) < expected:
                raise MayPass(cut_short(len(times), expected))
            return Series(times=_times(times), values=values)

        return self._http.persistently(read, deadline)

    def ask(self, container: str, influxql: str, deadline: Deadline) -> list[dict[str, Any]]:
        """Ask one statement in JSON and return its series.

        Raises:
            As the protocol ``MeterStore`` says; a fault that the answer tells is an error.
        """

        def send() -> list[dict[str, Any]]:
            answer = self._send(container, influxql, "application/json", deadline)
            return self._series(answer)

        return self._http.persistently(send, deadline)

    def close(self) -> None:
        """Do nothing: the connections are the HTTP client's."""

    def _rows(self, place: Place, influxql: str, deadline: Deadline) -> list[list[Any]]:
        series = self.ask(place.container, influxql, deadline)
        return [row for each in series for row in each["values"]]

    def _numbers(
        self, place: Place, influxql: str, columns: int, deadline: Deadline
    ) -> npt.NDArray[np.float64]:
        """Return the times and the selected columns, [n, columns + 1]; NaN where null."""
        rows = self._rows(place, influxql, deadline)
        try:
            return np.array(rows, dtype=np.float64).reshape(len(rows), columns + 1)
        except (ValueError, TypeError):
            raise self._http.faults.unreadable(rows) from None

    def _count(self, place: Place, field: str, span: Span, deadline: Deadline) -> int:
        return int(self._numbers(place, count_query(place, field, span), 1, deadline)[:, 1].sum())

    def _table(
        self, place: Place, influxql: str, columns: int, deadline: Deadline
    ) -> npt.NDArray[np.float64]:
        def send() -> bytes:
            return self._send(place.container, influxql, "application/csv", deadline)

        return read_columns(
            self._http.persistently(send, deadline), columns, self._http.faults.unreadable
        )

    def _send(self, container: str, influxql: str, accept: str, deadline: Deadline) -> bytes:
        query = {"db": container, "q": influxql, "epoch": "s"}
        if accept == "application/csv":
            query |= {"chunked": "true", "chunk_size": _ROWS_PER_CHUNK}
        return self._http.get_once("/query", query, accept=accept, deadline=deadline)

    def _series(self, answer: bytes) -> list[dict[str, Any]]:
        """Return the series of the one statement in an answer."""
        try:
            told = read_answer(answer)
        except NotOfThisForm:
            raise self._http.faults.unreadable(answer) from None
        if told.fault is not None:
            raise self._http.faults.of_statement(told.fault)
        if told.is_cut:
            raise ConnectionFailed(
                "InfluxDB sent a part of its answer only; raise max-row-limit in its configuration."
            )
        return told.series

    def _moment(self, row: list[Any]) -> np.datetime64:
        """Return the time of a row."""
        if not isinstance(row[0], int):
            raise self._http.faults.unreadable(row)
        return np.datetime64(row[0], "s")


def _known(times: Timestamps, values: Values) -> Series:
    there = np.isfinite(values)
    return Series(times=times[there], values=values[there])


def _times(seconds: Values) -> Timestamps:
    return seconds.astype(np.int64).astype("datetime64[s]")


def _whole(numbers: Values) -> Counts:
    return np.rint(numbers).astype(np.int64)
