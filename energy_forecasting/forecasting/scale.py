"""The unit in which a meter's errors are measured: how wrong last week's value usually is."""

import numpy as np

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.imputation import HOURS_PER_WEEK

#: Differences beyond so many times their mean are spikes: cut before the mean counts.
_SPIKE_FACTOR = 20.0
_ROUNDS = 2


def seasonal_scale(consumption: Values) -> float:
    """Return mean |y(t) - y(t - 168 h)| without the weight of spikes; always above 0.

    A meter that repeats its week to the digit gets its mean deviation instead.

    Args:
        consumption: [n] hourly, NaN where missing.

    >>> seasonal_scale(np.concatenate([np.zeros(168), np.full(168, 2.0)]))
    2.0
    """
    differences = np.abs(consumption[HOURS_PER_WEEK:] - consumption[:-HOURS_PER_WEEK])
    differences = differences[np.isfinite(differences)]
    for _ in range(_ROUNDS if len(differences) else 0):
        differences = np.minimum(differences, _SPIKE_FACTOR * differences.mean())
    if len(differences) and differences.mean() > 0:
        return float(differences.mean())
    known = consumption[np.isfinite(consumption)]
    deviation = float(np.mean(np.abs(known - known.mean()))) if len(known) else 0.0
    return deviation if deviation > 0 else 1.0
