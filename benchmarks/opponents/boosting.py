"""LightGBM with early stopping on the last four weeks, then refitted on everything.

The trees of the judged model give honest errors for the intervals; the refitted one, with a
tenth more trees for its additional rows, forecasts. Needs the package ``lightgbm``.
"""

from collections.abc import Callable, Mapping

import lightgbm

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.features import Rows
from energy_forecasting.forecasting.grid import Flags

_MOST_TREES = 600
_PATIENCE = 50

_COMMON = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "bagging_freq": 1,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
    "verbose": -1,
}

Boosted = Callable[[Rows], Values]


def fit_boosted(
    features: Rows,
    targets: Values,
    *,
    early: Flags,
    tail: Flags,
    known: Flags,
    parameters: Mapping[str, object],
) -> tuple[Boosted, Boosted]:
    """Fit twice; return the model of all known rows and the one judged on the tail.

    Args:
        features: [n, f].
        targets: [n].
        early: rows that the judged model learns from.
        tail: rows that stop it.
        known: all rows with a target, for the final model.
        parameters: of LightGBM, on top of the common ones.
    """
    settings = {**_COMMON, **parameters}
    learnt = lightgbm.Dataset(features[early], targets[early])
    judged = lightgbm.train(
        settings,
        learnt,
        _MOST_TREES,
        valid_sets=[lightgbm.Dataset(features[tail], targets[tail], reference=learnt)],
        callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
    )
    trees = int(judged.best_iteration * 1.1) + 1
    final = lightgbm.train(settings, lightgbm.Dataset(features[known], targets[known]), trees)
    return _predict(final), _predict(judged)


def _predict(booster: lightgbm.Booster) -> Boosted:
    return lambda features: booster.predict(features, num_threads=1)
