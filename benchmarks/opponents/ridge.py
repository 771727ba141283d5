"""Ridge regression on the product's features: one linear model per hour of day.

Neighbouring hours count half, which steadies the 24 models. The penalty is chosen on the last
four weeks; the final models learn from all rows. Being linear, it knows no interactions but
those that the features already hold.
"""

import numpy as np

from benchmarks.backtest import Backtest, Predictor
from benchmarks.opponents.product_features import FeatureRows, Learner
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.features import Rows
from energy_forecasting.forecasting.grid import Flags, Hours
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.recipe import FEATURE_CLIP

_PENALTIES = (10.0, 100.0, 1000.0, 10_000.0)
_NEIGHBOUR_WEIGHT = 0.5

#: The hour of day of a row is read from its features: the first harmonic of the hour.
_HOUR_SIN, _HOUR_COS = "hour_sin_1", "hour_cos_1"


def fit(backtest: Backtest) -> Predictor:
    """Choose the penalty on the tail, then learn from everything."""
    rows = FeatureRows.of(backtest)
    early, tail = _Moments(rows, rows.early), rows.tail
    features, actual = rows.examples.features[tail], rows.examples.departures[tail]
    judged = {penalty: early.solve(penalty) for penalty in _PENALTIES}
    errors = {
        penalty: float(np.mean(np.abs(actual - learner(features))))
        for penalty, learner in judged.items()
    }
    best = min(errors, key=errors.__getitem__)
    final = _Moments(rows, rows.examples.known).solve(best)
    return rows.predictor(final, judged=judged[best])


class _Moments:
    """Cross products of features and targets by hour of day, from which any penalty is solved."""

    def __init__(self, rows: FeatureRows, used: Flags) -> None:
        self._examples = rows.examples
        self._sine = rows.examples.names.index(_HOUR_SIN)
        self._cosine = rows.examples.names.index(_HOUR_COS)
        features, targets = rows.examples.features[used], rows.examples.departures[used]
        design, hours = self._design(features), self._hours(features)
        squares, products = [], []
        for hour in range(HOURS_PER_DAY):
            own = design[hours == hour]
            squares.append(own.T @ own)
            products.append(own.T @ targets[hours == hour])
        self._squares = _with_neighbours(np.array(squares))
        self._products = _with_neighbours(np.array(products))

    def solve(self, penalty: float) -> Learner:
        """Return the models of one penalty."""
        size = self._squares.shape[-1]
        penalties = np.full(size, penalty)
        penalties[-1] = 1e-3  # the intercept is free
        coefficients = np.linalg.solve(
            self._squares + np.diag(penalties), self._products[..., None]
        )[..., 0]

        def learner(features: Rows) -> Values:
            chosen = coefficients[self._hours(features)]
            return np.asarray(np.einsum("nf,nf->n", self._design(features), chosen))

        return learner

    def _design(self, features: Rows) -> Values:
        """Return standardised, clipped features and a constant, [n, f + 1]."""
        scaled = (features - self._examples.mean) / self._examples.deviation
        clipped = np.clip(scaled, -FEATURE_CLIP, FEATURE_CLIP)
        return np.column_stack([clipped, np.ones(len(features))])

    def _hours(self, features: Rows) -> Hours:
        angle = np.arctan2(features[:, self._sine], features[:, self._cosine])
        return np.rint(angle * HOURS_PER_DAY / (2.0 * np.pi)).astype(np.int64) % HOURS_PER_DAY


def _with_neighbours(by_hour: Values) -> Values:
    return np.asarray(
        by_hour + _NEIGHBOUR_WEIGHT * (np.roll(by_hour, 1, axis=0) + np.roll(by_hour, -1, axis=0))
    )
