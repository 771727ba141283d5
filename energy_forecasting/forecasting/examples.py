"""What a network learns from: one row per training origin and lead, with its target and fold.

Origins stand at every local midnight from the fifth week on, and on every other day at one more
hour, each in its turn: without them a forecast at noon is 2 % worse, with them one at midnight
0.5 %. A row whose target is missing keeps its place in the table and is never used. Folds are
fortnights of the *target*, so a member that leaves one out has not seen the hours on which it
is scored.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.expectation import (
    Expectation,
    can_expect,
    learn_expectation,
)
from energy_forecasting.forecasting.features import (
    LOOKBACK_HOURS,
    SIGHTED_SUFFIX,
    TEMPERATURE_FEATURES,
    Rows,
    TemperatureScale,
    build_features,
    temperature_rows,
)
from energy_forecasting.forecasting.grid import Flags, Hours, LocalGrid, at_reading_ends
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.recipe import (
    FOLD_HOURS,
    FOLDS,
    LATEST_FORTNIGHTS,
    Member,
    Settings,
    ensemble_members,
)
from energy_forecasting.forecasting.scale import seasonal_scale
from energy_forecasting.forecasting.seasonal_naive import week_ago
from energy_forecasting.forecasting.temperature_error import draw_errors

#: The fold of rows that teach every member.
IN_NO_FOLD = -1

#: Keeps a feature that never changed from being divided by nothing.
_SMALLEST_DEVIATION = 1e-2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingExamples:
    """n rows of f features; consumption as departures from ``base`` in units of ``scale``."""

    grid: LocalGrid
    names: tuple[str, ...]  #: the f features
    features: Rows  #: [n, f] raw
    mean: npt.NDArray[np.float32]  #: [f]
    deviation: npt.NDArray[np.float32]  #: [f]
    scale: float  #: in the meter's unit
    temperature_scale: TemperatureScale | None  #: None when temperature is not used
    expectation: Expectation | None  #: what the surprises among the features come from
    base: Values  #: [n] in the meter's unit
    origins: Hours  #: [n] grid hour of the origin
    leads: Hours  #: [n]
    known: Flags  #: [n] whether the target was measured
    departures: Values  #: [n] the targets; 0 where not known
    folds: Hours  #: [n] members of the same fold do not learn from the row; else IN_NO_FOLD

    @classmethod
    def from_grid(cls, grid: LocalGrid, *, uses_temperature: bool) -> Self:
        """Build the rows of the origins that have four weeks before them and a day after."""
        starts = _training_origins(len(grid), grid.inside)
        scale = seasonal_scale(grid.consumption)
        temperature_scale = (
            TemperatureScale.of(grid.filled_temperature) if uses_temperature else None
        )
        ahead = _measured_ahead(grid, starts) if uses_temperature else None
        expectation, surprises = None, None
        if can_expect(grid):
            expectation, surprises = learn_expectation(
                grid, scale=scale, temperature_scale=temperature_scale
            )
        built = build_features(
            grid,
            starts,
            MAX_HORIZON_HOURS,
            scale=scale,
            temperature_ahead=ahead,
            temperature_scale=temperature_scale,
            surprises=surprises,
        )
        features = built.values.reshape(-1, len(built.names))
        mean, deviation = _standards(features)
        base = built.base.reshape(-1)
        leads = np.tile(np.arange(MAX_HORIZON_HOURS), len(starts))
        origins = np.repeat(starts, MAX_HORIZON_HOURS)
        targets = origins + leads
        actual = grid.consumption[np.minimum(targets, len(grid) - 1)]
        known = (targets < len(grid)) & np.isfinite(actual)
        # A reading of several hours is one observation: it belongs to one fold.
        observed = grid.first_hour_of_reading(targets)
        fortnights_from_end = (len(grid) - 1 - observed) // FOLD_HOURS
        return cls(
            grid=grid,
            names=built.names,
            features=features,
            mean=mean,
            deviation=deviation,
            scale=scale,
            temperature_scale=temperature_scale,
            expectation=expectation,
            base=base,
            origins=origins,
            leads=leads,
            known=known,
            departures=np.where(known, (actual - base) / scale, 0.0),
            folds=np.where(
                fortnights_from_end < LATEST_FORTNIGHTS, IN_NO_FOLD, fortnights_from_end % FOLDS
            ),
        )

    def with_temperature_errors(self, size: float, *, seed: int) -> Self:
        """Return the rows as they look with a temperature that was forecast, not measured.

        Args:
            size: of the errors, where 1 is a real forecast's; each origin has a draw of its own.
            seed: of the draws.
        """
        if self.temperature_scale is None:
            return self
        origins = self.origins[::MAX_HORIZON_HOURS]
        errors = draw_errors(np.random.default_rng(seed), len(origins), MAX_HORIZON_HOURS)
        ahead = _measured_ahead(self.grid, origins) + size * errors
        rows = temperature_rows(self.grid, origins, ahead, self.temperature_scale)
        features = self.features.copy()
        first = self.names.index(TEMPERATURE_FEATURES[0])
        features[:, first : first + len(TEMPERATURE_FEATURES)] = rows.reshape(len(features), -1)
        mean, deviation = _standards(features)
        return replace(self, features=features, mean=mean, deviation=deviation)

    @property
    def scored(self) -> Flags:
        """Whether some members did not learn from the row, so that it can judge them, [n]."""
        return np.asarray(self.known & (self.folds != IN_NO_FOLD))

    @property
    def targets(self) -> Hours:
        """Grid hour of each row's target, [n]."""
        return np.asarray(self.origins + self.leads)

    @property
    def naive_departures(self) -> Values:
        """What the seasonal naive forecasts, as departures, [n]."""
        return (week_ago(self.grid, self.targets) - self.base) / self.scale

    @property
    def members(self) -> tuple[Member, ...]:
        """The members that these rows can teach."""
        return ensemble_members(uses_temperature=self.temperature_scale is not None)

    def mask(self) -> Rows:
        """Return which member sees which feature, [members, 1, f]."""
        is_level = np.array([name == "base" for name in self.names])
        is_temperature = np.array(
            [name in TEMPERATURE_FEATURES or name.endswith(SIGHTED_SUFFIX) for name in self.names]
        )
        seen = [
            (~is_level | member.uses_level) & (~is_temperature | member.sees_temperature)
            for member in self.members
        ]
        return np.asarray(seen, dtype=np.float32)[:, None, :]

    def row_weights(self, settings: Settings, *, until: int | None = None) -> Rows:
        """Return how much each member learns from each row, [members, n].

        Args:
            settings: how fast the forgetting members forget.
            until: grid hour from which on no target may be seen; None means the end.
        """
        end = len(self.grid) if until is None else until
        usable = self.known & (self.targets < end)
        age_days = np.maximum(end - self.origins, 0) / HOURS_PER_DAY
        recency = np.exp(-age_days / settings.recency_days)
        weights = np.empty((len(self.members), len(usable)), dtype=np.float32)
        for index, member in enumerate(self.members):
            weights[index] = usable & (self.folds != member.fold)
            if member.forgets:
                weights[index] *= recency
        return weights


def _standards(features: Rows) -> tuple[Rows, Rows]:
    """Return the mean and deviation of each feature, [f]."""
    return features.mean(axis=0), features.std(axis=0) + np.float32(_SMALLEST_DEVIATION)


def _training_origins(length: int, inside: Hours) -> Hours:
    """Return the grid hours of the origins in a grid of so many hours, ascending."""
    midnights = np.arange(LOOKBACK_HOURS, length - HOURS_PER_DAY + 1, HOURS_PER_DAY)
    every_other = midnights[:-1:2]
    # Steps of 7 reach all of the hours 1 to 23 before one comes again.
    hours = 1 + np.arange(len(every_other)) * 7 % (HOURS_PER_DAY - 1)
    origins = np.sort(np.concatenate([midnights, every_other + hours]))
    possible = range(LOOKBACK_HOURS, length - HOURS_PER_DAY + 1)
    return at_reading_ends(origins, inside, possible)


def _measured_ahead(grid: LocalGrid, origins: Hours) -> Values:
    """Return the temperature that followed each origin, [n, leads]; the last one beyond the end."""
    hours = np.minimum(origins[:, None] + np.arange(MAX_HORIZON_HOURS), len(grid) - 1)
    return np.asarray(grid.filled_temperature[hours])
