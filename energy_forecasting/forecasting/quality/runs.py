"""Hours in a row that have something in common: missing, or one unchanged value.

A flat run is a hint only: a constant machine and a stuck meter look the same.
"""

import numpy as np

from energy_forecasting.domain.quality import FlatRuns, Gap
from energy_forecasting.domain.readings import Timestamps, Values, to_datetime
from energy_forecasting.forecasting.grid import Flags, Hours
from energy_forecasting.forecasting.quality.wording import share

#: A night or a machine's shift may be flat; a whole day has a morning and an evening.
FLAT_RUN_HOURS = 24

#: Values that differ by a smaller part are the same: differences of a register carry rounding.
_SAME_VALUE = 1e-6


def find_runs(flags: Flags) -> tuple[Hours, Hours]:
    """Return first position and length of each run of true flags.

    >>> [each.tolist() for each in find_runs(np.array([True, True, False, True]))]
    [[0, 3], [2, 1]]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return edges[::2], edges[1::2] - edges[::2]


def longest_gap(stamps: Timestamps, starts: Hours, hours: Hours) -> Gap | None:
    """Return the longest of the gaps, the first of equals; None when there is none."""
    if not len(starts):
        return None
    longest = int(np.argmax(hours))
    return Gap(start=to_datetime(stamps[starts[longest]]), hours=int(hours[longest]))


def flat_runs(
    stamps: Timestamps, consumption: Values, *, shortest_hours: int = FLAT_RUN_HOURS
) -> FlatRuns:
    """Measure the runs of one unchanged value other than zero.

    Args:
        stamps: [n] every hour, UTC.
        consumption: [n] NaN where missing; a gap ends a run.
        shortest_hours: shorter runs are not counted.
    """
    now, following = consumption[:-1], consumption[1:]
    unchanged = (np.abs(following - now) <= _SAME_VALUE * np.abs(now)) & (now != 0)
    starts, repeats = find_runs(unchanged)
    usable = np.flatnonzero(np.isfinite(consumption))
    if not len(starts):
        first = to_datetime(stamps[usable[0]]) if len(usable) else None
        return FlatRuns(longest_hours=min(len(usable), 1), longest_start=first, runs=0, share=0.0)
    hours = repeats + 1
    longest = int(np.argmax(hours))
    long = hours[hours >= shortest_hours]
    return FlatRuns(
        longest_hours=int(hours[longest]),
        longest_start=to_datetime(stamps[starts[longest]]),
        runs=len(long),
        share=share(int(long.sum()), len(usable)),
    )
