"""The facts behind a forecast that an explanation's sentences state beside its numbers."""

from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import Flags, Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK

#: With less of them measured, hours are not compared.
_LEAST_KNOWN_SHARE = 0.5

_FOUR_WEEKS = 28  # days


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Circumstances:
    """What was known about n forecast hours and the time before them."""

    days: npt.NDArray[np.datetime64]  #: [n] local day of each hour
    holiday: Flags  #: [n] whether that day is a public holiday
    past_holidays: tuple[date, ...]  #: in the four weeks before the origin's day
    last_hours: float | None  #: consumption of the last six hours / the usual week's - 1
    last_day: float | None  #: the same of the last 24 hours
    last_week: float | None  #: the same of the last seven days
    warmer: float | None = None  #: mean temperature ahead - the usual one, degrees Celsius

    @classmethod
    def of(cls, grid: LocalGrid, hours: Hours, usual: Values, warmer: float | None) -> Self:
        """Gather them.

        Args:
            grid: ends at the origin.
            hours: [n] grid hours of the forecast.
            usual: [len(grid)] the usual week in place of the readings.
            warmer: see the field.
        """
        first_day = grid.start.astype("datetime64[D]")
        today = len(grid) // HOURS_PER_DAY
        past = np.arange(max(0, today - _FOUR_WEEKS), today)
        recent = past[grid.holiday[past * HOURS_PER_DAY]]
        return cls(
            days=first_day + hours // HOURS_PER_DAY,
            holiday=grid.holiday[hours],
            past_holidays=tuple((first_day + recent).tolist()),
            last_hours=_relative(grid.consumption, usual, 6),
            last_day=_relative(grid.consumption, usual, HOURS_PER_DAY),
            last_week=_relative(grid.consumption, usual, HOURS_PER_WEEK),
            warmer=warmer,
        )


def _relative(consumption: Values, usual: Values, hours: int) -> float | None:
    """Compare the last measured hours with the same ones of the usual week; None: too few."""
    known = np.isfinite(consumption[-hours:])
    expected = float(usual[-hours:][known].sum())
    if known.mean() < _LEAST_KNOWN_SHARE or expected <= 0:
        return None
    return float(consumption[-hours:][known].sum()) / expected - 1.0
