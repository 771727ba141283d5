"""The card of a model: everything that one must know to use it and to trust it.

The card travels inside the artifact. It holds numbers and names, no weights.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: Raised when a field changes its meaning; a reader refuses what it does not know.
CARD_SCHEMA_VERSION: Literal[1] = 1


class ForecastMethod(StrEnum):
    """What an artifact forecasts with."""

    QUANTILE_NETWORK = "quantile_network"  #: the ensemble of quantile networks
    POOLED_REGRESSION = "pooled_regression"  #: young meters: learnt across meters, then adjusted
    SEASONAL_NAIVE = "seasonal_naive"  #: the value of a week ago, with calibrated intervals


class CardPart(BaseModel):
    """Base of the card and its parts: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSpan(CardPart):
    """The history that a model learnt from."""

    first_reading: datetime
    last_reading: datetime
    readings: int = Field(description="Readings used, after bringing them onto whole hours")
    missing_share: float = Field(description="Share of the span's hours without a reading, 0 to 1")
    lowest: float = Field(description="Smallest reading, meter's unit")
    highest: float = Field(description="Largest reading, meter's unit")


class Skill(CardPart):
    """Out-of-fold error: each hour predicted by what did not learn from its fortnight.

    The network does not score the last four weeks, because every member learns from them; the
    regression of a young meter leaves out weeks, and does not score the first one.
    """

    mase: float = Field(description="Mean absolute error / the naive's in-sample error")
    naive_mase: float = Field(description="The seasonal naive's error on the same hours")
    skill: float = Field(description="1 - mase / naive_mase; above 0 beats last week's value")
    wape: float | None = Field(description="Sum of absolute errors / sum of consumption")
    crps: float = Field(description="Mean quantile loss over .1 to .9, doubled, in scale units")
    coverage80: float = Field(description="Share of hours inside the 80 % interval, out of fold")
    scored_hours: int


class Trial(CardPart):
    """One configuration that tuning tried on the tail of the history."""

    settings: dict[str, float]
    tail_mase: float


class TuningReport(CardPart):
    """What tuning tried and why it kept what it kept."""

    trials: list[Trial] = Field(description="Trial 0 is the default configuration")
    accepted: int = Field(description="Index of the trial in use; 0 keeps the default")
    gain: float = Field(description="1 - best tail_mase / default tail_mase")


class BaseUsed(CardPart):
    """The base that a young meter's model stands on; it knows no temperature."""

    source: Literal["built_in", "store"] = Field(
        description="built_in: the sample meters that ship; store: other meters of the same type"
    )
    meters: int = Field(description="How many meters taught it")
    version: str | None = Field(description="Of the store's base; None for the built-in one")


class ModelCard(CardPart):
    """One model's card."""

    schema_version: Literal[1] = CARD_SCHEMA_VERSION
    meter_type: str
    meter_id: str
    version: str = Field(description="Sortable: the UTC time of training and a short digest")
    method: ForecastMethod
    method_reason: str = Field(description="Why this method serves, in a sentence")
    trained_at: datetime
    unit: str
    timezone: str
    country: str | None
    data: DataSpan
    skill: Skill | None = Field(
        description="Without a temperature forecast, as the API serves by default; None when the "
        "history was too short to measure it"
    )
    skill_known_temperature: Skill | None = Field(
        default=None, description="With the true temperature ahead; None when it is not used"
    )
    uses_temperature: bool
    feature_names: list[str] = Field(description="Inputs of the model, in order")
    scale: float = Field(
        description="Mean |y(t) - y(t - 168 h)| of the history, meter's unit; below ten days of "
        "history how days differ"
    )
    non_negative: bool = Field(description="Whether forecasts are floored at zero")
    temperature_mean: float | None = None
    temperature_std: float | None = None
    quantile_levels: list[float]
    calibration: dict[str, list[list[float]]] = Field(
        description="Temperature source to [lead group][quantile] multipliers of the distance "
        "from the median"
    )
    baseline_residuals: list[list[float]] = Field(
        description="[24][quantile] quantiles of y(t) - y(t - 168 h) by local hour, meter's unit: "
        "the intervals of the baseline, which answers should the network's forecast be absurd"
    )
    base: BaseUsed | None = Field(
        default=None, description="What a pooled regression stands on; None for other methods"
    )
    tuning: TuningReport | None = None
    seed: int
    training_seconds: float
    software: dict[str, str] = Field(description="Library to version")
