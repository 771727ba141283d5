"""What the system needs of a place that holds meter readings: it reads there and writes there.

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

    kind: str  #: as ``MeterStore.kind``
    version: str  #: of the server or library


class MeterStore(Protocol):
    """Where histories come from.

    Errors of every call: ``ConnectionFailed``, ``AuthenticationFailed``, ``DeadlineExceeded``,
    ``StorageFailed``. All datetimes are aware; a naive one raises ``InvalidRequest``.
    Safe to call from several threads.
    """

    @property
    def kind(self) -> str:
        """Return ``sqlite``, ``memory``, ``influxdb-flux`` or ``influxdb-influxql``.

        It is known without a connection.
        """
        ...

    def check(self) -> StoreStatus:
        """Reach the store, within seconds, and say what it is."""
        ...

    def list_meters(self, meter_type: str | None = None) -> list[MeterSummary]:
        """Return every meter, or those of one type, ordered by type and id."""
        ...

    def describe(self, meter: Meter, *, counted: bool = True) -> MeterSummary:
        """Return what the store holds of a meter; unusable readings do not move its ends.

        Args:
            meter: the one asked about.
            counted: False when profile and last reading are enough; the rest may then be None.

        Raises:
            NoDataFound: the meter has no readings.
        """
        ...

    def read_history(
        self,
        meter: Meter,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        whole_hours_before: datetime | None = None,
    ) -> History:
        """Return the meter's readings with start <= timestamp < end; None leaves a side open.

        Args:
            meter: the one asked about.
            start: the first moment wanted.
            end: the first moment not wanted.
            whole_hours_before: readings of every few minutes before it may come added up to
                readings of whole hours, where that is quicker for the store; None: as they are.

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

    def write_profile(self, meter: Meter, profile: MeterProfile) -> None:
        """Create the meter or replace what is known of it.

        Raises:
            InvalidRequest: the store keeps profiles elsewhere, in its configuration, and this is
                another one.
        """
        ...

    def write_readings(self, meter: Meter, batches: Iterator[History]) -> int:
        """Insert or replace readings; return how many were written.

        ``memory`` and ``sqlite`` write all or nothing. InfluxDB cannot: after an error a part may
        have been written, and writing it again makes it whole. Nor can it hold a reading that is
        unusable (NaN); it is left out.
        """
        ...

    def write_temperature_forecast(self, meter: Meter, forecast: TemperatureForecast) -> None:
        """Insert or replace temperatures of a known meter, as ``write_readings`` does.

        Raises:
            NoDataFound: the meter has no readings that the forecast could follow.
            InvalidRequest: the store's configuration names no place for them.
        """
        ...

    def close(self) -> None:
        """Release connections; the store cannot be used afterwards."""
        ...
