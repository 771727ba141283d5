"""A lasting step in a meter's daily level, as from a new machine or a replaced meter.

Seasons move the level too, but slowly: a step must show within a week. A step in the first or
last four weeks cannot be seen, and neither can the second largest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from energy_forecasting.domain.readings import Values

#: Whole weeks, so that both windows hold the same weekdays; the forecasts' base spans as many.
WINDOW_DAYS = 28
_WEEK_DAYS = 7

#: In units of the weekly error. Seasons and terms stay below it: it is exceeded by 1 of 24
#: benchmark meters and 19 of 163 university ones, mostly heating switched on or off.
LEAST_SIZE = 4.0

#: Share of the change that the neighbouring weeks must show; a steady slope shows a quarter.
_ABRUPT_SHARE = 0.7
_PLATEAU_SHARE = 0.9

_NEEDED_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A step of the daily level."""

    day: int  #: index of the first day on the new level
    before: float  #: median of the four weeks before
    after: float  #: median of the four weeks from ``day`` on


def largest_step(daily: Values, scale: float) -> Step | None:
    """Return the largest abrupt change between neighbouring four-week medians, if it is large.

    Args:
        daily: [d] mean of each local day, NaN where too little of it is known.
        scale: the meter's weekly error (``seasonal_scale``), above 0.

    >>> largest_step(np.repeat([10.0, 20.0], 60), scale=1.0)
    Step(day=60, before=10.0, after=20.0)
    """
    if len(daily) < 2 * WINDOW_DAYS:
        return None
    days = np.arange(WINDOW_DAYS, len(daily) - WINDOW_DAYS + 1)
    months = _window_medians(daily, WINDOW_DAYS)
    weeks = _window_medians(daily, _WEEK_DAYS)
    lasting = months[days] - months[days - WINDOW_DAYS]
    sudden = weeks[days] - weeks[days - _WEEK_DAYS]
    size = np.where(sudden * np.sign(lasting) >= _ABRUPT_SHARE * np.abs(lasting), lasting, np.nan)
    size = np.abs(size)
    if not np.isfinite(size).any() or np.nanmax(size) < LEAST_SIZE * scale:
        return None
    # Medians do not change for days around the step; the means of a week peak on it.
    means = _window_means(daily, _WEEK_DAYS)
    peak = np.abs(means[days] - means[days - _WEEK_DAYS])
    near = (size >= _PLATEAU_SHARE * np.nanmax(size)) & np.isfinite(peak)
    day = int(days[np.argmax(np.where(near, peak, -1.0))])
    return Step(day=day, before=float(months[day - WINDOW_DAYS]), after=float(months[day]))


def _window_medians(daily: Values, length: int) -> Values:
    """Return the median of each window of known days, [d - length + 1]; NaN with half unknown."""
    windows = np.sort(sliding_window_view(daily, length), axis=1)  # NaN sorts last
    known = np.isfinite(windows).sum(axis=1)
    rows = np.arange(len(windows))
    low, high = windows[rows, np.maximum(known - 1, 0) // 2], windows[rows, known // 2]
    return np.where(known > _NEEDED_SHARE * length, (low + high) / 2, np.nan)


def _window_means(daily: Values, length: int) -> Values:
    windows = sliding_window_view(daily, length)
    known: npt.NDArray[np.int64] = np.isfinite(windows).sum(axis=1)
    totals = np.nansum(windows, axis=1)
    return np.where(known > 0, totals / np.maximum(known, 1), np.nan)
