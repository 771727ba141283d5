"""What the pooled regression learns from: rows made as a forecast makes them.

Every origin gets a grid of its own that ends there and begins RECENT_DAYS earlier, unknown where
the meter had no readings yet: gaps are filled from the readings before the origin alone, so a
young meter's rows cannot leak and look exactly like those of its forecasts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.features import Rows, build_features
from energy_forecasting.forecasting.grid import Flags, Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.model_quantiles import RECENT_DAYS
from energy_forecasting.forecasting.young.pooled_regression import pooled_names, select_features


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PooledRows:
    """n rows with a known target."""

    names: tuple[str, ...]  #: the f features
    features: Rows  #: [n, f] clipped
    departures: Values  #: [n] the targets: (y - base) / scale
    origins: Hours  #: [n] grid hour of the origin
    leads: Hours  #: [n]
    last_week: Values  #: [n] what the seasonal naive forecasts, as a departure
    base: Values  #: [n] in the meter's unit
    scale: float  #: in the meter's unit

    @classmethod
    def of(
        cls,
        grid: LocalGrid,
        origins: Sequence[int],
        *,
        scale: float,
        weeks_known: Sequence[int | None] = (None,),
    ) -> Self:
        """Build the rows of some origins.

        Args:
            grid: the history.
            origins: grid hours; readings must lie before each of them.
            scale: of the meter, in its unit.
            weeks_known: how many weeks before the origin a row may know, taken in turn; None is
                all that a forecast looks at.
        """
        leads = np.arange(MAX_HORIZON_HOURS)
        columns: dict[str, list[Any]] = {}
        names: tuple[str, ...] = ()
        for number, origin in enumerate(origins):
            weeks = weeks_known[number % len(weeks_known)]
            seen = grid_before(grid, origin, weeks=weeks)
            built = build_features(seen, np.array([len(seen)]), MAX_HORIZON_HOURS, scale=scale)
            names = pooled_names(built.names)
            base, targets = built.base[0], origin + leads
            actual = grid.consumption[np.minimum(targets, len(grid) - 1)]
            known = (targets < len(grid)) & np.isfinite(actual)
            values: dict[str, Any] = {
                "features": select_features(built, names).values[0],
                "departures": (actual - base) / scale,
                "origins": np.full(len(leads), origin),
                "leads": leads,
                "last_week": built.values[0, :, built.names.index("week_1")],
                "base": base,
            }
            for name, column in values.items():
                columns.setdefault(name, []).append(column[known])
        together: dict[str, Any] = {name: np.concatenate(part) for name, part in columns.items()}
        return cls(names=names, scale=scale, **together)

    def __len__(self) -> int:
        return len(self.departures)

    @property
    def targets(self) -> Hours:
        """Grid hour of each target, [n]."""
        return np.asarray(self.origins + self.leads)

    def only(self, chosen: Flags) -> Self:
        """Return some of the rows."""
        return replace(
            self,
            **{
                name: getattr(self, name)[chosen]
                for name in (
                    "features",
                    "departures",
                    "origins",
                    "leads",
                    "last_week",
                    "base",
                )
            },
        )


def grid_before(grid: LocalGrid, origin: int, *, weeks: int | None = None) -> LocalGrid:
    """Return what a forecast from a grid hour on sees: RECENT_DAYS, unknown before the history."""
    start = (origin // HOURS_PER_DAY - RECENT_DAYS) * HOURS_PER_DAY
    first = max(start, 0 if weeks is None else origin - weeks * 7 * HOURS_PER_DAY, 0)
    unknown = np.full(first - start, np.nan)
    return LocalGrid(
        start=grid.start + start,
        consumption=np.concatenate([unknown, grid.consumption[first:origin]]),
        temperature=np.full(origin - start, np.nan),
        calendar=grid.calendar,
    )
