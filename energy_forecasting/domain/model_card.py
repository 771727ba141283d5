"""The card of a model: everything that one must know to use it and to trust it.

The card travels inside the artifact. It holds numbers and names, no weights.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from energy_forecasting.domain.quality import QualityReport

#: Raised when a field changes its meaning; a reader refuses what it does not know.
CARD_SCHEMA_VERSION: Literal[1] = 1


#: Where a card keeps the tails of last week's values, beside those of its temperature sources.
BASELINE = "baseline"


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
    zero_mase: float | None = Field(
        default=None,
        description="For a meter that mostly rests, the error of forecasting zero throughout, on "
        "the same hours: last week's value is easy to beat there, zero is not",
    )


class GroupImportance(CardPart):
    """What a group of inputs is worth to a model."""

    group: str = Field(description="Stable key, as in the contributions of a forecast")
    name: str
    mase_rise: float = Field(description="MASE with the group taken from another week, minus mase")
    rise_percent: float = Field(description="The same in percent of mase; 2 or less may be chance")


class Importance(CardPart):
    """Permutation importance out of fold: which groups of inputs the model leans on."""

    rows: int = Field(description="Forecast hours in the random sample")
    mase: float = Field(description="Of these hours, out of fold, with all inputs as they were")
    groups: list[GroupImportance] = Field(description="Most important first")


class Trial(CardPart):
    """One configuration that tuning tried on the tail of the history."""

    settings: dict[str, float]
    tail_mase: float


class TuningReport(CardPart):
    """What tuning tried and why it kept what it kept."""

    trials: list[Trial] = Field(description="Trial 0 is the default configuration")
    accepted: int = Field(description="Index of the trial in use; 0 keeps the default")
    gain: float = Field(description="1 - best tail_mase / default tail_mase")


class Folds(CardPart):
    """Which hours each member of an ensemble did not learn from.

    Counted back from ``until`` in blocks of hours: the latest blocks taught every member, the
    others are dealt to the folds in turn, and a member did not learn from the fold it left out.
    """

    until: datetime = Field(
        description="Hour after the last one learnt, on the local wall clock",
        json_schema_extra={"format": "date-time-local"},  # it has no offset
    )
    block_hours: int
    blocks_for_all: int = Field(description="Latest blocks, which taught every member")
    count: int = Field(description="Folds to which the other blocks are dealt")
    left_out: list[int] = Field(
        description="The fold that each member left out; only of the members that need no "
        "temperature, which come first"
    )


class GateWindow(CardPart):
    """The days on which two models were compared; days that one of them had learnt left out."""

    first_day: date = Field(description="Local day")
    last_day: date = Field(description="Local day, included")


class GateReport(CardPart):
    """How a new model did against the champion that it may replace."""

    compared_with: str | None = Field(
        description="The champion's version; null when its file could not be read"
    )
    window: GateWindow | None = Field(description="null when no comparison was possible")
    days: int = Field(description="Days compared")
    challenger_mase: float | None = Field(
        description="The new model's mean absolute error on those days / the smaller one of the "
        "two models' scales"
    )
    champion_mase: float | None = Field(description="The champion's, on the same scale")
    p_value: float | None = Field(
        description="Chance of a lead of the champion at least so large if the new model were as "
        "good: below .05 it is refused"
    )
    promoted: bool
    reason: str = Field(description="A sentence")


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
    resolution_minutes: float | None = Field(
        default=None, description="Step of the readings it learnt from; null when not told"
    )
    data: DataSpan
    skill: Skill | None = Field(
        description="Of the members that need no temperature ahead; None when the history was too "
        "short to measure it"
    )
    skill_known_temperature: Skill | None = Field(
        default=None,
        description="With a temperature ahead that errs as weather forecasts do; None when it is "
        "not used",
    )
    importance: Importance | None = Field(
        default=None, description="Of the model behind ``skill``; None when it was not measured"
    )
    importance_known_temperature: Importance | None = Field(
        default=None, description="Of the model behind ``skill_known_temperature``"
    )
    uses_temperature: bool
    feature_names: list[str] = Field(description="Inputs of the model, in order")
    scale: float = Field(
        description="Mean |y(t) - y(t - 168 h)| of the history, meter's unit; below ten days of "
        "history how days differ"
    )
    non_negative: bool = Field(description="Whether forecasts are floored at zero")
    zero_median: bool = Field(
        default=False,
        description="Zero beat the model's median out of fold (skill.zero_mase), as the meter "
        "mostly rests; while it does, median and lower quantiles are served as zero",
    )
    temperature_mean: float | None = None
    temperature_std: float | None = None
    temperature_trust: float = Field(
        default=0.75,
        description="Weight of the members that see temperature where it is known, 0 to 1; the "
        "others have the rest",
    )
    quantile_levels: list[float]
    calibration: dict[str, list[list[float]]] = Field(
        description="Temperature source to [lead group][quantile] multipliers of the distance "
        "from the median"
    )
    tails: dict[str, list[list[float]]] = Field(
        default_factory=dict,
        description="Temperature source, or baseline, to [lead group][.01, .05, .95, .99] "
        "distances from the median in units of that of .1 or .9; empty in models of earlier "
        "releases, which get those of the normal distribution",
    )
    baseline_residuals: list[list[float]] = Field(
        description="[24][quantile] quantiles of y(t) - y(t - 168 h) by local hour, meter's unit: "
        "the intervals of the baseline, which answers should the network's forecast be absurd"
    )
    base: BaseUsed | None = Field(
        default=None, description="What a pooled regression stands on; None for other methods"
    )
    tuning: TuningReport | None = None
    folds: Folds | None = Field(
        default=None, description="None for the seasonal naive, which learns no hour by heart"
    )
    gate: GateReport | None = Field(
        default=None, description="None for a meter's first model: there was nothing to compare"
    )
    quality: QualityReport | None = Field(
        default=None, description="The data report of the history that was trained on"
    )
    seed: int
    training_seconds: float
    software: dict[str, str] = Field(description="Library to version")

    @property
    def passed_the_gate(self) -> bool:
        """Whether it may serve without being named: a first model, or one that was not refused."""
        return self.gate is None or self.gate.promoted
