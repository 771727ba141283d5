"""How far ahead a forecast looks, and from where."""

from dataclasses import dataclass
from datetime import datetime, timedelta

#: One model serves every lead up to a week; beyond it the last week is not known.
MAX_HORIZON_HOURS = 168


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """The hours that a forecast covers: ``hours`` of them, from ``origin`` on."""

    origin: datetime  #: aware, UTC; the first hour that is forecast, readings end before it
    hours: int  #: 1 to MAX_HORIZON_HOURS

    @property
    def end(self) -> datetime:
        """The end of the last hour."""
        return self.origin + timedelta(hours=self.hours)
