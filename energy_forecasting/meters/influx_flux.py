"""The meter store on InfluxDB 2.x, through Flux.

It only reads. Readings of one meter that sit in several series, because they carry further
tags, are taken as one meter's; of two at the same second one is kept. One profile serves all
meters. Of several forecasts of temperature for the same moment, told apart by a tag, one is kept;
write the newest over the older ones. A missing bucket or organization is ``InvalidRequest``, as
no retry and no other meter can help; it never looks like a meter without data.
"""

from datetime import datetime

import numpy as np

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import Meter, MeterSummary
from energy_forecasting.domain.readings import (
    MINIMUM_TEMPERATURE_SHARE,
    History,
    Timestamps,
    Values,
    to_datetime,
)
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.annotated_csv import Records, read_records
from energy_forecasting.meters.flux import (
    bounded,
    counts_query,
    edge_query,
    meters_query,
    probe_query,
    temperature_forecast_query,
    values_query,
)
from energy_forecasting.meters.influx_client import Deadline, InfluxClient
from energy_forecasting.meters.influx_config import InfluxConfig
from energy_forecasting.meters.spans import Span, no_data_found
from energy_forecasting.meters.store import StoreStatus

_CHECK_S = 3.0


class InfluxFluxMeterStore:
    """Meters of one InfluxDB bucket; see the protocol ``MeterStore``."""

    kind = "influxdb-flux"

    def __init__(self, config: InfluxConfig) -> None:
        self._config = config
        self._client = InfluxClient(config)

    def check(self) -> StoreStatus:
        """Reach the server and see that token, organization and bucket are right."""
        deadline = Deadline(min(_CHECK_S, self._config.timeout_s))
        version = self._client.ping(deadline)
        self._ask(probe_query(self._config), deadline)
        return StoreStatus(kind=self.kind, version=version)

    def list_meters(self, meter_type: str | None = None) -> list[MeterSummary]:
        """Return every meter whose id and type are valid names here, ordered by type and id.

        Only the last reading of each is looked up.
        """
        tags = self._config.tags
        newest: dict[Meter, np.datetime64] = {}
        for records in self._ask(meters_query(self._config, meter_type), self._deadline()):
            rows = zip(
                records[tags.meter_type].strings(),
                records[tags.meter_id].strings(),
                records["_time"].times(),
                strict=True,
            )
            for named_type, named_id, time in rows:
                try:
                    meter = Meter(meter_type=named_type, meter_id=named_id)
                except InvalidRequest:
                    continue  # nobody could ask for it
                newest[meter] = max(time, newest.get(meter, time))
        return [
            MeterSummary(meter=meter, profile=self._config.profile, last_reading=to_datetime(time))
            for meter, time in sorted(newest.items())
        ]

    def describe(self, meter: Meter) -> MeterSummary:
        """Return what the bucket holds of a meter; ``NoDataFound`` when it has no reading."""
        deadline = self._deadline()
        first = self._times(edge_query(self._config, meter, "first"), deadline)
        if not len(first):
            raise self._no_data_found(meter, Span())
        last = self._times(edge_query(self._config, meter, "last"), deadline)
        counts: dict[str, int] = {}
        for records in self._ask(counts_query(self._config, meter), deadline):
            fields, numbers = records["_field"].strings(), records["_value"].numbers()
            for field, number in zip(fields, numbers, strict=True):
                counts[field] = counts.get(field, 0) + int(number)
        fields_named = self._config.fields
        readings = counts.get(fields_named.consumption, 0)
        temperatures = counts.get(fields_named.temperature or "", 0)
        return MeterSummary(
            meter=meter,
            profile=self._config.profile,
            readings=readings,
            first_reading=to_datetime(first.min()),
            last_reading=to_datetime(last.max()),
            has_temperature=temperatures >= MINIMUM_TEMPERATURE_SHARE * readings > 0,
        )

    def read_history(
        self, meter: Meter, *, start: datetime | None = None, end: datetime | None = None
    ) -> History:
        """Return the readings of a span; ``NoDataFound`` when there is none."""
        span = Span.between(start, end)
        if bounded(span).is_empty:  # InfluxDB refuses to look into an empty range
            raise self._no_data_found(meter, span)
        deadline = self._deadline()
        fields = self._config.fields
        times, consumption = self._values(meter, fields.consumption, span, deadline)
        if not len(times):
            raise self._no_data_found(meter, span)
        temperature = np.full(len(times), np.nan)
        if fields.temperature is not None:
            warm_times, degrees = self._values(meter, fields.temperature, span, deadline)
            temperature = _joined(times, warm_times, degrees)
        return History.from_readings(times, consumption, temperature)

    def read_temperature_forecast(
        self, meter: Meter, *, start: datetime, end: datetime
    ) -> TemperatureForecast:
        """Return what the configured measurement forecasts; empty when there is none."""
        source, span = self._config.temperature_forecast, Span.between(start, end)
        if source is None or bounded(span).is_empty:
            return TemperatureForecast.empty()
        flux = temperature_forecast_query(self._config, source, meter, span)
        return TemperatureForecast.from_values(*self._series(flux, self._deadline()))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _deadline(self) -> Deadline:
        return Deadline(self._config.timeout_s)

    def _ask(self, flux: str, deadline: Deadline) -> list[Records]:
        return list(read_records(self._client.query(flux, deadline)))

    def _times(self, flux: str, deadline: Deadline) -> Timestamps:
        pieces = [records["_time"].times() for records in self._ask(flux, deadline)]
        return np.concatenate([np.empty(0, dtype="datetime64[s]"), *pieces])

    def _values(
        self, meter: Meter, field: str, span: Span, deadline: Deadline
    ) -> tuple[Timestamps, Values]:
        """Read one field, in no promised order."""
        return self._series(values_query(self._config, meter, field, span), deadline)

    def _series(self, flux: str, deadline: Deadline) -> tuple[Timestamps, Values]:
        times: list[Timestamps] = [np.empty(0, dtype="datetime64[s]")]
        values: list[Values] = [np.empty(0)]
        for records in read_records(self._client.query(flux, deadline)):
            times.append(records["_time"].times())
            values.append(records["_value"].numbers())
        return np.concatenate(times), np.concatenate(values)

    def _no_data_found(self, meter: Meter, span: Span) -> Exception:
        config = self._config
        return no_data_found(
            meter,
            span,
            bucket=config.bucket,
            measurement=config.measurement,
            field=config.fields.consumption,
            tags=f"{config.tags.meter_type}={meter.meter_type} "
            f"{config.tags.meter_id}={meter.meter_id}",
        )


def _joined(times: Timestamps, known_times: Timestamps, known: Values) -> Values:
    """Look up the value known at each time; NaN where there is none."""
    if not len(known_times):
        return np.full(len(times), np.nan)
    order = np.argsort(known_times, kind="stable")
    known_times, known = known_times[order], known[order]
    at = np.searchsorted(known_times, times, side="right") - 1
    return np.where(known_times[at] == times, known[at], np.nan)
