"""A forecast: quantiles of a meter's consumption, hour by hour."""

from dataclasses import dataclass
from enum import StrEnum

from energy_forecasting.domain.monitoring import LiveRecord
from energy_forecasting.domain.readings import Timestamps, Values

#: The quantile levels that every model learns.
QUANTILE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class TemperatureSource(StrEnum):
    """Where the temperature of the hours ahead came from."""

    REQUEST = "request"  #: the client sent it
    UNUSED = "unused"  #: the forecast comes from the part of the model that needs none


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Forecast:
    """Quantiles for n hours; ordered within each hour, without NaN."""

    timestamps: Timestamps  #: [n] UTC, start of each hour
    levels: tuple[float, ...]  #: the q quantile levels, ascending
    quantiles: Values  #: [n, q] in the meter's unit
    median: Values  #: [n] the point forecast, whether or not 0.5 is among the levels
    temperature_source: TemperatureSource
    is_baseline: bool = False  #: the model's own forecast was absurd and the baseline answers
    live: LiveRecord | None = None  #: since the training; None as long as no reading has come
