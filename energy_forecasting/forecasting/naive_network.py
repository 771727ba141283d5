"""The seasonal naive as a Keras model, so that its artifact is a ``.h5`` like any other."""

import keras
import numpy as np
from keras import layers

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY


def build_naive_network(table: Values) -> keras.Model:
    """Build the model of last week's value [batch, 1] and hour one-hot [batch, 24].

    Args:
        table: [24, 9] residual quantiles by hour of day, in the meter's unit.

    Returns:
        A model whose output is [batch, 9] quantiles in the meter's unit.
    """
    last_week = keras.Input((1,), name="week_ago")
    hour = keras.Input((HOURS_PER_DAY,), name="hour_of_day")
    by_hour = layers.Dense(len(QUANTILE_LEVELS), use_bias=False, name="residual_quantiles")
    network = keras.Model(
        [last_week, hour],
        layers.Add(name="quantiles")([last_week, by_hour(hour)]),
        name="seasonal_naive",
    )
    by_hour.set_weights([np.asarray(table, dtype=np.float32)])
    return network
