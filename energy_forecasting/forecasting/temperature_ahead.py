"""The temperature of the hours ahead as the network needs it: one number per local hour.

A weather forecast may end before the horizon, come every few hours, or have holes. Short gaps
lie on a straight line between their neighbours. What lies in a long gap, or beyond the end, is
estimated from the meter's own readings: the mean of the last weeks by hour of day, to which the
last known day's departure from it fades. It knows no season: a fortnight cannot tell.

Every hour is answered by all members. Those that see temperature weigh what was best for the
meter out of fold where it is known (three quarters on most), and two thirds of that where it is
estimated; that was better than any of them alone.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from energy_forecasting.domain.readings import MINIMUM_TEMPERATURE_SHARE, Values
from energy_forecasting.forecasting.features import trailing_mean
from energy_forecasting.forecasting.grid import Flags, Hours, LocalGrid, mean_by_hour
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, interpolate

#: Gaps up to so many hours are interpolated: weather services give values every 1, 3 or 6 hours.
SHORT_GAP_HOURS = 6

#: The last hours before temperature ends lead over to the hours where it is estimated.
BLEND_HOURS = 6

#: Share that is left of their weight where temperature is estimated.
ESTIMATE_SHARE = 2.0 / 3.0

#: The estimate rests on so many days, of which half must have been measured.
ESTIMATE_DAYS = 14

#: The departure of the last known day fades by 1/e over so many hours.
FADING_HOURS = 48.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TemperatureAhead:
    """Temperature of the m local hours from an origin on, known or estimated."""

    degrees: Values  #: [m] degrees Celsius, without NaN; where not covered an estimate
    covered: Flags  #: [m] whether the hour is known or lies in a short gap
    trust: Values  #: [m] weight of the members that see temperature, 0 to 1

    @classmethod
    def of(cls, given: Values, leads: Hours, grid: LocalGrid, *, trust: float) -> Self | None:
        """Lay given temperatures onto the local hours; None when all that is known is too old.

        Args:
            given: [n] degrees Celsius, NaN where unknown.
            leads: [n] the local hour of each, counted from the origin.
            grid: the history, which ends at the origin; its last temperature bridges a short
                gap after the origin.
            trust: weight of the members that see temperature where it is known, 0 to 1.
        """
        # Per local hour: the autumn hour averaged, the spring hour a gap of one.
        by_lead = mean_by_hour(leads, given, int(leads.max()) + 1)
        joined = close_short_gaps(np.append(grid.temperature[-1:], by_lead))
        covered = np.isfinite(joined[1:])
        recent = grid.temperature[-ESTIMATE_DAYS * HOURS_PER_DAY :]
        if np.isfinite(recent).mean() < MINIMUM_TEMPERATURE_SHARE:
            if not covered.any():
                return None
            return cls(
                degrees=interpolate(joined)[1:],
                covered=covered,
                trust=_trust(covered, known=trust, missing=0.0),
            )
        return cls(
            degrees=_estimated(interpolate(recent), joined[1:]),
            covered=covered,
            trust=_trust(covered, known=trust, missing=trust * ESTIMATE_SHARE),
        )


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


def _estimated(recent: Values, ahead: Values) -> Values:
    """Fill the hours ahead that are NaN, [m], from whole days before the origin, [days * 24]."""
    climate = np.resize(recent.reshape(-1, HOURS_PER_DAY).mean(axis=0), len(recent) + len(ahead))
    departure = np.append(recent, ahead) - climate
    hours = np.arange(len(departure))
    latest = np.maximum.accumulate(np.where(np.isfinite(departure), hours, 0))
    last_day = trailing_mean(interpolate(departure), HOURS_PER_DAY)[latest + 1]
    estimate = climate + last_day * np.exp((latest - hours) / FADING_HOURS)
    return np.where(np.isfinite(ahead), ahead, estimate[len(recent) :])


def _trust(covered: Flags, *, known: float, missing: float) -> Values:
    """Rise from ``missing`` where temperature is to ``known`` beyond BLEND_HOURS, [m].

    >>> _trust(np.array([True, True, False]), known=0.75, missing=0.0).round(2).tolist()
    [0.21, 0.11, 0.0]
    """
    unknown = np.flatnonzero(~covered)
    if not len(unknown):
        return np.full(len(covered), known)
    distance = np.abs(np.arange(len(covered))[:, None] - unknown).min(axis=1)
    rise = np.minimum(distance / (BLEND_HOURS + 1), 1.0)
    return np.asarray(missing + (known - missing) * rise)
