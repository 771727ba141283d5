"""The network in NumPy, from the weights in its ``.h5``: milliseconds, and no TensorFlow.

It follows ``network.py`` layer by layer; a test pins the two to each other within 1e-5.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.features import Rows
from energy_forecasting.forecasting.recipe import FEATURE_CLIP, HIDDEN_UNITS

Weights = Mapping[str, npt.NDArray[np.float32]]


def standardise(weights: Weights, features: Rows) -> Rows:
    """Return [rows, f] in standard units, clipped."""
    scaled: Rows = (features - weights["standardise/mean"]) / weights["standardise/deviation"]
    np.clip(scaled, -FEATURE_CLIP, FEATURE_CLIP, out=scaled)
    return scaled


def member_quantiles(weights: Weights, standardised: Rows, member: int) -> Rows:
    """Return one member's sorted quantiles, [rows, 9], of standardised features [rows, f]."""

    def dense(name: str, inputs: Rows) -> Rows:
        outputs: Rows = inputs @ weights[f"{name}/kernel"][member]
        outputs += weights[f"{name}/bias"][member]
        return outputs

    seen = standardised * weights["member_inputs/mask"][member]
    hidden = seen
    for number in range(1, len(HIDDEN_UNITS) + 1):
        hidden = dense(f"hidden_{number}", hidden)
        np.maximum(hidden, 0.0, out=hidden)
    return np.sort(dense("quantiles", hidden) + dense("linear", seen), axis=-1)


def ensemble_quantiles(weights: Weights, features: Rows, members: Sequence[int]) -> Values:
    """Return the mean quantiles of some members, [rows, 9], of raw features [rows, f]."""
    standardised = standardise(weights, features)
    each = [member_quantiles(weights, standardised, member) for member in members]
    return np.asarray(np.mean(each, axis=0), dtype=np.float64)
