"""What one meter gets from a file or a request, ready to be written.

A delivery may be written again and again: readings and forecasts of the same meter and moment
replace each other. Readings go before the forecast, as a forecast needs readings to follow; a
failure between the two leaves the readings written.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from energy_forecasting.domain.errors import EnergyForecastingError, NoDataFound
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.ingestion.arrivals import Arrivals
from energy_forecasting.meters.ingestion.report import Rejections, Written
from energy_forecasting.meters.store import MeterStore

#: Readings handed to the store at once; a progress bar moves as often.
BATCH_READINGS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """Readings of one meter and what is forecast of its temperature."""

    meter: Meter
    arrivals: Arrivals  #: put in order only when they are written, as that doubles their memory
    forecast: TemperatureForecast
    usable: int  #: lines or items among readings and forecast, duplicates included

    @classmethod
    def of(
        cls, meter: Meter, arrivals: Arrivals, store: MeterStore, rejections: Rejections
    ) -> Self:
        """Tell the forecast from what is no forecast; the store is asked only if need be."""
        if not arrivals.bare_temperatures:
            forecast = TemperatureForecast.empty()
            return cls(meter=meter, arrivals=arrivals, forecast=forecast, usable=arrivals.readings)
        rejected_before = len(rejections)
        forecast = arrivals.forecast(_last_reading(meter, arrivals, store), rejections)
        rejected = len(rejections) - rejected_before
        usable = arrivals.readings + arrivals.bare_temperatures - rejected
        return cls(meter=meter, arrivals=arrivals, forecast=forecast, usable=usable)

    def write(self, store: MeterStore, on_progress: Callable[[int], None] | None = None) -> Written:
        """Write readings, then forecast; ``on_progress`` is told the readings handed over so far.

        Raises:
            EnergyForecastingError: the store could not take them.
        """
        readings = 0
        if self.arrivals.readings:
            batches = _batches(self.arrivals.history(), on_progress or _ignore)
            readings = store.write_readings(self.meter, batches)
        if len(self.forecast):
            try:
                store.write_temperature_forecast(self.meter, self.forecast)
            except EnergyForecastingError as error:
                raise _readings_are_in(error, self.meter, readings) from error
        return Written(
            readings=readings,
            duplicates=self.usable - readings - len(self.forecast),
            forecast_temperatures=len(self.forecast),
        )


def _readings_are_in(
    error: EnergyForecastingError, meter: Meter, readings: int
) -> EnergyForecastingError:
    """Return the store's error, with what it had taken before."""
    if not readings:
        return error
    return type(error)(
        f"{error.message} The {readings:,} readings of {meter} are written, its forecast of "
        "temperature is not.",
        **error.details,
    )


def _last_reading(meter: Meter, arrivals: Arrivals, store: MeterStore) -> int | None:
    """Return the moment of a meter's last reading, arriving or held, in seconds since 1970."""
    try:
        held = store.describe(meter, counted=False).last_reading
    except NoDataFound:
        held = None
    moments = [arrivals.last_reading, None if held is None else int(held.timestamp())]
    return max((moment for moment in moments if moment is not None), default=None)


def _batches(history: History, on_progress: Callable[[int], None]) -> Iterator[History]:
    for start in range(0, len(history), BATCH_READINGS):
        part = slice(start, start + BATCH_READINGS)
        yield History(
            timestamps=history.timestamps[part],
            consumption=history.consumption[part],
            temperature=history.temperature[part],
        )
        on_progress(min(start + BATCH_READINGS, len(history)))  # the store wants more: it is in


def _ignore(_readings: int) -> None:
    """Take progress and do nothing."""
