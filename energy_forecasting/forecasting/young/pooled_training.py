"""Fitting the pooled regression to one young meter, and judging it where there is enough to judge.

The base stands beside the meter's rows as so many rows of its own (``STRENGTH``): with two days
of history it speaks alone, with ten weeks it is one voice of two. How good it is cannot be told
of a history below JUDGED_FROM_DAYS; the card then has no skill.
"""

import numpy as np

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.model_card import ForecastMethod, Skill
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.fitted_model import FittedModel
from energy_forecasting.forecasting.grid import Hours, LocalGrid, at_reading_ends
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK
from energy_forecasting.forecasting.scale import seasonal_scale
from energy_forecasting.forecasting.young.pooled_base import MeterSums, PooledBase
from energy_forecasting.forecasting.young.pooled_moments import (
    count_residuals,
    fit_location,
    fit_spread,
    quantiles_of,
    solve_coefficients,
    spread_of,
)
from energy_forecasting.forecasting.young.pooled_regression import (
    COEFFICIENTS,
    LEAD_DAYS,
    QUANTILES,
    SELECTION,
    SPREAD,
    dispersions,
    lead_days,
    pooled_quantiles,
    selection_of,
)
from energy_forecasting.forecasting.young.pooled_rows import PooledRows

#: Rows of the base beside a meter's own, by lead day: the nearest day shows most of the meter.
STRENGTH = np.array([500.0, *[1500.0] * (LEAD_DAYS - 1)])

#: The same for the spread and for the quantiles of residuals.
SPREAD_STRENGTH = np.full(LEAD_DAYS, 3000.0)

#: The future differs more from the past than one week from the others; the next day hardly.
INFLATION = np.array([1.0, *[1.04] * (LEAD_DAYS - 1)])[:, None]

#: With less, weeks left out would leave nothing to learn from.
JUDGED_FROM_DAYS = 28

_ROUNDS = 4
_MEDIAN = QUANTILE_LEVELS.index(0.5)

#: The history is left out in so many blocks in turn, of two days or longer.
_MOST_BLOCKS = 6
_SHORTEST_BLOCK = 2 * HOURS_PER_DAY

#: Before the first origin: two days, so that each hour has been seen.
_FIRST_ORIGIN = 2 * HOURS_PER_DAY


def fit_pooled(grid: LocalGrid, base: PooledBase) -> FittedModel:
    """Fit to a meter's grid of at least two days."""
    scale = seasonal_scale(grid.consumption)
    first = int(np.flatnonzero(np.isfinite(grid.consumption))[0])
    selection, prior = selection_of(base.names), base.total
    tables = {
        COEFFICIENTS: solve_coefficients(prior.location.worth(STRENGTH)),
        SPREAD: fit_spread(*_no_rows(3), prior=prior.spread.worth(SPREAD_STRENGTH))[0],
        QUANTILES: INFLATION * quantiles_of(prior.counts),
        SELECTION: selection,
    }
    skill: Skill | None = None
    origins = _origins(first, len(grid), grid.inside)
    if origins:
        rows = PooledRows.of(grid, origins, scale=scale)
        days = lead_days(rows.features, selection)
        residuals = _left_out_residuals(rows, days, prior, first=first, end=len(grid))
        tables |= _fitted_tables(rows, days, residuals, prior, selection)
        if len(grid) - first >= JUDGED_FROM_DAYS * HOURS_PER_DAY:
            skill = _judged(rows, residuals, tables, first=first)
    return FittedModel(
        method=ForecastMethod.POOLED_REGRESSION,
        weights={name: table.astype(np.float32) for name, table in tables.items()},
        feature_names=base.names,
        scale=scale,
        skill=skill,
    )


def _fitted_tables(
    rows: PooledRows, days: Hours, residuals: Values, prior: MeterSums, selection: Values
) -> dict[str, Values]:
    coefficients, _ = fit_location(
        rows.features,
        rows.departures,
        days,
        prior=prior.location.worth(STRENGTH),
        rounds=_ROUNDS,
    )
    dispersion = dispersions(rows.features, selection)
    factors, _ = fit_spread(dispersion, residuals, days, prior=prior.spread.worth(SPREAD_STRENGTH))
    own = count_residuals(residuals, spread_of(dispersion, factors, days), days)
    known = prior.counts.sum(axis=1, keepdims=True)
    counts = own + prior.counts * SPREAD_STRENGTH[:, None] / np.maximum(known, 1.0)
    return {
        COEFFICIENTS: coefficients,
        SPREAD: factors,
        QUANTILES: INFLATION * quantiles_of(counts),
    }


def _left_out_residuals(
    rows: PooledRows, days: Hours, prior: MeterSums, *, first: int, end: int
) -> Values:
    """Return departures minus what coefficients say that did not learn from the target's block."""
    count = min(_MOST_BLOCKS, max((end - first) // HOURS_PER_WEEK, 1))
    count = max(count, min(2, (end - first) // _SHORTEST_BLOCK))
    blocks = (rows.targets - first) * count // (end - first)
    residuals = np.empty(len(rows))
    for block in range(count):
        out = blocks == block
        learnt = rows.only(~out)
        coefficients, _ = fit_location(
            learnt.features,
            learnt.departures,
            days[~out],
            prior=prior.location.worth(STRENGTH),
            rounds=_ROUNDS,
        )
        said = np.einsum("nf,nf->n", rows.features[out], coefficients[days[out]])
        residuals[out] = rows.departures[out] - said
    return residuals


def _judged(rows: PooledRows, residuals: Values, tables: dict[str, Values], *, first: int) -> Skill:
    """Return the skill on the hours that last week's values can forecast."""
    scored = rows.origins >= first + HOURS_PER_WEEK
    judged = rows.only(scored)
    departures, errors = judged.departures, residuals[scored]
    # Intervals around the left-out forecast; their shape has seen these residuals, as one of many.
    shape = pooled_quantiles(tables, judged.features)
    quantiles = shape - shape[:, [_MEDIAN]] + (departures - errors)[:, None]
    error = float(np.abs(errors).mean())
    naive_error = float(np.abs(departures - judged.last_week).mean())
    return Skill(
        mase=error,
        naive_mase=naive_error,
        skill=1.0 - error / naive_error if naive_error > 0 else 0.0,
        wape=metrics.wape(
            judged.base + departures * judged.scale,
            judged.base + (departures - errors) * judged.scale,
        ),
        crps=metrics.crps(departures, quantiles, QUANTILE_LEVELS),
        coverage80=metrics.coverage(departures, quantiles[:, 0], quantiles[:, -1]),
        zero_mase=metrics.zero_mase(judged.base + departures * judged.scale, judged.scale),
        scored_hours=len(departures),
    )


def _no_rows(columns: int) -> tuple[Values, Values, Hours]:
    return np.zeros((0, columns)), np.zeros(0), np.zeros(0, dtype=np.int64)


def _origins(first: int, end: int, inside: Hours) -> list[int]:
    """Return the midnights with two days before them, and on every other day one more hour.

    Without these a forecast at noon is worse (see ``examples.py``).
    """
    start = -(-(first + _FIRST_ORIGIN) // HOURS_PER_DAY) * HOURS_PER_DAY
    midnights = np.arange(start, end, HOURS_PER_DAY)
    hours = 1 + np.arange(len(midnights[:-1:2])) * 7 % (HOURS_PER_DAY - 1)
    origins = np.sort(np.concatenate([midnights, midnights[:-1:2] + hours]))
    return [int(origin) for origin in at_reading_ends(origins, inside, range(start, end))]
