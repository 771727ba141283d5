"""Permutation importance: how much a model loses when a group of inputs tells of another week.

A group's inputs are taken together from another row, the others stay, and the error out of fold
is compared (Breiman, 2001; Fisher, Rudin and Dominici, 2019). The other row has the same hour of
the week, the same hours ahead and lies one to eight weeks away: taken from anywhere, January's
weather would meet July's habits, and the network would be asked about what cannot be (Hooker,
Mentch and Zhou, 2021; conditional permutation: Strobl et al., 2008). The hour of the week and the
hours ahead, which such a row shares, are taken from any row instead.

It tells what the trained model leans on, not what causes consumption; groups that say nearly the
same share their importance, and each looks smaller than it would alone.
"""

from collections.abc import Sequence

import numpy as np

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.model_card import GroupImportance, Importance
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.evaluation import Weights, member_quantiles, standardise
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.explaining.feature_groups import (
    PLAIN_NAMES,
    FeatureGroup,
    columns_by_cause,
    columns_of,
)
from energy_forecasting.forecasting.features import Rows
from energy_forecasting.forecasting.grid import Flags, Hours
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY

#: Rows that are judged; more would cost a training more than it tells.
SAMPLE_ROWS = 4096

#: How far away the other week may lie.
FURTHEST_WEEKS = 8

_MEDIAN = QUANTILE_LEVELS.index(0.5)
_DAYS_PER_WEEK = 7
_DIGITS = 4


def group_importance(
    weights: Weights, examples: TrainingExamples, positions: Sequence[int], *, seed: int
) -> Importance | None:
    """Measure every group of inputs that these members see.

    Args:
        weights: of the trained network.
        examples: with folds, so that each row is judged by the member that left it out.
        positions: the members that answer, one for each fold.
        seed: of the sample and of the other rows.

    Returns:
        The groups, most important first; None when nothing was scored.
    """
    generator = np.random.default_rng(seed)
    rows = _sample(examples, generator)
    if not len(rows):
        return None
    other_week = _other_week(examples, rows, generator)
    any_row = generator.permutation(rows)
    actual, folds = examples.departures[rows], examples.folds[rows]
    features = standardise(weights, examples.features[rows])

    def mase(inputs: Rows) -> float:
        median = np.empty(len(rows))
        for position in positions:
            judged = folds == examples.members[position].fold
            median[judged] = member_quantiles(weights, inputs[judged], position)[:, _MEDIAN]
        return metrics.mase(actual, median, 1.0)

    seen = weights["member_inputs/mask"][list(positions)].any(axis=(0, 1))
    sources = {group: (columns, other_week) for group, columns in _by_week(examples.names).items()}
    sources |= {group: (columns, any_row) for group, columns in _by_row(examples.names).items()}
    whole = mase(features)
    groups = []
    for group, (columns, other) in sources.items():
        if not (columns & seen).any():
            continue
        permuted = features.copy()
        permuted[:, columns] = standardise(weights, examples.features[other])[:, columns]
        rise = mase(permuted) - whole
        groups.append(
            GroupImportance(
                group=group,
                name=PLAIN_NAMES[group],
                mase_rise=round(rise, _DIGITS),
                rise_percent=round(100 * rise / whole, 2) if whole > 0 else 0.0,
            )
        )
    groups.sort(key=lambda each: each.mase_rise, reverse=True)
    return Importance(rows=len(rows), mase=round(whole, _DIGITS), groups=groups)


def _by_week(names: Sequence[str]) -> dict[FeatureGroup, Flags]:
    level = columns_of(names, [FeatureGroup.USUAL_LEVEL])
    return {FeatureGroup.USUAL_LEVEL: level, **columns_by_cause(names)}


def _by_row(names: Sequence[str]) -> dict[FeatureGroup, Flags]:
    return {
        group: columns_of(names, [group])
        for group in (FeatureGroup.HOUR_OF_WEEK, FeatureGroup.HOURS_AHEAD)
    }


def _sample(examples: TrainingExamples, generator: np.random.Generator) -> Hours:
    """Draw scored rows of midnight origins: these alone have one at every day's distance."""
    rows = np.flatnonzero(examples.scored & (examples.origins % HOURS_PER_DAY == 0))
    if len(rows) > SAMPLE_ROWS:
        rows = generator.choice(rows, SAMPLE_ROWS, replace=False)
    return np.sort(rows)


def _other_week(examples: TrainingExamples, rows: Hours, generator: np.random.Generator) -> Hours:
    """Return for each row one of the same hour of week and lead, some weeks earlier or later."""
    origins = examples.origins[::MAX_HORIZON_HOURS]
    midnights = np.flatnonzero(origins % HOURS_PER_DAY == 0)
    day = np.searchsorted(midnights, rows // MAX_HORIZON_HOURS)
    back = np.minimum(day // _DAYS_PER_WEEK, FURTHEST_WEEKS)
    ahead = np.minimum((len(midnights) - 1 - day) // _DAYS_PER_WEEK, FURTHEST_WEEKS)
    choice = generator.integers(0, back + ahead)
    weeks = np.where(choice < back, choice - back, choice - back + 1)
    return np.asarray(
        midnights[day + weeks * _DAYS_PER_WEEK] * MAX_HORIZON_HOURS + examples.leads[rows]
    )
