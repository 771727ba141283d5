"""The card of a base: what the meters of a type have taught, for the young ones among them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from energy_forecasting.domain.meters import Meter

#: The place of a meter's id in the task record of a base; no meter can be trained under it.
BASE_METER_ID = "_base"


def base_task_of(meter_type: str) -> Meter:
    """Return what stands for the base of a type where a task names its meter."""
    return Meter(meter_type=meter_type, meter_id=BASE_METER_ID)


class BaseCard(BaseModel):
    """What a base was learnt from and how good it is on meters that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meter_type: str
    version: str = Field(description="Sortable: the UTC time of learning and a short digest")
    learnt_at: datetime
    meters: list[str] = Field(description="type/id; the built-in sample meters come on top")
    skipped: dict[str, str] = Field(description="type/id of meters left out, and why")
    rows: int = Field(description="Rows learnt from, one per forecast origin and lead")
    mase: float = Field(
        description="Mean over meters of the error up to a week ahead, in units of the meter's "
        "scale, each forecast from the other meters alone"
    )
    naive_mase: float = Field(description="Last week's values on the same hours")
    skill: float = Field(description="1 - mase / naive_mase; above 0 beats last week's values")
    uses_temperature: bool = Field(default=False, description="Bases do without temperature")
