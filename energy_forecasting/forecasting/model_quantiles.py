"""What a trained model forecasts from any number of origins, as training left it.

Nothing learnt after the training enters here; ``live_calibration.py`` does that.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from energy_forecasting.domain.forecasts import TemperatureSource
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS
from energy_forecasting.domain.model_card import ForecastMethod, ModelCard
from energy_forecasting.domain.readings import Values
from energy_forecasting.forecasting.calibration import apply_multipliers
from energy_forecasting.forecasting.evaluation import Weights, ensemble_quantiles
from energy_forecasting.forecasting.expectation import Expectation
from energy_forecasting.forecasting.features import (
    FeatureRows,
    Rows,
    TemperatureScale,
    build_features,
)
from energy_forecasting.forecasting.grid import Flags, Hours, LocalGrid
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.recipe import ensemble_members, member_positions
from energy_forecasting.forecasting.temperature_ahead import TemperatureAhead
from energy_forecasting.forecasting.young.pooled_regression import pooled_quantiles, select_features

#: Days of history before the origin that a forecast looks at.
RECENT_DAYS = 42

#: A forecast further outside the training's range than its whole width is not to be believed.
ABSURD_WIDTHS = 1.0

#: A few days have not shown yet what a meter can do.
YOUNG_READINGS, ABSURD_WIDTHS_YOUNG = 28 * HOURS_PER_DAY, 4.0


def temperature_scale(card: ModelCard) -> TemperatureScale | None:
    """Return the scale of a model that can use temperature; None of any other."""
    if card.temperature_mean is None or card.temperature_std is None:
        return None
    return TemperatureScale(mean=card.temperature_mean, std=card.temperature_std)


def model_features(
    card: ModelCard,
    weights: Weights,
    grid: LocalGrid,
    origins: Hours,
    leads: int,
    *,
    temperature_ahead: Values | None,
) -> FeatureRows:
    """Return what the model of a card sees of n origins.

    Args:
        card: of a quantile network or a pooled regression.
        weights: as its artifact holds them.
        grid: the history; only hours before each origin are looked at.
        origins: [n] grid hours.
        leads: hours from each origin on.
        temperature_ahead: [n, leads] degrees Celsius, for a model that can use them; None builds
            the features of the members that need none.
    """
    expectation = Expectation.from_weights(weights)
    known_temperature = None
    if temperature_ahead is not None and card.temperature_mean is not None:
        known_temperature = temperature_scale(card)
        grid = with_some_temperature(grid, card.temperature_mean)
    built = build_features(
        grid,
        origins,
        leads,
        scale=card.scale,
        temperature_ahead=temperature_ahead,
        temperature_scale=known_temperature,
        surprises=expectation.surprises(grid, scale=card.scale, temperature_scale=known_temperature)
        if expectation is not None
        else None,
    )
    if card.method is ForecastMethod.POOLED_REGRESSION:
        return select_features(built, card.feature_names)
    return built


def evaluate(
    card: ModelCard, weights: Weights, rows: Rows, *, base: Values, leads: Hours, trust: Values
) -> Values:
    """Return the calibrated forecasts of n rows, [n, 9] in the meter's unit.

    Args:
        card: of a quantile network or a pooled regression.
        weights: as its artifact holds them.
        rows: [n, f] features; those of temperature, the last ones, may be missing.
        base: [n] as built with the features.
        leads: [n] hours from the origin.
        trust: [n] weight of the members that see temperature, 0 to 1; the others have the rest.
    """
    if card.method is ForecastMethod.POOLED_REGRESSION:
        departures = pooled_quantiles(weights, rows)
        return np.asarray(base[:, None] + departures * card.scale)
    # Members blind to temperature need its columns, but not what is in them.
    features = np.zeros((len(rows), len(card.feature_names)), dtype=np.float32)
    features[:, : rows.shape[1]] = rows
    answering = member_positions(ensemble_members(uses_temperature=card.uses_temperature))
    departures = np.zeros((len(rows), len(card.quantile_levels)))
    for source, share in (
        (TemperatureSource.REQUEST, trust),
        (TemperatureSource.UNUSED, 1.0 - trust),
    ):
        if share.any():
            seen = ensemble_quantiles(weights, features, answering[source])
            calibrated = apply_multipliers(seen, leads, card.calibration[source.value])
            departures += share[:, None] * calibrated
    return np.asarray(base[:, None] + departures * card.scale)


def week_quantiles(
    card: ModelCard,
    weights: Weights,
    grid: LocalGrid,
    origins: Hours,
    ahead: Sequence[TemperatureAhead | None],
) -> Values:
    """Return calibrated forecasts of a week from n origins, [n, 168, 9] in the meter's unit.

    Args:
        card: of a quantile network or a pooled regression.
        weights: as its artifact holds them.
        grid: the history; only hours before each origin are looked at.
        origins: [n] grid hours.
        ahead: n temperatures of the 168 hours, None where none can be used.
    """
    leads = MAX_HORIZON_HOURS
    unknown = np.full(leads, card.temperature_mean or 0.0), np.zeros(leads)
    each = [(one.degrees, one.trust) if one is not None else unknown for one in ahead]
    degrees = np.array([degrees for degrees, _ in each])
    built = model_features(
        card,
        weights,
        grid,
        origins,
        leads,
        temperature_ahead=degrees if card.uses_temperature else None,
    )
    quantiles = evaluate(
        card,
        weights,
        built.values.reshape(len(origins) * leads, -1),
        base=built.base.reshape(-1),
        leads=np.tile(np.arange(leads), len(origins)),
        trust=np.concatenate([trust for _, trust in each]),
    )
    return quantiles.reshape(len(origins), leads, -1)


def with_some_temperature(grid: LocalGrid, mean: float) -> LocalGrid:
    """Fall back to the training's mean where no temperature was measured at all."""
    if np.isfinite(grid.temperature).any():
        return grid
    return replace(grid, temperature=np.full(len(grid), mean))


def is_absurd(card: ModelCard, quantiles: Values) -> Flags:
    """Tell which forecasts, [..., hours, 9], leave what the meter has shown by ABSURD_WIDTHS."""
    data = card.data
    widths = ABSURD_WIDTHS_YOUNG if data.readings < YOUNG_READINGS else ABSURD_WIDTHS
    margin = widths * max(data.highest - data.lowest, card.scale)
    is_sane = (quantiles >= data.lowest - margin) & (quantiles <= data.highest + margin)
    return np.asarray(~is_sane.all(axis=(-2, -1)))  # NaN is not sane either
