"""Filling the gaps of a series, so that every model input is a number.

A filled value is good enough as an input; it is never used as a target, because a model that
learns from its own guesses learns nothing.
"""

import numpy as np

from energy_forecasting.domain.readings import Values

HOURS_PER_DAY = 24
HOURS_PER_WEEK = 168


def impute(values: Values) -> Values:
    """Fill gaps from a week before, else a day before, else the first later week or day.

    Args:
        values: [n] hourly, NaN where missing.

    Returns:
        [n] without NaN, unless no value is known at all.

    >>> week = np.tile(np.arange(24.0), 7)
    >>> gap = np.concatenate([week, np.full(3, np.nan)])
    >>> impute(gap)[-3:]
    array([0., 1., 2.])
    """
    filled = impute_from_past(values)
    for period in (HOURS_PER_WEEK, HOURS_PER_DAY):
        filled = _carry_forward(filled[::-1], period)[::-1]
    return interpolate(filled)


def impute_from_past(values: Values) -> Values:
    """Fill gaps from weeks before, else from days before; NaN stays where nothing is earlier.

    >>> impute_from_past(np.concatenate([[np.nan], np.arange(24.0), [np.nan]]))[[0, -1]]
    array([nan,  0.])
    """
    return _carry_forward(_carry_forward(values, HOURS_PER_WEEK), HOURS_PER_DAY)


def interpolate(values: Values) -> Values:
    """Fill gaps on a straight line between their neighbours; ends repeat the nearest value.

    >>> interpolate(np.array([np.nan, 1.0, np.nan, 3.0]))
    array([1., 1., 2., 3.])
    """
    known = np.isfinite(values)
    if known.all() or not known.any():
        return values
    hours = np.arange(len(values))
    return np.interp(hours, hours[known], values[known])


def _carry_forward(values: Values, period: int) -> Values:
    """Replace each NaN by the latest known value a whole number of periods earlier."""
    if np.isfinite(values).all():
        return values
    periods = -(-len(values) // period)
    padded = np.full(periods * period, np.nan)
    padded[: len(values)] = values
    table = padded.reshape(periods, period)
    row = np.where(np.isfinite(table), np.arange(periods)[:, None], 0)
    latest = np.maximum.accumulate(row, axis=0)
    return np.take_along_axis(table, latest, axis=0).reshape(-1)[: len(values)]
