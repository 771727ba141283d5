"""What fitting brings forth, the same for every method: the candidate for a meter's artifact."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.forecasts import TemperatureSource
from energy_forecasting.domain.model_card import (
    Folds,
    ForecastMethod,
    Importance,
    Skill,
    TuningReport,
)
from energy_forecasting.forecasting.calibration import Multipliers, Tails
from energy_forecasting.forecasting.features import TemperatureScale


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FittedModel:
    """A fitted model and what was found out about it."""

    method: ForecastMethod
    weights: Mapping[str, npt.NDArray[np.floating]]  #: ``layer/weight`` to its values
    feature_names: tuple[str, ...]
    scale: float  #: in the meter's unit
    skill: Skill | None  #: as served without a temperature forecast
    skill_known_temperature: Skill | None = None
    temperature_scale: TemperatureScale | None = None  #: None when temperature is not used
    temperature_trust: float = 0.0  #: weight of the members that see a known temperature
    calibration: Mapping[TemperatureSource, Multipliers] = field(default_factory=dict)
    tails: Mapping[str, Tails] = field(default_factory=dict)  #: as the card names them
    tuning: TuningReport | None = None
    folds: Folds | None = None  #: None when no hour is learnt by heart
    importance: Importance | None = None
    importance_known_temperature: Importance | None = None
