"""What is kept of rows once they are learnt from: sums, which meters can add up.

The regression by least absolute deviations is solved as a series of weighted least squares,
whose normal equations are sums over rows. So the rows of many meters pool by adding their sums,
a meter is left out by subtracting, and a thousand rows' worth of a fleet stand beside a young
meter's own few: coefficients = (own + strength * fleet per row) solved at once.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.features import Rows
from energy_forecasting.forecasting.grid import Hours
from energy_forecasting.forecasting.young.pooled_regression import LEAD_DAYS, SMALLEST_SPREAD

#: Smaller residuals weigh no more than one of this size, in units of scale.
_SMALLEST_RESIDUAL = 0.1
_RIDGE = 3.0
_SPREAD_ROUNDS = 3
_DESCENTS = 100
_MEDIAN = QUANTILE_LEVELS.index(0.5)

#: Targets and residuals further away, in units of scale, are spikes.
_TARGET_CLIP = 8.0

#: Residuals over spread are counted between these, finer in the middle.
_EDGES = 0.2 * np.sinh(np.linspace(-5.0, 5.0, 401))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Moments:
    """Weighted sums of d explaining columns and a target, by lead day."""

    gram: Values  #: [LEAD_DAYS, d, d]
    cross: Values  #: [LEAD_DAYS, d]
    rows: Values  #: [LEAD_DAYS] number of rows

    @classmethod
    def of(cls, design: Values | Rows, target: Values, weights: Values, days: Hours) -> Self:
        """Sum up n rows.

        Args:
            design: [n, d].
            target: [n].
            weights: [n].
            days: [n] lead days.
        """
        size = design.shape[1]
        gram, cross = np.zeros((LEAD_DAYS, size, size)), np.zeros((LEAD_DAYS, size))
        rows = np.zeros(LEAD_DAYS)
        for day in range(LEAD_DAYS):
            chosen = days == day
            own = design[chosen].astype(np.float64)
            weighted = own * weights[chosen, None]
            gram[day], cross[day] = weighted.T @ own, weighted.T @ target[chosen]
            rows[day] = chosen.sum()
        return cls(gram=gram, cross=cross, rows=rows)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            gram=self.gram + other.gram, cross=self.cross + other.cross, rows=self.rows + other.rows
        )

    def __sub__(self, other: Self) -> Self:
        return type(self)(
            gram=self.gram - other.gram, cross=self.cross - other.cross, rows=self.rows - other.rows
        )

    def worth(self, rows: Values) -> Self:
        """Return the same with the weight of so many rows, [LEAD_DAYS]."""
        factor = rows / np.maximum(self.rows, 1.0)
        return type(self)(
            gram=self.gram * factor[:, None, None],
            cross=self.cross * factor[:, None],
            rows=self.rows * factor,
        )


def absolute_deviation_weights(residuals: Values) -> Values:
    """Return the weights under which squares count as absolute values."""
    return np.asarray(1.0 / np.maximum(np.abs(residuals), _SMALLEST_RESIDUAL))


def solve_coefficients(moments: Moments) -> Values:
    """Return the coefficients, [LEAD_DAYS, d]; a small ridge keeps them defined."""
    ridge = _RIDGE * np.eye(moments.cross.shape[1])
    return np.asarray(np.linalg.solve(moments.gram + ridge, moments.cross[..., None])[..., 0])


def clipped_targets(departures: Values) -> Values:
    """Return departures without the weight of spikes, [n]."""
    return np.clip(departures, -_TARGET_CLIP, _TARGET_CLIP)


def residual_sizes(residuals: Values) -> Values:
    """Return absolute residuals without the weight of spikes, [n]."""
    return np.minimum(np.abs(residuals), _TARGET_CLIP)


def fit_location(
    features: Rows, departures: Values, days: Hours, *, prior: Moments | None, rounds: int
) -> tuple[Values, Moments]:
    """Fit by least absolute deviations, with a prior's rows beside the given ones.

    Returns:
        Coefficients, [LEAD_DAYS, f], and the sums of the given rows alone.
    """
    size = features.shape[1]
    coefficients = np.zeros((LEAD_DAYS, size)) if prior is None else solve_coefficients(prior)
    moments = Moments.of(features[:0], departures[:0], departures[:0], days[:0])
    targets = clipped_targets(departures)
    for _ in range(rounds):
        residuals = targets - np.einsum("nf,nf->n", features, coefficients[days])
        weights = absolute_deviation_weights(residuals)
        moments = Moments.of(features, targets, weights, days)
        coefficients = solve_coefficients(moments if prior is None else moments + prior)
    return coefficients, moments


def fit_spread(
    dispersion: Values, residuals: Values, days: Hours, *, prior: Moments | None
) -> tuple[Values, Moments]:
    """Fit the mean absolute residual as a sum of the dispersions with factors of 0 or more.

    Returns:
        Factors, [LEAD_DAYS, 3], and the sums of the given rows alone.
    """
    size = residual_sizes(residuals)
    spread = np.full(len(size), max(float(size.mean()), SMALLEST_SPREAD)) if len(size) else size
    moments = Moments.of(dispersion[:0], size[:0], size[:0], days[:0])
    factors = non_negative_factors(moments if prior is None else prior)
    for _ in range(_SPREAD_ROUNDS if len(size) else 0):
        # The likelihood of a Laplace distribution whose scale is the spread.
        moments = Moments.of(dispersion, size, 1.0 / spread**2, days)
        factors = non_negative_factors(moments if prior is None else moments + prior)
        spread = spread_of(dispersion, factors, days)
    return factors, moments


def spread_of(dispersion: Values, factors: Values, days: Hours) -> Values:
    """Return the spread of rows, [n]."""
    spread = np.einsum("nd,nd->n", dispersion, factors[days])
    return np.asarray(np.maximum(spread, SMALLEST_SPREAD))


def non_negative_factors(moments: Moments) -> Values:
    """Return the least-squares factors that are not negative, [LEAD_DAYS, d]."""
    factors = np.zeros_like(moments.cross)
    diagonal = np.maximum(np.diagonal(moments.gram, axis1=1, axis2=2), 1e-9)
    for _ in range(_DESCENTS):
        for column in range(factors.shape[1]):
            rest = np.einsum("kd,kd->k", moments.gram[:, column], factors)
            step = (moments.cross[:, column] - rest) / diagonal[:, column]
            factors[:, column] = np.maximum(factors[:, column] + step, 0.0)
    return factors


def count_residuals(residuals: Values, spread: Values, days: Hours) -> Values:
    """Count residuals over spread in fixed bins, [LEAD_DAYS, bins]; counts add up over meters."""
    inside = np.clip(residuals / spread, _EDGES[0], _EDGES[-1])
    return np.array(
        [np.histogram(inside[days == day], _EDGES)[0] for day in range(LEAD_DAYS)], float
    )


def quantiles_of(counts: Values) -> Values:
    """Return the quantiles of residual over spread from counts, [LEAD_DAYS, 9], ascending.

    The middle one is 0: a meter's few weeks lean to one side by chance, and following them made
    the point forecast up to 1 % worse.
    """
    below = np.cumsum(counts, axis=1) / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
    below = np.concatenate([np.zeros((LEAD_DAYS, 1)), below], axis=1)
    quantiles = np.array([np.interp(QUANTILE_LEVELS, share, _EDGES) for share in below])
    quantiles[:, :_MEDIAN] = np.minimum(quantiles[:, :_MEDIAN], 0.0)
    quantiles[:, _MEDIAN] = 0.0
    quantiles[:, _MEDIAN + 1 :] = np.maximum(quantiles[:, _MEDIAN + 1 :], 0.0)
    return quantiles
