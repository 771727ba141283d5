"""The unit in which a meter's errors are measured: how wrong last week's value usually is."""

import numpy as np

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK

#: Differences beyond so many times the mean of those that are not zero are spikes: cut before the
#: mean counts. A meter that mostly rests differs from its last week seldom, but then by all it
#: uses; against the mean of all differences each of its uses would be a spike.
_SPIKE_FACTOR = 20.0
_ROUNDS = 2

#: Fewer differences between weeks than in three days say nothing about the week.
_FEWEST_DIFFERENCES = 72

#: Of the mean deviation from the mean: the least scale of a history without such differences.
#: With it the 80 % intervals of two to nine days of history cover 74 to 83 %, without 66 %.
_SHARE_OF_DEVIATION = 0.45


def seasonal_scale(consumption: Values) -> float:
    """Return mean |y(t) - y(t - 168 h)| without the weight of spikes; always above 0.

    Without three days of such differences those from day to day stand in for them. A meter that
    repeats its week to the digit gets its mean deviation instead, and a constant one, of which
    that is 0 too, gets 1.

    Args:
        consumption: [n] hourly, NaN where missing.

    >>> seasonal_scale(np.concatenate([np.zeros(168), np.full(168, 2.0)]))
    2.0
    >>> rests = np.zeros(1680)
    >>> rests[1000] = 84.0  # differs from the week before, and so does the week after from it
    >>> round(seasonal_scale(rests) * (1680 - 168), 6)
    168.0
    """
    differences = _differences(consumption, HOURS_PER_WEEK)
    if len(differences) >= _FEWEST_DIFFERENCES:
        scale = _typical(differences)
    else:
        # A weekend says nothing of the working day, so the range of all values counts, too.
        day_to_day = _typical(_differences(consumption, HOURS_PER_DAY))
        scale = max(day_to_day, _SHARE_OF_DEVIATION * _deviation(consumption))
    return scale or _deviation(consumption) or 1.0


def _typical(differences: Values) -> float:
    """Return the mean without the weight of spikes; 0 of none."""
    changes = differences[differences > 0]
    for _ in range(_ROUNDS if len(changes) else 0):
        changes = np.minimum(changes, _SPIKE_FACTOR * changes.mean())
    return float(changes.sum() / len(differences)) if len(changes) else 0.0


def _differences(consumption: Values, hours: int) -> Values:
    differences = np.abs(consumption[hours:] - consumption[:-hours])
    return np.asarray(differences[np.isfinite(differences)])


def _deviation(consumption: Values) -> float:
    known = consumption[np.isfinite(consumption)]
    return float(np.mean(np.abs(known - known.mean()))) if len(known) else 0.0
