"""A meter store in memory: for tests and trials, gone with the process."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.meters import Meter, MeterProfile, MeterSummary
from energy_forecasting.domain.readings import (
    MINIMUM_TEMPERATURE_SHARE,
    History,
    Timestamps,
    Values,
    to_datetime,
)
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.spans import Span, no_data_found
from energy_forecasting.meters.store import StoreStatus


def _empty_history() -> History:
    return History(
        timestamps=np.empty(0, dtype="datetime64[s]"),
        consumption=np.empty(0),
        temperature=np.empty(0),
    )


@dataclass(kw_only=True, slots=True)
class _Held:
    """What is held of one meter."""

    profile: MeterProfile = field(default_factory=MeterProfile)
    history: History = field(default_factory=_empty_history)
    temperature_forecast: TemperatureForecast = field(default_factory=TemperatureForecast.empty)


class InMemoryMeterStore:
    """Meters and readings in a dictionary; see the protocol ``MeterStore``."""

    kind = "memory"

    def __init__(self) -> None:
        self._held: dict[Meter, _Held] = {}
        self._lock = Lock()

    def check(self) -> StoreStatus:
        """Always succeed."""
        return StoreStatus(kind=self.kind, version="1")

    def list_meters(self, meter_type: str | None = None) -> list[MeterSummary]:
        """Return every meter, or those of one type, ordered by type and id."""
        with self._lock:
            return [
                _summary(meter, held)
                for meter, held in sorted(self._held.items(), key=lambda item: item[0])
                if meter_type in (None, meter.meter_type)
            ]

    def describe(
        self,
        meter: Meter,
        *,
        counted: bool = True,  # noqa: ARG002 - counting costs nothing here
    ) -> MeterSummary:
        """Return what is held of a meter; ``NoDataFound`` when it has no reading."""
        with self._lock:
            held = self._held.get(meter)
            summary = None if held is None else _summary(meter, held)
        if summary is None or summary.last_reading is None:
            raise no_data_found(meter, Span())
        return summary

    def read_history(
        self,
        meter: Meter,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        whole_hours_before: datetime | None = None,  # noqa: ARG002 - reading them all is quick
    ) -> History:
        """Return the readings of a span; ``NoDataFound`` when there is none."""
        span = Span.between(start, end)
        with self._lock:
            history = self._held.get(meter, _Held()).history
        inside = _inside(span, history.timestamps)
        if not inside.any():
            raise no_data_found(meter, span)
        return History(
            timestamps=history.timestamps[inside],
            consumption=history.consumption[inside],
            temperature=history.temperature[inside],
        )

    def read_temperature_forecast(
        self, meter: Meter, *, start: datetime, end: datetime
    ) -> TemperatureForecast:
        """Return what is forecast within a span; empty when nothing is."""
        span = Span.between(start, end)
        with self._lock:
            forecast = self._held.get(meter, _Held()).temperature_forecast
        inside = _inside(span, forecast.timestamps)
        return TemperatureForecast(
            timestamps=forecast.timestamps[inside], degrees=forecast.degrees[inside]
        )

    def write_profile(self, meter: Meter, profile: MeterProfile) -> None:
        """Create the meter or replace what is known of it."""
        with self._lock:
            self._held.setdefault(meter, _Held()).profile = profile

    def write_readings(self, meter: Meter, batches: Iterator[History]) -> int:
        """Insert or replace readings, all or nothing."""
        arrived = list(batches)  # a batch that fails to arrive leaves the store as it was
        with self._lock:
            held = self._held.setdefault(meter, _Held())
            held.history = _merged([held.history, *arrived])
        return sum(len(batch) for batch in arrived)

    def write_temperature_forecast(self, meter: Meter, forecast: TemperatureForecast) -> None:
        """Insert or replace temperatures of a known meter."""
        self.describe(meter)
        with self._lock:
            held = self._held[meter]
            before = held.temperature_forecast
            held.temperature_forecast = TemperatureForecast.from_values(
                np.concatenate([before.timestamps, forecast.timestamps]),
                np.concatenate([before.degrees, forecast.degrees]),
            )

    def close(self) -> None:
        """Do nothing."""


def _inside(span: Span, timestamps: Timestamps) -> npt.NDArray[np.bool_]:
    """Whether each moment lies in the span, [n]."""
    inside = np.ones(len(timestamps), dtype=np.bool_)
    if span.start is not None:
        inside &= timestamps >= np.datetime64(span.start, "s")
    if span.end is not None:
        inside &= timestamps < np.datetime64(span.end, "s")
    return inside


def _merged(histories: list[History]) -> History:
    """Join histories; where two have the same moment, the later history wins."""
    stamps: list[Timestamps] = [history.timestamps for history in histories]
    consumption: list[Values] = [history.consumption for history in histories]
    temperature: list[Values] = [history.temperature for history in histories]
    return History.from_readings(
        np.concatenate(stamps), np.concatenate(consumption), np.concatenate(temperature)
    )


def _summary(meter: Meter, held: _Held) -> MeterSummary:
    history = held.history
    usable = history.timestamps[np.isfinite(history.consumption)]
    known = int(np.isfinite(history.temperature).sum())
    return MeterSummary(
        meter=meter,
        profile=held.profile,
        readings=len(history),
        first_reading=to_datetime(usable[0]) if len(usable) else None,
        last_reading=to_datetime(usable[-1]) if len(usable) else None,
        has_temperature=len(history) > 0 and known >= MINIMUM_TEMPERATURE_SHARE * len(history),
    )
