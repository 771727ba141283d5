"""How a model has done since it was trained, on readings that it could not have learnt from."""

from pydantic import BaseModel, ConfigDict, Field

#: Days that must have been scored before a model is called worse than last week's values.
DAYS_TO_JUDGE = 14

#: So much more than the error of last week's values is not chance any more.
CLEARLY_WORSE = 1.1


class LiveScore(BaseModel):
    """Forecasts of the last 28 days, made again from every midnight, against the readings."""

    model_config = ConfigDict(frozen=True)

    hours: int = Field(description="Pairs of a forecast and a reading")
    coverage80: float = Field(description="Share inside the 80 % interval, as it adapts")
    coverage80_unadapted: float = Field(
        description="The same for the interval as training left it; far from .8 the meter has "
        "changed since"
    )
    error: float = Field(description="Mean absolute error of the median, meter's unit")
    naive_error: float = Field(description="That of last week's values on the same hours")
    error_to_naive: float | None = Field(
        description="error / naive_error; below 1 beats last week's values; null when they were "
        "always right"
    )


class LiveRecord(BaseModel):
    """A model's record on the readings that came after its training.

    With a temperature, the measured one stands in for its forecast: the record is optimistic.
    """

    model_config = ConfigDict(frozen=True)

    scored_days: int = Field(description="Days with at least one scored hour, at most 28")
    worse_days: int = Field(description="Of these, days on which last week's values were closer")
    first_day: LiveScore = Field(description="Hours 1 to 24 of a forecast")
    later_days: LiveScore | None = Field(description="Hours 25 to 168; null as none is scored yet")

    @property
    def is_clearly_worse_than_naive(self) -> bool:
        """Whether last week's values have served better for at least two weeks."""
        ratio = self.first_day.error_to_naive
        return (
            ratio is not None
            and self.scored_days >= DAYS_TO_JUDGE
            and ratio > CLEARLY_WORSE
            and 2 * self.worse_days > self.scored_days
        )


def advice(record: LiveRecord | None) -> str | None:
    """Return what to do about a model that last week's values beat; None where nothing is wrong."""
    if record is None or not record.is_clearly_worse_than_naive:
        return None
    excess = (record.first_day.error_to_naive or 1.0) - 1.0
    return (
        f"Over the last {record.scored_days} days the model's error was {excess:.0%} above that of "
        f"last week's values, which were closer on {record.worse_days} of them; train the meter "
        "again."
    )
