"""LightGBM on the product's features: the same knowledge, another learner.

One model of absolute error serves all leads, as the product's network does.
"""

from benchmarks.backtest import Backtest, Predictor
from benchmarks.opponents.boosting import fit_boosted
from benchmarks.opponents.product_features import FeatureRows

_PARAMETERS = {
    "objective": "l1",
    "min_data_in_leaf": 50,
    "bagging_fraction": 0.7,
    "feature_fraction": 0.5,
    "lambda_l2": 1.0,
}


def fit(backtest: Backtest) -> Predictor:
    """Fit on the rows that the product learns from."""
    rows = FeatureRows.of(backtest)
    final, judged = fit_boosted(
        rows.examples.features,
        rows.examples.departures,
        early=rows.early,
        tail=rows.tail,
        known=rows.examples.known,
        parameters=_PARAMETERS,
    )
    return rows.predictor(final, judged=judged)
