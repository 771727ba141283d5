"""What somebody wants to see forecast of a meter."""

from dataclasses import dataclass
from datetime import date, datetime

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS


@dataclass(frozen=True, kw_only=True, slots=True)
class ForecastQuery:
    """A number of hours from the last reading on, or a span of dates.

    Whether they can be served is decided by the service, which names the field to change.
    """

    horizon_hours: int | None = None  #: None without dates: as many as a model reaches
    start_date: datetime | date | None = None  #: a day in the meter's time zone, or aware
    end_date: datetime | date | None = None  #: the last day, or the moment at which it ends
    quantiles: tuple[float, ...] = QUANTILE_LEVELS  #: levels from 0.01 to 0.99, in any order
    #: Degrees Celsius hour by hour from the first one asked for; None: what the store forecasts.
    temperature: tuple[float | None, ...] | None = None
    resolution_minutes: int | None = None  #: step of the answer; None: an hour, or what is longer
    explain: bool = False  #: whether to tell what drives it
