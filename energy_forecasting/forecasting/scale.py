"""The unit in which a meter's errors are measured: how wrong last week's value usually is."""

import numpy as np

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.imputation import HOURS_PER_WEEK

#: Differences beyond so many times the mean of those that are not zero are spikes: cut before the
#: mean counts. A meter that mostly rests differs from its last week seldom, but then by all it
#: uses; against the mean of all differences each of its uses would be a spike.
_SPIKE_FACTOR = 20.0
_ROUNDS = 2


def seasonal_scale(consumption: Values) -> float:
    """Return mean |y(t) - y(t - 168 h)| without the weight of spikes; always above 0.

    A meter that repeats its week to the digit gets its mean deviation instead, and a constant
    one, of which that is 0 too, gets 1.

    Args:
        consumption: [n] hourly, NaN where missing.

    >>> seasonal_scale(np.concatenate([np.zeros(168), np.full(168, 2.0)]))
    2.0
    >>> rests = np.zeros(1680)
    >>> rests[1000] = 84.0  # differs from the week before, and so does the week after from it
    >>> round(seasonal_scale(rests) * (1680 - 168), 6)
    168.0
    """
    differences = np.abs(consumption[HOURS_PER_WEEK:] - consumption[:-HOURS_PER_WEEK])
    differences = differences[np.isfinite(differences)]
    changes = differences[differences > 0]
    for _ in range(_ROUNDS if len(changes) else 0):
        changes = np.minimum(changes, _SPIKE_FACTOR * changes.mean())
    if len(changes):
        return float(changes.sum() / len(differences))
    known = consumption[np.isfinite(consumption)]
    deviation = float(np.mean(np.abs(known - known.mean()))) if len(known) else 0.0
    return deviation if deviation > 0 else 1.0
