"""Fitting the ensemble to a meter's examples, for good or to judge settings on the tail."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.evaluation import ensemble_quantiles, standardise
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.recipe import TAIL_DAYS, Settings, member_positions
from energy_forecasting.forecasting.training_loop import FitData, training_loop

_MEDIAN = QUANTILE_LEVELS.index(0.5)


class EnsembleFitter:
    """Fits the ensemble to one meter's examples as often as asked."""

    def __init__(self, examples: TrainingExamples, *, seed: int) -> None:
        self._examples = examples
        self._seed = seed
        self._fixed_weights = {
            **(examples.expectation.to_weights() if examples.expectation else {}),
            "standardise/mean": examples.mean,
            "standardise/deviation": examples.deviation,
            "member_inputs/mask": examples.mask(),
        }
        self._standardised = standardise(self._fixed_weights, examples.features)

    def fit(
        self,
        settings: Settings,
        on_progress: Callable[[float], None],
        *,
        until: int | None = None,
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Return all weights of the network, learnt from the targets before a grid hour.

        Raises:
            TrainingFailed: training diverged.
        """
        data = FitData(
            features=self._standardised,
            targets=self._examples.departures.astype(np.float32),
            row_weights=self._examples.row_weights(settings, until=until),
            mask=self._fixed_weights["member_inputs/mask"],
        )
        loop = training_loop(len(self._examples.names), self._examples.members)
        learnt = loop.fit(data, settings, seed=self._seed, on_progress=on_progress)
        return {**self._fixed_weights, **learnt}

    def tail_mase(self, settings: Settings, on_progress: Callable[[float], None]) -> float:
        """Learn from all but the last weeks; return their MASE, mean over temperature sources."""
        examples = self._examples
        cut = len(examples.grid) - TAIL_DAYS * HOURS_PER_DAY
        weights = self.fit(settings, on_progress, until=cut)
        tail = examples.known & (examples.origins >= cut)
        actual, features = examples.departures[tail], examples.features[tail]
        medians = [
            ensemble_quantiles(weights, features, positions)[:, _MEDIAN]
            for positions in member_positions(examples.members).values()
        ]
        return float(np.mean([metrics.mase(actual, median, 1.0) for median in medians]))
