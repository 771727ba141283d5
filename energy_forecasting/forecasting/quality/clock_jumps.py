"""Days from which on the working days' profile runs whole hours earlier or later.

The sign of a wrong time zone, a clock set by hand, or a timer that ignores summer time. It
cannot tell these from people who start earlier, and it stays silent where days differ so much
that their profile has no place in time: of jumps put into 191 real histories it finds about one
in three. Of the 47 that it finds without one, 42 lie on the days when summer time begins or ends.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import Flags
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY

#: Two weeks on either side: enough working days for a vote, too few for a season.
WINDOW_DAYS = 14
_NEEDED_DAYS = 7

#: A wrong zone or a forgotten summer time moves by one hour, seldom by more.
_FARTHEST_HOURS = 3
_SHIFTS = np.arange(-_FARTHEST_HOURS, _FARTHEST_HOURS + 1)
_UNMOVED = _FARTHEST_HOURS

#: The moved profile must fit about perfectly and explain most of what the unmoved one does not.
_LEAST_CORRELATION = 0.95
_LEAST_EXPLAINED = 0.75

#: Share of single days on either side that must say the same.
_LEAST_VOTE = 0.7

#: A profile must swing by so many weekly errors, else its place in time is chance.
_LEAST_SWING = 0.5

#: A true jump shows from several neighbouring days, chance from one or two.
_LEAST_DAYS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Jump:
    """A move of the daily profile."""

    day: int  #: index of the day from which on it holds, to within a few days
    shift_hours: int  #: positive means later
    explained: float  #: share of the profiles' difference that the shift explains, up to 1


def clock_jumps(profiles: Values, is_working_day: Flags, scale: float) -> list[Jump]:
    """Return the jumps in time order.

    Args:
        profiles: [d, 24] consumption by local day and hour, NaN where missing.
        is_working_day: [d] days to look at; weekends have another profile.
        scale: the meter's weekly error (``seasonal_scale``), above 0.
    """
    looked_at = np.isfinite(profiles).all(axis=1) & is_working_day
    seen: list[Jump] = []
    for day in range(WINDOW_DAYS, len(profiles) - WINDOW_DAYS + 1):
        past, future = slice(day - WINDOW_DAYS, day), slice(day, day + WINDOW_DAYS)
        jump = _jump(
            profiles[past][looked_at[past]], profiles[future][looked_at[future]], day, scale
        )
        if jump is not None:
            seen.append(jump)
    return [
        max(group, key=lambda jump: jump.explained)
        for group in _neighbours(seen)
        if len(group) >= _LEAST_DAYS
    ]


def _jump(before: Values, after: Values, day: int, scale: float) -> Jump | None:
    """Compare the days [p, 24] before with those [f, 24] after."""
    if min(len(before), len(after)) < _NEEDED_DAYS:
        return None
    usual_before, usual_after = np.median(before, axis=0), np.median(after, axis=0)
    if min(usual_before.std(), usual_after.std()) < _LEAST_SWING * scale:
        return None
    moved = np.stack([np.roll(_standardised(usual_before), shift) for shift in _SHIFTS])
    correlation = moved @ _standardised(usual_after)
    best = int(np.argmax(correlation))
    if best == _UNMOVED or correlation[best] < _LEAST_CORRELATION:
        return None
    explained = 1.0 - (1.0 - correlation[best]) / (1.0 - correlation[_UNMOVED])
    if explained < _LEAST_EXPLAINED:
        return None
    if min(_vote(before, moved, _UNMOVED), _vote(after, moved, best)) < _LEAST_VOTE:
        return None
    return Jump(day=day, shift_hours=int(_SHIFTS[best]), explained=float(explained))


def _vote(days: Values, moved: Values, position: int) -> float:
    """Return the share of the days that one of the moved profiles fits best."""
    return float(np.mean(np.argmax(_standardised(days) @ moved.T, axis=1) == position))


def _standardised(profile: npt.NDArray[np.float64]) -> Values:
    """Centre along the hours and divide by the length, so that products are correlations."""
    centred = profile - profile.mean(axis=-1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=-1, keepdims=True))
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))


def _neighbours(jumps: list[Jump]) -> list[list[Jump]]:
    """Group jumps of one shift whose windows overlap: they are one."""
    groups: list[list[Jump]] = []
    for jump in jumps:
        last = groups[-1][-1] if groups else None
        if last and last.shift_hours == jump.shift_hours and jump.day - last.day <= WINDOW_DAYS:
            groups[-1].append(jump)
        else:
            groups.append([jump])
    return groups


def by_day(consumption: Values) -> Values:
    """Cut a series that starts at a local midnight into days, [d, 24]; the last is filled up.

    >>> by_day(np.ones(30)).shape
    (2, 24)
    """
    days = -(-len(consumption) // HOURS_PER_DAY)
    padded = np.full(days * HOURS_PER_DAY, np.nan)
    padded[: len(consumption)] = consumption
    return padded.reshape(days, HOURS_PER_DAY)
