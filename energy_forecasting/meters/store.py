"""What the system needs of a place that holds meter readings.

Every store, the in-memory one included, passes the contract tests in
``tests/integration/meters/test_meter_store_contract.py``.
A store never answers a fault with an empty history: an error is an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from energy_forecasting.domain.meters import Meter, MeterProfile, MeterSummary
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreStatus:
    """What a reachable store says of itself, for ``/health/``; holds no secret."""

    kind: str  #: ``sqlite``, ``influxdb-flux`` or ``memory``
    version: str  #: of the server or library


class MeterStore(Protocol):
    """Where histories come from.

    Errors of every call: ``ConnectionFailed``, ``AuthenticationFailed``, ``DeadlineExceeded``,
    ``StorageFailed``. All datetimes are aware; a naive one raises ``InvalidRequest``.
    Safe to call from several threads.
    """

    @property
    def kind(self) -> str:
        """Return ``sqlite``, ``influxdb-flux`` or ``memory``; known without a connection."""
        ...

    def check(self) -> StoreStatus:
        """Reach the store, within seconds, and say what it is."""
        ...

    def list_meters(self, meter_type: str | None = None) -> list[MeterSummary]:
        """Return every meter, or those of one type, ordered by type and id."""
        ...

    def describe(self, meter: Meter) -> MeterSummary:
        """Return what the store holds of a meter; unusable readings do not move its ends.

        Raises:
            NoDataFound: the meter has no readings.
        """
        ...

    def read_history(
        self, meter: Meter, *, start: datetime | None = None, end: datetime | None = None
    ) -> History:
        """Return the meter's readings with start <= timestamp < end; None leaves a side open.

        Raises:
            NoDataFound: there is no reading in the span; the details name meter and span.
        """
        ...

    def read_temperature_forecast(
        self, meter: Meter, *, start: datetime, end: datetime
    ) -> TemperatureForecast:
        """Return what is forecast for start <= timestamp < end; empty when nothing is.

        Measured temperatures are never among it, not even for moments in the past.
        """
        ...

    def close(self) -> None:
        """Release connections; the store cannot be used afterwards."""
        ...


class WritableMeterStore(MeterStore, Protocol):
    """A store that takes readings in."""

    def write_profile(self, meter: Meter, profile: MeterProfile) -> None:
        """Create the meter or replace what is known of it."""
        ...

    def write_readings(self, meter: Meter, batches: Iterator[History]) -> int:
        """Insert or replace readings, all or nothing; return how many were written."""
        ...

    def write_temperature_forecast(self, meter: Meter, forecast: TemperatureForecast) -> None:
        """Insert or replace temperatures of a known meter, all or nothing.

        Raises:
            NoDataFound: the meter has no readings that the forecast could follow.
        """
        ...
