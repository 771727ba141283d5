"""Whether one of two forecasts is worse by more than chance, from their losses on the same days.

Diebold and Mariano (1995) with the variance of Newey and West (1987), as losses of neighbouring
days resemble each other, and the correction for few days of Harvey, Leybourne and Newbold
(1997). Not exact on few days: simulated with equally good forecasts over 8 weeks it calls one
worse at the 5 % level in 6 % of the cases, in 7 % when half of a day's difference carries over
to the next, and in 3 to 6 % over 2 weeks.
"""

import math
from statistics import NormalDist

import numpy as np

from energy_forecasting.domain.readings import Values

#: A day's readings are among the inputs of the week that follows.
LAGS = 7


def p_value(differences: Values) -> float:
    """Return the chance of a mean at least so large if the true mean were not above 0.

    Args:
        differences: [n] daily losses of the one forecast minus those of the other, in order;
            n well above LAGS.

    >>> p_value(np.zeros(30))
    1.0
    >>> p_value(np.tile([1.0, 1.1], 30)) < 0.001
    True
    """
    n = len(differences)
    mean = float(np.mean(differences))
    departures = differences - mean
    variance = float(departures @ departures) / n
    for lag in range(1, LAGS + 1):
        weight = 1.0 - lag / (LAGS + 1)
        variance += 2.0 * weight * float(departures[lag:] @ departures[:-lag]) / n
    if variance <= 0.0:
        return 0.0 if mean > 0 else 1.0
    horizon = LAGS + 1
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    statistic = mean / math.sqrt(variance / n) * math.sqrt(correction)
    return 1.0 - NormalDist().cdf(statistic)
