"""A linear model of the departure from habit, for meters too young for the network.

One regression and one spread for each day ahead, on the network's own features without
temperature and without the level (``base``), which a short history cannot judge. Coefficients
come from many meters and are only adjusted by the meter's own readings (``pooled_training.py``).
This module is the prediction: NumPy alone. ``pooled_network.py`` is its Keras twin.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.features import FeatureRows, Rows
from energy_forecasting.forecasting.grid import Hours
from energy_forecasting.forecasting.recipe import FEATURE_CLIP

Weights = Mapping[str, npt.NDArray[np.floating]]

#: Names of the tables among an artifact's weights.
COEFFICIENTS = "pooled/coefficients"  # [LEAD_DAYS, f]
SPREAD = "pooled/spread"  # [LEAD_DAYS, 3] of 1, the days' dispersion and the weeks'
QUANTILES = "pooled/quantiles"  # [LEAD_DAYS, 9] of residual / spread
SELECTION = "pooled/selection"  # [12, f] what lead day and dispersions are read from

#: Leads of one day share their coefficients.
LEAD_DAYS = 7

#: A spread below it, in units of scale, would make an interval without width.
SMALLEST_SPREAD = 0.02

#: Added before the lead day is cut off to a whole number, against rounding.
LEAD_MARGIN = 1e-3

#: The level of a short history says little and does harm.
_LEFT_OUT = "base"
_DAYS = tuple(f"day_{ago}" for ago in range(1, LEAD_DAYS + 1))
_WEEKS = ("week_1", "week_2", "week_3")


def pooled_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return which of the features without temperature the regression uses."""
    return tuple(name for name in names if name != _LEFT_OUT)


def select_features(built: FeatureRows, names: Sequence[str]) -> FeatureRows:
    """Return the named features alone, clipped so that a spike cannot dominate."""
    positions = [built.names.index(name) for name in names]
    chosen = np.clip(built.values[..., positions], -FEATURE_CLIP, FEATURE_CLIP)
    return FeatureRows(names=tuple(names), values=chosen, base=built.base)


def selection_of(names: Sequence[str]) -> Values:
    """Return the matrix from features to lead and departures of days and weeks, [12, f].

    Row 0 is the lead in days; rows 1 to 7 are the last days' departures from their mean; rows 8
    to 11 those of the last four weeks, the fourth from the other three, as they add up to 0.
    """
    position = {name: number for number, name in enumerate(names)}
    selection = np.zeros((1 + len(_DAYS) + len(_WEEKS) + 1, len(names)))
    selection[0, position["lead"]] = LEAD_DAYS
    for row, day in enumerate(_DAYS, start=1):
        selection[row, position[day]] = 1.0
        selection[row, position["days_mean"]] = -1.0
    for row, week in enumerate(_WEEKS, start=1 + len(_DAYS)):
        selection[row, position[week]] = 1.0
        selection[-1, position[week]] = -1.0
    return selection


def lead_days(features: Rows, selection: Values) -> Hours:
    """Return the whole days between origin and target, [n], 0 to 6."""
    days = np.floor(features @ selection[0] + LEAD_MARGIN).astype(np.int64)
    return np.asarray(np.minimum(days, LEAD_DAYS - 1))


def dispersions(features: Rows, selection: Values) -> Values:
    """Return what a spread is made of, [n, 3]: 1, dispersion of the last days, of the weeks."""
    apart = np.abs(features @ selection[1:].T)
    days = apart[:, : len(_DAYS)].mean(axis=1)
    weeks = apart[:, len(_DAYS) :].mean(axis=1)
    return np.column_stack([np.ones(len(features)), days, weeks])


def pooled_quantiles(weights: Weights, features: Rows) -> Values:
    """Return quantiles, [n, 9], ascending, as departures in units of scale.

    Args:
        weights: the four tables.
        features: [n, f] rows of what ``select_features`` returns.
    """
    selection = np.asarray(weights[SELECTION], dtype=np.float64)
    day = lead_days(features, selection)
    centre = np.einsum("nf,nf->n", features, weights[COEFFICIENTS][day])
    spread = np.einsum("nd,nd->n", dispersions(features, selection), weights[SPREAD][day])
    spread = np.maximum(spread, SMALLEST_SPREAD)
    return np.asarray(centre[:, None] + spread[:, None] * weights[QUANTILES][day], np.float64)
