"""Out-of-fold predictions: every hour forecast by the member that did not learn from it.

They are the honest measure of a model and the ground of its calibration.
"""

from collections.abc import Sequence

import numpy as np

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.model_card import Skill
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.calibration import (
    Multipliers,
    Tails,
    apply_multipliers,
    fit_multipliers,
    fit_tails,
)
from energy_forecasting.forecasting.evaluation import Weights, member_quantiles, standardise
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.grid import Flags

_MEDIAN = QUANTILE_LEVELS.index(0.5)

#: Coarse, as the best of them differ by chance.
_TRUSTS = (0.5, 0.75, 1.0)


def predict_out_of_fold(
    weights: Weights, examples: TrainingExamples, positions: Sequence[int]
) -> Values:
    """Return quantiles of every scored row by the member that left it out, [n, 9]; else 0.

    Args:
        weights: of the trained network.
        examples: folds and known targets.
        positions: the members that answer, one for each fold.
    """
    quantiles = np.zeros((len(examples.features), len(QUANTILE_LEVELS)))
    for position in positions:
        rows = examples.known & (examples.folds == examples.members[position].fold)
        seen = standardise(weights, examples.features[rows])
        quantiles[rows] = member_quantiles(weights, seen, position)
    return quantiles


def best_trust(examples: TrainingExamples, sighted: Values, blind: Values) -> float:
    """Return the weight of the members that see temperature with which both forecast best.

    Args:
        examples: with the temperature errors of a real forecast.
        sighted: [n, 9] out-of-fold quantiles of those members.
        blind: [n, 9] of the others.
    """
    scored = examples.scored
    actual = examples.departures[scored]
    seen, unseen = sighted[scored, _MEDIAN], blind[scored, _MEDIAN]

    def error(trust: float) -> float:
        return metrics.mase(actual, trust * seen + (1.0 - trust) * unseen, 1.0)

    return min(_TRUSTS, key=error)


def calibrate(examples: TrainingExamples, quantiles: Values) -> tuple[Multipliers, Tails, Skill]:
    """Fit multipliers and tails to out-of-fold quantiles, [n, 9]; measure what they then reach."""
    scored = examples.scored
    actual, leads = examples.departures[scored], examples.leads[scored]
    multipliers = fit_multipliers(actual, quantiles[scored], leads)
    calibrated = apply_multipliers(quantiles[scored], leads, multipliers)
    tails = fit_tails(actual, calibrated, leads)
    return multipliers, tails, _skill(examples, calibrated, scored)


def _skill(examples: TrainingExamples, quantiles: Values, scored: Flags) -> Skill:
    departures = examples.departures[scored]
    median = quantiles[:, _MEDIAN]
    base, scale = examples.base[scored], examples.scale
    error = metrics.mase(departures, median, 1.0)
    naive_error = metrics.mase(departures, examples.naive_departures[scored], 1.0)
    return Skill(
        mase=error,
        naive_mase=naive_error,
        skill=1.0 - error / naive_error if naive_error > 0 else 0.0,
        wape=metrics.wape(base + departures * scale, base + median * scale),
        crps=metrics.crps(departures, quantiles, QUANTILE_LEVELS),
        coverage80=metrics.coverage(departures, quantiles[:, 0], quantiles[:, -1]),
        scored_hours=len(departures),
        zero_mase=metrics.zero_mase(examples.grid.consumption[examples.targets[scored]], scale),
    )
