"""How wrong a weather forecast is about temperature, as training and the benchmark draw it.

The error of one forecast is Gaussian. Its deviation grows with the lead on a straight line from
FIRST_K to WEEK_K, about what weather services report for 2 m temperature over land. A part of
its variance, BIAS_SHARE, is the same for the whole forecast; the rest drifts as a first-order
autoregression that forgets within a day (FORGETS_HOURS). It cannot imitate one weather service
at one place, nor errors that depend on the hour of day.
"""

import numpy as np

from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values

#: Standard deviation in the first hour and after a week, kelvin.
FIRST_K, WEEK_K = 1.0, 2.5

#: Share of the variance that lasts for the whole forecast.
BIAS_SHARE = 0.25

#: The drifting part is correlated by 1/e over so many hours.
FORGETS_HOURS = 24.0


def draw_errors(generator: np.random.Generator, forecasts: int, leads: int) -> Values:
    """Draw the errors of independent forecasts, [forecasts, leads], in kelvin.

    >>> draw_errors(np.random.default_rng(0), 2000, 168).std(axis=0)[[0, -1]].round(1).tolist()
    [1.0, 2.5]
    """
    bias = generator.normal(size=(forecasts, 1))
    keeps = np.exp(-1.0 / FORGETS_HOURS)
    drift = generator.normal(size=(forecasts, leads))
    drift[:, 1:] *= np.sqrt(1.0 - keeps**2)
    for lead in range(1, leads):
        drift[:, lead] += keeps * drift[:, lead - 1]
    deviation = FIRST_K + (WEEK_K - FIRST_K) * np.arange(leads) / MAX_HORIZON_HOURS
    return np.asarray(deviation * (np.sqrt(BIAS_SHARE) * bias + np.sqrt(1.0 - BIAS_SHARE) * drift))
