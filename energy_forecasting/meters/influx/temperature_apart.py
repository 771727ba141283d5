"""Temperatures that were not measured with the readings, brought to them.

A weather station or a sensor of the house has timestamps of its own, and one that only reports
changes is silent while nothing changes. So what is known of an hour holds for some hours more, and
a reading gets the mean of the hours that it stands for.
"""

import numpy as np

from energy_forecasting.domain.readings import Timestamps, Values
from energy_forecasting.domain.resolutions import DAY_S, HOUR_S
from energy_forecasting.meters.influx.source import Series

#: So long a temperature that nobody reported anew is taken to hold.
HELD_HOURS = 6


def at_readings(timestamps: Timestamps, hourly: Series) -> Values:
    """Return the temperature of each reading, [n]; NaN where none is known.

    Args:
        timestamps: [n] ascending, at least one; each reading lasts until the next, or an hour.
        hourly: means of whole hours, in any order.
    """
    start = timestamps.astype("datetime64[s]").astype(np.int64)
    end = np.append(start[1:], start[-1] + HOUR_S)
    end = np.where(end - start > DAY_S + HOUR_S, start + HOUR_S, end)  # a gap, not a long reading
    origin = int(start[0]) // HOUR_S - HELD_HOURS
    first = start // HOUR_S - origin
    beyond = np.maximum(-(-end // HOUR_S) - origin, first + 1)
    degrees = _held(hourly, origin, int(beyond.max()))
    known = np.isfinite(degrees)
    sums = np.append(0.0, np.cumsum(np.where(known, degrees, 0.0)))
    counts = np.append(0, np.cumsum(known))
    total, many = sums[beyond] - sums[first], counts[beyond] - counts[first]
    mean: Values = np.divide(total, many, out=np.full(len(start), np.nan), where=many > 0)
    return mean


def _held(hourly: Series, origin: int, hours: int) -> Values:
    """Lay means on hours counted from an origin and hold each for a while."""
    degrees = np.full(hours, np.nan)
    at = hourly.times.astype("datetime64[s]").astype(np.int64) // HOUR_S - origin
    inside = (at >= 0) & (at < hours)
    degrees[at[inside]] = hourly.values[inside]
    hour = np.arange(hours)
    last = np.maximum.accumulate(np.where(np.isfinite(degrees), hour, -HELD_HOURS - 1))
    return np.where(hour - last <= HELD_HOURS, degrees[np.maximum(last, 0)], np.nan)
