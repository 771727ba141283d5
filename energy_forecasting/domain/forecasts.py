"""A forecast: quantiles of a meter's consumption, hour by hour."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.monitoring import LiveRecord
from energy_forecasting.domain.readings import Timestamps, Values

#: The quantile levels that every model learns.
QUANTILE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class TemperatureSource(StrEnum):
    """Where the temperature of the hours ahead came from."""

    REQUEST = "request"  #: the client sent it, for every hour
    STORE = "store"  #: the meter store held a forecast of it, for every hour
    PARTIAL = "partial"  #: either knew some of the hours
    UNUSED = "unused"  #: nobody knew it, or the model does without


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Forecast:
    """Quantiles for n hours; ordered within each hour, without NaN."""

    timestamps: Timestamps  #: [n] UTC, start of each hour
    levels: tuple[float, ...]  #: the q quantile levels, ascending
    quantiles: Values  #: [n, q] in the meter's unit
    median: Values  #: [n] the point forecast, whether or not 0.5 is among the levels
    sighted: npt.NDArray[np.bool_]  #: [n] whether temperature was used for the hour
    is_baseline: bool = False  #: the model's own forecast was absurd and the baseline answers
    live: LiveRecord | None = None  #: since the training; None as long as no reading has come
    temperature_from: TemperatureSource = TemperatureSource.REQUEST  #: if any was used

    @property
    def temperature_hours(self) -> int:
        """For how many hours temperature was used."""
        return int(self.sighted.sum())

    @property
    def temperature_source(self) -> TemperatureSource:
        """Where the temperature came from, if it was used for every hour."""
        if self.sighted.all():
            return self.temperature_from
        return TemperatureSource.PARTIAL if self.sighted.any() else TemperatureSource.UNUSED
