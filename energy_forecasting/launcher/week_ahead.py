"""A week's forecast as the API answers it, ready to be drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

from energy_forecasting.domain.meters import Meter

LOW, HIGH = "0.1", "0.9"  #: quantiles that bound the 80 % interval


@dataclass(frozen=True, kw_only=True, slots=True)
class WeekAhead:
    """Last days and next days of one meter; times are the meter's local wall clock."""

    meter: Meter
    unit: str
    timezone: str
    history_times: list[datetime]  #: hours with a reading, ascending
    history: list[float]
    times: list[datetime]  #: hours ahead, ascending
    median: list[float]
    low: list[float]  #: the value that one hour in ten stays below
    high: list[float]  #: the value that one hour in ten exceeds

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Build from the body of ``POST /forecast/``."""
        zone = ZoneInfo(answer["timezone"])
        read = [point for point in answer["history"] if point["consumption"] is not None]
        ahead = answer["forecast"]
        return cls(
            meter=Meter(meter_type=answer["meter_type"], meter_id=answer["meter_id"]),
            unit=answer["unit"],
            timezone=answer["timezone"],
            history_times=[_local(point, zone) for point in read],
            history=[point["consumption"] for point in read],
            times=[_local(point, zone) for point in ahead],
            median=[point["consumption"] for point in ahead],
            low=[point["quantiles"][LOW] for point in ahead],
            high=[point["quantiles"][HIGH] for point in ahead],
        )

    @property
    def title(self) -> str:
        """The meter, its unit and its clock."""
        return f"{self.meter} in {self.unit or 'its unit'}, {self.timezone}"


def _local(point: Mapping[str, Any], zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(point["timestamp"]).astimezone(zone)
