"""Forecasts go to InfluxDB as line protocol, to 1.x, 2.x and 3.x alike.

It only writes; what is there already is neither read nor deleted. Where a request is refused or
cut off, some of its points may have arrived: writing them again does no harm.
"""

from collections.abc import Sequence
from typing import Protocol

from energy_forecasting.domain.published_forecast import PublishedForecast
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.forecast_points import forecast_lines


class LineWriter(Protocol):
    """What carries lines to the server, as ``InfluxHttp`` does."""

    def write(self, container: str, lines: list[str], deadline: Deadline) -> None:
        """Write lines with precision s into a bucket or database."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


class InfluxForecastSink:
    """One measurement of one bucket or database; see the protocol ``ForecastSink``."""

    def __init__(
        self,
        writer: LineWriter,
        *,
        url: str,
        container: str,
        measurement: str,
        timeout_s: float,
    ) -> None:
        self._writer = writer
        self._url = url
        self._container = container
        self._measurement = measurement
        self._timeout_s = timeout_s

    @property
    def target(self) -> str:
        """Return measurement, bucket or database, and address."""
        return f"measurement {self._measurement} of {self._container} at {self._url}"

    def write_forecasts(self, forecasts: Sequence[PublishedForecast]) -> int:
        """Write every point in one request and return how many there were."""
        lines = [
            point for forecast in forecasts for point in forecast_lines(self._measurement, forecast)
        ]
        if lines:
            self._writer.write(self._container, lines, Deadline(self._timeout_s))
        return len(lines)

    def close(self) -> None:
        """Close the connections."""
        self._writer.close()
