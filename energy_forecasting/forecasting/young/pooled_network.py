"""The pooled regression as a Keras model, so that its artifact is a ``.h5`` like any other.

It takes the features of its card, [batch, f], clips them and returns quantiles, [batch, 9], as
departures from ``base`` in units of ``scale``. ``pooled_regression.pooled_quantiles`` is its twin.
"""

from collections.abc import Mapping

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.forecasting.recipe import FEATURE_CLIP
from energy_forecasting.forecasting.young.pooled_regression import (
    COEFFICIENTS,
    LEAD_DAYS,
    LEAD_MARGIN,
    QUANTILES,
    SELECTION,
    SMALLEST_SPREAD,
    SPREAD,
)

_TABLES = (COEFFICIENTS, SPREAD, QUANTILES, SELECTION)


@keras.saving.register_keras_serializable(package="energy_forecasting")
class PooledRegression(keras.layers.Layer):
    """Location and scale by lead day."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the tables for the number of features."""
        features = input_shape[-1]
        shapes = {
            COEFFICIENTS: (LEAD_DAYS, features),
            SPREAD: (LEAD_DAYS, 3),
            QUANTILES: (LEAD_DAYS, len(QUANTILE_LEVELS)),
            SELECTION: (12, features),
        }
        self.tables = {
            name: self.add_weight(
                name=name.split("/")[1], shape=shapes[name], initializer="zeros", trainable=False
            )
            for name in _TABLES
        }

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return [batch, 9]."""
        seen = ops.clip(inputs, -FEATURE_CLIP, FEATURE_CLIP)
        read = ops.matmul(seen, ops.transpose(self.tables[SELECTION]))
        day = ops.minimum(ops.floor(read[:, 0] + LEAD_MARGIN), LEAD_DAYS - 1)
        is_day = ops.one_hot(ops.cast(day, "int32"), LEAD_DAYS)
        apart = ops.abs(read[:, 1:])
        dispersion = ops.stack(
            [
                ops.ones_like(day),
                ops.mean(apart[:, :LEAD_DAYS], axis=1),
                ops.mean(apart[:, LEAD_DAYS:], axis=1),
            ],
            axis=1,
        )
        centre = ops.sum(seen * ops.matmul(is_day, self.tables[COEFFICIENTS]), axis=1)
        spread = ops.sum(dispersion * ops.matmul(is_day, self.tables[SPREAD]), axis=1)
        spread = ops.maximum(spread, SMALLEST_SPREAD)
        return centre[:, None] + spread[:, None] * ops.matmul(is_day, self.tables[QUANTILES])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Give one column per quantile."""
        return (input_shape[0], len(QUANTILE_LEVELS))


def build_pooled_network(tables: Mapping[str, npt.NDArray[np.floating]]) -> keras.Model:
    """Build the model that holds the tables of a fitted pooled regression."""
    features = keras.Input((tables[COEFFICIENTS].shape[1],), name="features")
    layer = PooledRegression(name=COEFFICIENTS.split("/")[0])
    network = keras.Model(features, layer(features), name="pooled_regression")
    for name in _TABLES:
        layer.tables[name].assign(np.asarray(tables[name], dtype=np.float32))
    return network
