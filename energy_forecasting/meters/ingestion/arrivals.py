"""Readings of one meter between their source and the store.

They wait as 24 bytes each until the source has ended well, so one that turns out to be damaged
writes nothing. A temperature without a consumption waits apart: only the meter's last reading,
here or in the store, tells whether it is a forecast.
"""

import math
from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.ingestion.reading_rules import Unusable
from energy_forecasting.meters.ingestion.report import Rejections


def _integers() -> "array[int]":
    return array("q")


def _floats() -> "array[float]":
    return array("d")


@dataclass(kw_only=True, slots=True)
class _Warm:
    """Temperatures without a consumption."""

    places: "array[int]" = field(default_factory=_integers)
    seconds: "array[int]" = field(default_factory=_integers)
    degrees: "array[float]" = field(default_factory=_floats)


@dataclass(kw_only=True, slots=True)
class Arrivals:
    """Readings of one meter, in any order and with duplicates."""

    _seconds: "array[int]" = field(default_factory=_integers)
    _consumption: "array[float]" = field(default_factory=_floats)
    _temperature: "array[float]" = field(default_factory=_floats)
    _warm: _Warm = field(default_factory=_Warm)

    def add(self, place: int, seconds: int, consumption: float | None, temperature: float) -> None:
        """Take a reading.

        Args:
            place: of its line or item, for a later rejection.
            seconds: since 1970 UTC.
            consumption: None where it is not given.
            temperature: NaN where it is not given.

        Raises:
            Unusable: neither consumption nor temperature is given.
        """
        if consumption is not None:
            self._seconds.append(seconds)
            self._consumption.append(consumption)
            self._temperature.append(temperature)
        elif math.isnan(temperature):
            raise Unusable("consumption is missing")
        else:
            self._warm.places.append(place)
            self._warm.seconds.append(seconds)
            self._warm.degrees.append(temperature)

    @property
    def readings(self) -> int:
        """How many have a consumption, duplicates included."""
        return len(self._seconds)

    @property
    def bare_temperatures(self) -> int:
        """How many have a temperature only, duplicates included."""
        return len(self._warm.seconds)

    @property
    def last_reading(self) -> int | None:
        """The last moment with a consumption, in seconds since 1970 UTC."""
        return max(self._seconds, default=None)

    def history(self) -> History:
        """Return the readings in order; of duplicates the last one given wins."""
        return History.from_readings(
            np.frombuffer(self._seconds, dtype=np.int64).astype("datetime64[s]"),
            np.frombuffer(self._consumption, dtype=np.float64),
            np.frombuffer(self._temperature, dtype=np.float64),
        )

    def forecast(self, last_reading: int | None, rejections: Rejections) -> TemperatureForecast:
        """Return the temperatures after the meter's last reading; reject the others.

        Args:
            last_reading: in seconds since 1970 UTC; None: there is none, so nothing follows it.
            rejections: takes what is no forecast.
        """
        seconds = np.frombuffer(self._warm.seconds, dtype=np.int64)
        degrees = np.frombuffer(self._warm.degrees, dtype=np.float64)
        if last_reading is None:
            is_ahead = np.zeros(len(seconds), dtype=np.bool_)
            because = "the meter has none"
        else:
            is_ahead = seconds > last_reading
            last = datetime.fromtimestamp(last_reading, tz=UTC)
            because = f"that is of {last.isoformat()}"
        for place in np.frombuffer(self._warm.places, dtype=np.int64)[~is_ahead].tolist():
            rejections.add(
                place,
                "consumption is missing; a temperature alone is a forecast only after the last "
                f"reading, and {because}",
            )
        return TemperatureForecast.from_values(
            seconds[is_ahead].astype("datetime64[s]"), degrees[is_ahead]
        )
