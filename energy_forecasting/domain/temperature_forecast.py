"""What somebody forecast of a meter's temperature, as a meter store holds it.

It is a forecast, never a measurement: a store keeps the two apart, so that a forecast asked for
a day in the past is not given the weather that came. Where a later forecast replaced an earlier
one only the later is known, so for days in the past it is better than what was known then.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from energy_forecasting.domain.readings import History, Timestamps, Values


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TemperatureForecast:
    """Temperatures at n moments, perhaps none, in steps of any length."""

    timestamps: Timestamps  #: [n] datetime64[s], UTC, strictly ascending
    degrees: Values  #: [n] degrees Celsius, without NaN

    @classmethod
    def from_values(cls, timestamps: Timestamps, degrees: Values) -> Self:
        """Build from values in any order; of duplicates the last one wins, NaN is left out."""
        known = np.isfinite(degrees)
        ordered = History.from_readings(timestamps[known], degrees[known], degrees[known])
        return cls(timestamps=ordered.timestamps, degrees=ordered.temperature)

    @classmethod
    def empty(cls) -> Self:
        """Nobody has forecast anything."""
        return cls(timestamps=np.empty(0, dtype="datetime64[s]"), degrees=np.empty(0))

    def __len__(self) -> int:
        return len(self.timestamps)
