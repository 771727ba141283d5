"""What the system needs of a place that takes forecasts in.

It is apart from ``MeterStore``, as forecasts may go to another database than readings come from,
or nowhere. A sink cannot take a forecast back, and cannot tell what it holds.
"""

from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import Protocol

import numpy as np

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.published_forecast import PublishedForecast


class ForecastSink(Protocol):
    """Where forecasts go.

    A point is told by meter, model version and moment; the same point written again replaces the
    earlier one, so writing a forecast twice changes nothing. Safe to call from several threads.
    """

    @property
    def target(self) -> str:
        """Return where points land, for marks and sentences; known without a connection."""
        ...

    def write_forecasts(self, forecasts: Sequence[PublishedForecast]) -> int:
        """Write every point and return how many there were.

        Where it raises, some points may have been written.

        Raises:
            ConnectionFailed, AuthenticationFailed, DeadlineExceeded, InvalidRequest: the database
                is away or refuses.
        """
        ...

    def close(self) -> None:
        """Release connections; the sink cannot be used afterwards."""
        ...


class InMemoryForecastSink:
    """Points in a dictionary: for tests and trials, gone with the process."""

    target = "memory"

    def __init__(self) -> None:
        self._lock = Lock()
        #: By meter, model version and second: origin and quantiles.
        self.points: dict[tuple[Meter, str, int], tuple[datetime, tuple[float, ...]]] = {}

    def write_forecasts(self, forecasts: Sequence[PublishedForecast]) -> int:
        """Insert or replace points."""
        with self._lock:
            for forecast in forecasts:
                seconds = forecast.timestamps.astype("datetime64[s]").astype(np.int64).tolist()
                for second, quantiles in zip(seconds, forecast.quantiles.tolist(), strict=True):
                    point = (forecast.meter, forecast.model_version, second)
                    self.points[point] = (forecast.origin, tuple(quantiles))
        return sum(map(len, forecasts))

    def close(self) -> None:
        """Do nothing."""
