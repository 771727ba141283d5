"""The histories that ``benchmarks/influxdb.py`` reads."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History, to_datetime64

METER = Meter(meter_type="electricity", meter_id="office")
LAST = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A history to read."""

    title: str
    readings: int
    step: timedelta

    def history(self) -> History:
        """Make it up; the same each time."""
        random = np.random.default_rng(7)
        step_s = int(self.step.total_seconds())
        first = to_datetime64(LAST) - (self.readings - 1) * step_s
        return History(
            timestamps=first + np.arange(self.readings) * step_s,
            consumption=np.round(random.gamma(2.0, 3.0, self.readings), 3),
            temperature=np.round(random.normal(10, 6, self.readings), 2),
        )

    @property
    def start(self) -> datetime:
        """The first moment."""
        return LAST - (self.readings - 1) * self.step


CASES = {
    "hourly": Case(title="a year, hourly", readings=8_760, step=timedelta(hours=1)),
    "minutes": Case(title="a year, 1 minute", readings=525_600, step=timedelta(minutes=1)),
    "quarters": Case(title="ten years, 15 minutes", readings=350_400, step=timedelta(minutes=15)),
}
