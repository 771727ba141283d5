"""What the service asks of meters, beside their readings."""

from dataclasses import dataclass, field
from datetime import timedelta

from energy_forecasting.domain.meters import DEFAULT_METER_TYPES
from energy_forecasting.domain.quality import QualityLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Settings of the service that decide whether a meter can be trained."""

    meter_types: tuple[str, ...] = DEFAULT_METER_TYPES  #: that the API takes
    history: timedelta = timedelta(days=730)  #: that a training reads
    limits: QualityLimits = field(default_factory=QualityLimits)
