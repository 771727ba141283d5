"""The meter store on InfluxDB, of any version.

Readings of one meter that sit in several series, because they carry further tags, are taken as one
meter's; of two at the same second one is kept. What is known of a meter besides its readings stands
in the configuration. Of several forecasts of temperature for the same moment, told apart by a tag,
one is kept; write the newest over the older ones. A missing bucket, database or organization is
``InvalidRequest``, as no retry and no other meter can help; it never looks like a meter without
data. It cannot hold a reading without a value, and a write that fails may be written in part;
writing it again makes it whole.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Literal

import numpy as np

from energy_forecasting.domain.errors import InvalidRequest, NoDataFound
from energy_forecasting.domain.meters import Meter, MeterProfile, MeterSummary
from energy_forecasting.domain.readings import MINIMUM_TEMPERATURE_SHARE, History, to_datetime
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.influx.config import Dialect, InfluxConfig
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.history_reader import HistoryReader
from energy_forecasting.meters.influx.http import InfluxHttp
from energy_forecasting.meters.influx.influxql_source import InfluxqlSource
from energy_forecasting.meters.influx.layout import Layout, MeterPlace
from energy_forecasting.meters.influx.line_protocol import line
from energy_forecasting.meters.influx.source import InfluxSource
from energy_forecasting.meters.spans import Span, bounded, no_data_found
from energy_forecasting.meters.store import StoreStatus

_CHECK_S = 3.0
_LINES_PER_WRITE = 5_000

#: Majors of the versions that do not speak Flux; InfluxQL is understood by all.
_WITHOUT_FLUX = {"1", "3"}


class InfluxMeterStore:
    """Meters of one InfluxDB; see the protocol ``MeterStore``."""

    def __init__(self, config: InfluxConfig) -> None:
        self._config = config
        self._http = InfluxHttp(config)
        self._source = _source(config, self._http)
        self._layout = Layout(config)

    @property
    def kind(self) -> str:
        """Return ``influxdb-flux`` or ``influxdb-influxql``."""
        return f"influxdb-{self._config.dialect}"

    def check(self) -> StoreStatus:
        """Reach the server and see that version, credentials and container are right."""
        deadline = Deadline(min(_CHECK_S, self._config.timeout_s))
        version = self._source.version(deadline)
        major = version.lstrip("v").partition(".")[0]
        if self._config.dialect is Dialect.FLUX and major in _WITHOUT_FLUX:
            raise self._http.faults.without_flux(version)
        self._source.probe(self._layout.anywhere(), deadline)
        return StoreStatus(kind=self.kind, version=version)

    def list_meters(self, meter_type: str | None = None) -> list[MeterSummary]:
        """Return every meter whose id and type are valid names here, ordered by type and id.

        Only the last reading of each is looked up.
        """
        deadline = self._deadline()
        newest: dict[Meter, tuple[np.datetime64, MeterProfile]] = {}
        for group in self._layout.groups(meter_type):
            for type_value, id_value, time in self._source.newest(group, deadline):
                meter = group.meter(type_value, id_value)
                if meter is not None:  # else nobody could ask for it
                    latest = max(time, newest[meter][0]) if meter in newest else time
                    newest[meter] = (latest, group.profile)
        for place in self._layout.single_meters(meter_type):
            last = self._edge(place, "last", deadline)
            if last is not None:
                newest[place.meter] = (last, place.profile)
        return [
            MeterSummary(meter=meter, profile=profile, last_reading=to_datetime(time))
            for meter, (time, profile) in sorted(newest.items(), key=lambda item: item[0])
        ]

    def describe(self, meter: Meter, *, counted: bool = True) -> MeterSummary:
        """Return what is held of a meter; ``NoDataFound`` when it has no reading."""
        deadline = self._deadline()
        place = self._layout.of(meter)
        last = self._edge(place, "last", deadline)
        if last is None:
            raise self._no_data_found(place, Span())
        if not counted:
            return MeterSummary(meter=meter, profile=place.profile, last_reading=to_datetime(last))
        first = self._edge(place, "first", deadline)
        readings = self._source.count(place.readings, place.consumption, deadline)
        return MeterSummary(
            meter=meter,
            profile=place.profile,
            readings=readings,
            first_reading=None if first is None else to_datetime(first),
            last_reading=to_datetime(last),
            has_temperature=self._has_temperature(place, readings, deadline),
        )

    def read_history(
        self,
        meter: Meter,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        whole_hours_before: datetime | None = None,
    ) -> History:
        """Return the readings of a span; ``NoDataFound`` when there is none."""
        span, until = Span.between(start, end), Span.between(None, whole_hours_before).end
        place = self._layout.of(meter)
        if bounded(span).is_empty:  # InfluxDB refuses to look into an empty range
            raise self._no_data_found(place, span)
        reader = HistoryReader(
            source=self._source, http=self._http, place=place, deadline=self._deadline()
        )
        history = reader.read(span, until)
        if not len(history):
            raise self._no_data_found(place, span)
        return history

    def read_temperature_forecast(
        self, meter: Meter, *, start: datetime, end: datetime
    ) -> TemperatureForecast:
        """Return what the configured measurement forecasts; empty when there is none."""
        span = Span.between(start, end)
        try:
            source = self._layout.of(meter).temperature_forecast
        except NoDataFound:
            source = None
        if source is None or bounded(span).is_empty:
            return TemperatureForecast.empty()
        found = self._source.values(source.place, source.field, span, self._deadline())
        return TemperatureForecast.from_values(found.times, found.values)

    def write_profile(self, meter: Meter, profile: MeterProfile) -> None:
        """Refuse: the configuration holds the profiles.

        Raises:
            InvalidRequest: it would change what the configuration says.
        """
        if profile != self._layout.of(meter).profile:
            raise InvalidRequest(
                f"Unit, time zone, country, reading kind and resolution of {meter} stand in the "
                "InfluxDB configuration; write them there, under types for one meter type.",
                field="profiles",
            )

    def write_readings(self, meter: Meter, batches: Iterator[History]) -> int:
        """Insert or replace readings; a batch after a failed one is not written."""
        place = self._layout.of(meter)
        written = 0
        for batch in batches:
            written += self._write(place.readings.container, _lines(place, batch))
        return written

    def write_temperature_forecast(self, meter: Meter, forecast: TemperatureForecast) -> None:
        """Insert or replace temperatures of a known meter."""
        place = self._layout.of(meter)
        source = place.temperature_forecast
        if source is None:
            raise InvalidRequest(
                f"The InfluxDB configuration names no place for temperatures forecast for {meter}; "
                "add temperature_forecast there.",
                field="temperature",
            )
        self.describe(meter, counted=False)
        at = forecast.timestamps.astype("datetime64[s]").astype(np.int64).tolist()
        lines = (
            line(source.place.measurement, dict(source.place.tags), {source.field: degrees}, second)
            for second, degrees in zip(at, forecast.degrees.tolist(), strict=True)
        )
        self._write(source.place.container, lines)

    def close(self) -> None:
        """Close the connections."""
        self._source.close()
        self._http.close()

    def _deadline(self) -> Deadline:
        return Deadline(self._config.timeout_s)

    def _edge(
        self, place: MeterPlace, edge: Literal["first", "last"], deadline: Deadline
    ) -> np.datetime64 | None:
        return self._source.edge(place.readings, place.consumption, Span(), edge, deadline)

    def _has_temperature(self, place: MeterPlace, readings: int, deadline: Deadline) -> bool:
        """Tell whether enough readings have a temperature; one that lies apart serves all."""
        if place.temperature_apart is not None:
            apart = place.temperature_apart
            return self._source.edge(apart.place, apart.field, Span(), "last", deadline) is not None
        if place.temperature is None:
            return False
        known = self._source.count(place.readings, place.temperature, deadline)
        return known >= MINIMUM_TEMPERATURE_SHARE * readings > 0

    def _write(self, container: str, lines: Iterator[str]) -> int:
        """Write lines in pieces, each within a deadline of its own."""
        written = 0
        while piece := list(islice(lines, _LINES_PER_WRITE)):
            self._http.write(container, piece, self._deadline())
            written += len(piece)
        return written

    def _no_data_found(self, place: MeterPlace, span: Span) -> NoDataFound:
        container = "bucket" if self._config.dialect is Dialect.FLUX else "database"
        readings = place.readings
        return no_data_found(
            place.meter,
            span,
            **{container: readings.container},
            measurement=readings.measurement,
            field=place.consumption,
            tags=" ".join(f"{tag}={value}" for tag, value in readings.tags),
        )


def _lines(place: MeterPlace, batch: History) -> Iterator[str]:
    """Yield the lines of the readings that have a value."""
    readings, temperature = place.readings, place.temperature
    warm = np.isfinite(batch.temperature)
    if temperature is None and warm.any():
        raise InvalidRequest(
            f"The InfluxDB configuration names no field for temperatures of {place.meter}; name "
            "one (fields.temperature), or leave the temperatures out.",
            field="temperature",
        )
    tags = dict(readings.tags)
    at = batch.timestamps.astype("datetime64[s]").astype(np.int64)
    for usable in np.flatnonzero(np.isfinite(batch.consumption)).tolist():
        fields = {place.consumption: float(batch.consumption[usable])}
        if temperature is not None and warm[usable]:
            fields[temperature] = float(batch.temperature[usable])
        yield line(readings.measurement, tags, fields, int(at[usable]))


def _source(config: InfluxConfig, http: InfluxHttp) -> InfluxSource:
    if config.dialect is Dialect.INFLUXQL:
        return InfluxqlSource(http)
    from energy_forecasting.meters.influx.flux_source import (  # noqa: PLC0415 - slow to import
        FluxSource,
    )

    return FluxSource(config, http)
