"""Paying TensorFlow's first-time costs before the first task comes.

Three to four seconds once per trainer process: first operations, and one trace of the training
loop for meters with temperature and one for those without.
"""

import numpy as np

from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import HOUR, History
from energy_forecasting.domain.trainings import TrainingOptions
from energy_forecasting.forecasting import tuning  # noqa: F401 - so that no task imports it
from energy_forecasting.forecasting.recipe import NETWORK_NEEDS_DAYS
from energy_forecasting.forecasting.training import train


def warm_up() -> None:
    """Train two made-up meters, one of each kind, as small as the network allows."""
    hours = np.arange(NETWORK_NEEDS_DAYS * 24 + 24)
    timestamps = (np.datetime64("2024-01-01T00", "s") + hours * HOUR).astype("datetime64[s]")
    daily = np.sin(2 * np.pi * hours / 24)
    for temperature in (np.full(len(hours), np.nan), 10 + 5 * daily):
        history = History(
            timestamps=timestamps,
            consumption=2 + daily + hours % 7 / 7,
            temperature=temperature,
        )
        train(
            history,
            Meter(meter_type="electricity", meter_id="warm_up"),
            MeterProfile(country="GB"),
            TrainingOptions(max_trials=0),
            lambda _: None,
        )
