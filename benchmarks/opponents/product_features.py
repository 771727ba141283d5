"""The product's own training rows and features, for opponents that differ only in the learner.

Targets are departures from ``base`` in units of ``scale``, as the product learns them. Intervals
come from split conformal prediction: the errors on the last four weeks, which the judged model
did not learn from, by hour of day.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from benchmarks.backtest import Backtest, Predictor
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.features import Rows, build_features
from energy_forecasting.forecasting.grid import Flags
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.seasonal_naive import naive_quantiles, residual_quantiles

TAIL_DAYS = 28

#: Features look back 29 days; the rest lets a gap be filled from the weeks before.
_RECENT_DAYS = 42

#: Turns rows of features, [n, f], into departures, [n].
Learner = Callable[[Rows], Values]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FeatureRows:
    """What the training part of a backtest teaches, row by row."""

    backtest: Backtest
    examples: TrainingExamples

    @classmethod
    def of(cls, backtest: Backtest) -> Self:
        """Build the product's rows under the same setting, with measured temperatures.

        The errors that the product adds to them are a part of its recipe.
        """
        examples = TrainingExamples.from_grid(
            backtest.training_grid, uses_temperature=backtest.knows_temperature_ahead
        )
        return cls(backtest=backtest, examples=examples)

    @property
    def early(self) -> Flags:
        """Rows whose target was measured before the tail begins, [n]."""
        return np.asarray(self.examples.known & (self.examples.targets < self._tail_start))

    @property
    def tail(self) -> Flags:
        """Rows whose origin lies in the last four weeks, [n]."""
        return np.asarray(self.examples.known & (self.examples.origins >= self._tail_start))

    @property
    def _tail_start(self) -> int:
        return len(self.examples.grid) - TAIL_DAYS * HOURS_PER_DAY

    def predictor(self, learner: Learner, *, judged: Learner) -> Predictor:
        """Forecast with a learner; take the intervals from the tail errors of ``judged``."""
        examples, backtest = self.examples, self.backtest
        errors = examples.departures[self.tail] - judged(examples.features[self.tail])
        table = residual_quantiles(errors, examples.targets[self.tail] % HOURS_PER_DAY)

        def predict(origin: int) -> Values:
            known = backtest.known_at(origin, days=_RECENT_DAYS)
            leads = np.arange(MAX_HORIZON_HOURS)
            ahead = backtest.temperature_ahead(origin, origin + leads)
            built = build_features(
                known,
                np.array([len(known)]),
                MAX_HORIZON_HOURS,
                scale=examples.scale,
                temperature_ahead=None if ahead is None else ahead[None, :],
                temperature_scale=examples.temperature_scale,
                surprises=examples.expectation.surprises(
                    known, scale=examples.scale, temperature_scale=examples.temperature_scale
                )
                if examples.expectation
                else None,
            )
            hour_of_day = (origin + leads) % HOURS_PER_DAY
            departures = naive_quantiles(learner(built.values[0]), hour_of_day, table)
            quantiles = built.base[0][:, None] + departures * examples.scale
            return backtest.in_real_time(origin, quantiles)

        return predict
