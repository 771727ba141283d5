"""A forecast as it leaves the system for a database, beside the readings that it foretells."""

from dataclasses import dataclass
from datetime import datetime

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import Timestamps, Values


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PublishedForecast:
    """Quantiles for n steps, as one version of a meter's model knew them at one moment."""

    meter: Meter
    model_version: str
    origin: datetime  #: aware, UTC; the model knew the readings before this moment, no later one
    timestamps: Timestamps  #: [n] UTC, start of each step
    levels: tuple[float, ...]  #: the q quantile levels, ascending
    quantiles: Values  #: [n, q] in the meter's unit, without NaN

    def __len__(self) -> int:
        return len(self.timestamps)
