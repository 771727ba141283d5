"""Reads one meter's history piece by piece: counted first, then read, never more than asked for.

Memory holds one piece of text beside the readings themselves. A piece that arrives shorter than it
was counted is asked for again, and never taken.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Literal

import numpy as np

from energy_forecasting.domain.readings import History, Values
from energy_forecasting.domain.resolutions import HOUR_S, found_resolution
from energy_forecasting.meters.influx.chunks import Chunk, chunks
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.faults import MayPass, cut_short
from energy_forecasting.meters.influx.http import InfluxHttp
from energy_forecasting.meters.influx.layout import MeterPlace, SeriesPlace
from energy_forecasting.meters.influx.source import InfluxSource, Series
from energy_forecasting.meters.influx.temperature_apart import HELD_HOURS, at_readings
from energy_forecasting.meters.influx.whole_hours import can_be_added_up, whole_hours
from energy_forecasting.meters.spans import Span, bounded

#: Hours added up by one question: half a year.
_HOURS_AT_ONCE = 182 * 24


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryReader:
    """One reading of one meter's history."""

    source: InfluxSource
    http: InfluxHttp
    place: MeterPlace
    deadline: Deadline  #: of everything together

    def read(self, span: Span, whole_hours_before: int | None) -> History:
        """Return the readings of a span, empty when there are none.

        Args:
            span: perhaps open.
            whole_hours_before: readings before may come added up to hours, seconds since 1970.
        """
        start, end = bounded(span).start, bounded(span).end
        # Windows are only asked for where there are readings: servers may limit their number.
        if span.start is None:
            start = self._edge(span, "first")
        if span.end is None:
            last = self._edge(span, "last")
            end = None if last is None else last + 1
        if start is None or end is None:
            return _put_together([])
        border = start
        if whole_hours_before is not None:
            border = min(max(whole_hours_before // HOUR_S * HOUR_S, start), end)
        # Servers refuse to look into an empty range.
        late = self._readings(Span(start=border, end=end)) if border < end else []
        early = self._early(Span(start=start, end=border), late) if start < border else []
        return self._with_temperature_apart(_put_together([*early, *late]))

    def _edge(self, span: Span, edge: Literal["first", "last"]) -> int | None:
        """Return where the readings of a span begin or end; None when there are none."""
        readings, consumption = self.place.readings, self.place.consumption
        found = self.source.edge(readings, consumption, span, edge, self.deadline)
        return None if found is None else int(found.astype("datetime64[s]").astype(np.int64))

    def _early(self, span: Span, late: list[History]) -> list[History]:
        """Read what may come as hours; as hours where that is worth it and tells the same."""
        kind = self.place.profile.reading_kind
        step = found_resolution(_put_together(late).timestamps)
        if step is None or not can_be_added_up(step, kind):
            return self._readings(span)
        return [
            history
            for part in _parts(span, _HOURS_AT_ONCE * HOUR_S)
            for history in self._hours(part, step)
        ]

    def _hours(self, span: Span, step: timedelta) -> list[History]:
        fields = (self.place.consumption, self.place.temperature)
        sums = self.source.hour_sums(self.place.readings, fields, span, self.deadline)
        added = whole_hours(sums, step, self.place.profile.reading_kind)
        return [added.history] if added.fits else self._readings(span)

    def _readings(self, span: Span) -> list[History]:
        if span.is_empty:  # 2.x refuses to look into it
            return []
        counted = self.source.window_counts(
            self.place.readings, self.place.consumption, span, self.deadline
        )
        assert span.end is not None, "the span is closed"  # noqa: S101
        return [self._chunk(chunk) for chunk in chunks(counted, span.end)]

    def _chunk(self, chunk: Chunk) -> History:
        place, expected = self.place, chunk.values
        fields = (place.consumption, place.temperature)

        def read() -> tuple[Series, Series]:
            nonlocal expected
            found = self.source.readings(place.readings, fields, chunk.span, self.deadline)
            received = len(found[0].times)
            if received < expected:
                wanted = expected
                # Readings may have been deleted since they were counted.
                expected = self._counted(chunk.span)
                raise MayPass(cut_short(received, wanted))
            return found

        consumption, temperature = self.http.persistently(read, self.deadline)
        return History.from_readings(
            consumption.times, consumption.values, _joined(consumption, temperature)
        )

    def _counted(self, span: Span) -> int:
        counted = self.source.window_counts(
            self.place.readings, self.place.consumption, span, self.deadline
        )
        return int(counted.counts.sum())

    def _with_temperature_apart(self, history: History) -> History:
        apart = self.place.temperature_apart
        if apart is None or not len(history):
            return history
        hourly = self._hourly(apart, history)
        return replace(history, temperature=at_readings(history.timestamps, hourly))

    def _hourly(self, apart: SeriesPlace, history: History) -> Series:
        """Return the hourly temperatures from a little before the readings to the last of them."""
        seconds = history.timestamps.astype("datetime64[s]").astype(np.int64)
        begin = int(seconds[0]) // HOUR_S * HOUR_S - HELD_HOURS * HOUR_S
        beyond = (int(seconds[-1]) // HOUR_S + 1) * HOUR_S
        means = [
            self.source.hour_means(apart.place, apart.field, part, self.deadline)
            for part in _parts(Span(start=begin, end=beyond), _HOURS_AT_ONCE * HOUR_S)
        ]
        return Series(
            times=np.concatenate([each.times for each in means]),
            values=np.concatenate([each.values for each in means]),
        )


def _parts(span: Span, seconds: int) -> list[Span]:
    """Cut a closed span at multiples of a length."""
    start, end = span.start, span.end
    assert start is not None, "the span is closed"  # noqa: S101
    assert end is not None, "the span is closed"  # noqa: S101
    cuts = range((start // seconds + 1) * seconds, end, seconds)
    edges = [start, *cuts, end]
    return [Span(start=a, end=b) for a, b in pairwise(edges)]


def _joined(consumption: Series, temperature: Series) -> Values:
    """Look up the temperature at each time of the consumption; NaN where there is none."""
    times, known_times = consumption.times, temperature.times
    if not len(known_times):
        return np.full(len(times), np.nan)
    order = np.argsort(known_times, kind="stable")
    known_times, known = known_times[order], temperature.values[order]
    at = np.searchsorted(known_times, times, side="right") - 1
    return np.where(known_times[at] == times, known[at], np.nan)


def _put_together(histories: list[History]) -> History:
    empty = np.empty(0)
    return History.from_readings(
        np.concatenate([np.empty(0, dtype="datetime64[s]"), *(h.timestamps for h in histories)]),
        np.concatenate([empty, *(h.consumption for h in histories)]),
        np.concatenate([empty, *(h.temperature for h in histories)]),
    )
