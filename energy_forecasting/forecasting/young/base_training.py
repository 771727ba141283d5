"""Learning a base from meters with long histories.

Their rows are made as young meters' are: each knows one, two or four weeks. Residuals and
spread come from coefficients of the *other* meters, for that is how the base meets a new one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.grid import Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY, HOURS_PER_WEEK
from energy_forecasting.forecasting.scale import seasonal_scale
from energy_forecasting.forecasting.young.pooled_base import MeterSums, PooledBase
from energy_forecasting.forecasting.young.pooled_moments import (
    Moments,
    absolute_deviation_weights,
    clipped_targets,
    count_residuals,
    fit_spread,
    residual_sizes,
    solve_coefficients,
    spread_of,
)
from energy_forecasting.forecasting.young.pooled_regression import (
    LEAD_DAYS,
    dispersions,
    lead_days,
    selection_of,
)
from energy_forecasting.forecasting.young.pooled_rows import PooledRows

#: With less than that, a meter's errors say little about those of others.
BASE_METER_NEEDS_DAYS = 56

#: Weeks that the rows know, in turn.
_WEEKS_KNOWN = (1, 2, 4, 4)

#: Origins of one meter at most, and of all together: memory and time are bounded.
_ORIGINS_PER_METER = 240
_ORIGINS_IN_ALL = 4800

_ROUNDS = 6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LearntBase:
    """A base and how good it is on meters that it does not know."""

    base: PooledBase
    mase: float  #: a week ahead, each meter predicted without its own readings, scale units
    naive_mase: float  #: last week's values on the same hours
    rows: int


def base_rows(grid: LocalGrid, *, meters: int) -> PooledRows:
    """Return a meter's rows, thinned out so that ``meters`` of them fit into memory."""
    count = min(_ORIGINS_PER_METER, max(_ORIGINS_IN_ALL // meters, len(_WEEKS_KNOWN)))
    first = np.flatnonzero(np.isfinite(grid.consumption))[0]
    days = np.arange(4 * 7 + first // HOURS_PER_DAY + 1, len(grid) // HOURS_PER_DAY - 1)
    days = np.unique(days[np.linspace(0, len(days) - 1, count).astype(int)])
    # Half of the origins of each kind stand at midnight; steps of 7 reach all other hours.
    number = np.arange(len(days))
    at_midnight = number // len(_WEEKS_KNOWN) % 2 == 0
    hours = np.where(at_midnight, 0, number * 7 % HOURS_PER_DAY)
    origins = (days * HOURS_PER_DAY + hours).tolist()
    return PooledRows.of(
        grid,
        [origin for origin in origins if _is_known(grid, origin)] or origins[-1:],
        scale=seasonal_scale(grid.consumption),
        weeks_known=_WEEKS_KNOWN,
    )


def learn_base(
    rows: Mapping[str, PooledRows],
    *,
    known: PooledBase | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> LearntBase:
    """Learn from the rows of at least two meters, beside those of a base that is known.

    Args:
        rows: ``type/id`` to the meter's rows.
        known: a base whose meters are added.
        on_progress: called with the share done, 0 to 1.
    """
    if known is not None:  # a meter counts once
        others = {name: sums for name, sums in known.meters.items() if name not in rows}
        known = replace(known, meters=others) if others else None
    names = next(iter(rows.values())).names
    selection = selection_of(names)
    days = {meter: lead_days(own.features, selection) for meter, own in rows.items()}
    start = known.total.location if known else None
    parts = _location_sums(rows, days, start, on_progress)
    everything = _sum(parts.values(), start)

    residuals = {
        meter: own.departures
        - np.einsum(
            "nf,nf->n",
            own.features,
            solve_coefficients(everything - parts[meter])[days[meter]],
        )
        for meter, own in rows.items()
    }
    dispersion = {meter: dispersions(own.features, selection) for meter, own in rows.items()}
    factors, _ = fit_spread(
        np.concatenate(list(dispersion.values())),
        np.concatenate(list(residuals.values())),
        np.concatenate(list(days.values())),
        prior=known.total.spread if known else None,
    )
    sums: dict[str, MeterSums] = {}
    for meter in rows:
        spread = spread_of(dispersion[meter], factors, days[meter])
        size = residual_sizes(residuals[meter])
        sums[meter] = MeterSums(
            location=parts[meter],
            spread=Moments.of(dispersion[meter], size, 1.0 / spread**2, days[meter]),
            counts=count_residuals(residuals[meter], spread, days[meter]),
        )
    on_progress(1.0)
    return LearntBase(
        base=PooledBase(names=names, meters={**(known.meters if known else {}), **sums}),
        mase=_mean_size(residuals.values()),
        naive_mase=_mean_size(own.departures - own.last_week for own in rows.values()),
        rows=sum(len(own) for own in rows.values()),
    )


def _location_sums(
    rows: Mapping[str, PooledRows],
    days: Mapping[str, Hours],
    start: Moments | None,
    on_progress: Callable[[float], None],
) -> dict[str, Moments]:
    """Return each meter's sums under the weights of the regression over all of them."""
    size = next(iter(rows.values())).features.shape[1]
    coefficients = np.zeros((LEAD_DAYS, size)) if start is None else solve_coefficients(start)
    parts: dict[str, Moments] = {}
    for finished in range(_ROUNDS):
        for meter, own in rows.items():
            day = days[meter]
            targets = clipped_targets(own.departures)
            residuals = targets - np.einsum("nf,nf->n", own.features, coefficients[day])
            weights = absolute_deviation_weights(residuals)
            parts[meter] = Moments.of(own.features, targets, weights, day)
        coefficients = solve_coefficients(_sum(parts.values(), start))
        on_progress((finished + 1) / (_ROUNDS + 1))
    return parts


def _sum(parts: Iterable[Moments], start: Moments | None) -> Moments:
    first, *rest = parts
    total = first if start is None else start + first
    for part in rest:
        total = total + part
    return total


def _mean_size(residuals: Iterable[Values]) -> float:
    """Return the mean over meters of the mean absolute residual."""
    return float(np.mean([np.abs(each).mean() for each in residuals]))


def _is_known(grid: LocalGrid, origin: int) -> bool:
    """Whether most of the week before an origin was measured."""
    week = grid.consumption[max(origin - HOURS_PER_WEEK, 0) : origin]
    return bool(np.isfinite(week).mean() > 0.5)  # noqa: PLR2004 - most
