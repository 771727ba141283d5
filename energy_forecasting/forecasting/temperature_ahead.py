"""The temperature of the hours ahead as the network needs it: one number per local hour.

A weather forecast may end before the horizon, come every few hours, or have holes. Short gaps
lie on a straight line between their neighbours. What lies in a long gap, or beyond the end, is
not guessed: those hours are for the members that need no temperature, and ``trust`` says how
far to blend from one ensemble to the other.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import Flags, Hours, LocalGrid, mean_by_hour
from energy_forecasting.forecasting.imputation import interpolate

#: Gaps up to so many hours are interpolated: weather services give values every 1, 3 or 6 hours.
SHORT_GAP_HOURS = 6

#: The last hours before temperature ends lead over to the members that need none.
BLEND_HOURS = 6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TemperatureAhead:
    """Temperature of the m local hours from an origin on, at least one of them known."""

    degrees: Values  #: [m] degrees Celsius, without NaN; where not covered only a filler
    covered: Flags  #: [m] whether the hour is known or lies in a short gap
    trust: Values  #: [m] weight of the members that see temperature, 0 to 1

    @classmethod
    def of(cls, given: Values, leads: Hours, grid: LocalGrid) -> Self | None:
        """Lay given temperatures onto the local hours; None when not one is known.

        Args:
            given: [n] degrees Celsius, NaN where unknown.
            leads: [n] the local hour of each, counted from the origin.
            grid: the history, which ends at the origin; its last temperature bridges a short
                gap after the origin.
        """
        # Per local hour: the autumn hour averaged, the spring hour a gap of one.
        by_lead = mean_by_hour(leads, given, int(leads.max()) + 1)
        if not np.isfinite(by_lead).any():
            return None
        joined = close_short_gaps(np.append(grid.temperature[-1:], by_lead))
        covered = np.isfinite(joined[1:])
        return cls(degrees=interpolate(joined)[1:], covered=covered, trust=_trust(covered))


def close_short_gaps(values: Values) -> Values:
    """Interpolate the gaps of at most SHORT_GAP_HOURS that have a value on both sides.

    >>> close_short_gaps(np.array([np.nan, 1.0, np.nan, 3.0, np.nan]))
    array([nan,  1.,  2.,  3., nan])
    """
    known = np.flatnonzero(np.isfinite(values))
    hours = np.arange(len(values))
    after = np.searchsorted(known, hours)  # the first known hour from here on
    inside = (after > 0) & (after < len(known))
    width = np.zeros(len(values), dtype=np.int64)
    width[inside] = known[after[inside]] - known[after[inside] - 1] - 1
    short = inside & (width <= SHORT_GAP_HOURS)
    return np.where(short, interpolate(values), values)


def _trust(covered: Flags) -> Values:
    """Rise from 0 where temperature is missing to 1 at more than BLEND_HOURS from there, [m].

    >>> _trust(np.array([True, True, False])).round(2).tolist()
    [0.29, 0.14, 0.0]
    """
    missing = np.flatnonzero(~covered)
    if not len(missing):
        return np.ones(len(covered))
    distance = np.abs(np.arange(len(covered))[:, None] - missing).min(axis=1)
    return np.asarray(np.minimum(distance / (BLEND_HOURS + 1), 1.0))
