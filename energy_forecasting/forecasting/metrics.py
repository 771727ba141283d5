"""How good a forecast was: pure functions of what happened and what was forecast.

MAPE is missing on purpose: it is undefined at zero, where gas meters spend the summer.
"""

from collections.abc import Sequence

import numpy as np

from energy_forecasting.domain.readings import Values


def mase(actual: Values, forecast: Values, scale: float) -> float:
    """Mean absolute scaled error (Hyndman and Koehler, 2006).

    Args:
        actual: [n] without NaN.
        forecast: [n].
        scale: mean absolute error of the seasonal naive on the history.

    >>> mase(np.array([1.0, 3.0]), np.array([2.0, 3.0]), scale=0.5)
    1.0
    """
    return float(np.mean(np.abs(actual - forecast)) / scale)


def wape(actual: Values, forecast: Values) -> float | None:
    """Sum of absolute errors over the sum of |actual|; None when nothing was used at all.

    >>> wape(np.array([1.0, 3.0]), np.array([2.0, 3.0]))
    0.25
    >>> wape(np.array([0.0]), np.array([2.0])) is None
    True
    """
    used = float(np.sum(np.abs(actual)))
    return float(np.sum(np.abs(actual - forecast)) / used) if used > 0 else None


def zero_mase(actual: Values, scale: float) -> float | None:
    """Mean absolute scaled error of forecasting 0; None unless most values are 0.

    >>> zero_mase(np.array([0.0, 0.0, 3.0]), scale=0.5)
    2.0
    >>> zero_mase(np.array([0.0, 1.0]), scale=0.5) is None
    True
    """
    rests = np.count_nonzero(actual == 0) > len(actual) / 2
    return mase(actual, np.zeros(len(actual)), scale) if rests else None


def crps(actual: Values, quantiles: Values, levels: Sequence[float]) -> float:
    """Mean pinball loss over the levels, doubled: approximates the CRPS, in the meter's unit.

    Args:
        actual: [n] without NaN.
        quantiles: [n, q].
        levels: the q levels.

    >>> crps(np.array([1.0]), np.array([[0.0]]), levels=[0.5])
    1.0
    """
    error = actual[:, None] - quantiles
    level = np.asarray(levels)
    return float(2.0 * np.mean(np.maximum(level * error, (level - 1.0) * error)))


def coverage(actual: Values, low: Values, high: Values) -> float:
    """Share of values inside the interval, borders included.

    >>> coverage(np.array([1.0, 5.0]), np.array([0.0, 0.0]), np.array([2.0, 2.0]))
    0.5
    """
    return float(np.mean((actual >= low) & (actual <= high)))
