"""What a quantile network forecasts from any number of origins, as training left it.

Nothing learnt after the training enters here; ``live.py`` does that.
"""

import numpy as np

from energy_forecasting.domain.forecasts import TemperatureSource
from energy_forecasting.domain.model_card import ModelCard
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
from energy_forecasting.forecasting.recipe import ensemble_members, member_positions

#: Days of history before the origin that a forecast looks at.
RECENT_DAYS = 42

#: A forecast further outside the training's range than its whole width is not to be believed.
ABSURD_WIDTHS = 1.0


def temperature_scale(card: ModelCard) -> TemperatureScale | None:
    """Return the scale of a model that can use temperature; None of any other."""
    if card.temperature_mean is None or card.temperature_std is None:
        return None
    return TemperatureScale(mean=card.temperature_mean, std=card.temperature_std)


def network_features(
    card: ModelCard,
    weights: Weights,
    grid: LocalGrid,
    origins: Hours,
    leads: int,
    *,
    temperature_ahead: Values | None,
) -> FeatureRows:
    """Return what the network of a card sees of n origins.

    Args:
        card: of a quantile network.
        weights: as its artifact holds them.
        grid: the history; only hours before each origin are looked at.
        origins: [n] grid hours.
        leads: hours from each origin on.
        temperature_ahead: [n, leads] degrees Celsius, for a model that can use them; None builds
            the features of the members that need none.
    """
    expectation = Expectation.from_weights(weights)
    known_temperature = temperature_scale(card) if temperature_ahead is not None else None
    return build_features(
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


def evaluate(
    card: ModelCard,
    weights: Weights,
    rows: Rows,
    *,
    base: Values,
    leads: Hours,
    source: TemperatureSource,
) -> Values:
    """Return the calibrated forecasts of n rows, [n, 9] in the meter's unit.

    Args:
        card: of a quantile network.
        weights: as its artifact holds them.
        rows: [n, f] features; those of temperature, the last ones, may be missing.
        base: [n] as built with the features.
        leads: [n] hours from the origin.
        source: which ensemble answers.
    """
    # Members blind to temperature need its columns, but not what is in them.
    features = np.zeros((len(rows), len(card.feature_names)), dtype=np.float32)
    features[:, : rows.shape[1]] = rows
    answering = member_positions(ensemble_members(uses_temperature=card.uses_temperature))
    departures = apply_multipliers(
        ensemble_quantiles(weights, features, answering[source]),
        leads,
        card.calibration[source.value],
    )
    return np.asarray(base[:, None] + departures * card.scale)


def network_quantiles(
    card: ModelCard,
    weights: Weights,
    grid: LocalGrid,
    origins: Hours,
    leads: int,
    *,
    temperature_ahead: Values | None,
) -> Values:
    """Return calibrated forecasts of n origins, [n, leads, 9]; see the two functions above."""
    built = network_features(
        card, weights, grid, origins, leads, temperature_ahead=temperature_ahead
    )
    sighted = temperature_ahead is not None
    quantiles = evaluate(
        card,
        weights,
        built.values.reshape(len(origins) * leads, -1),
        base=built.base.reshape(-1),
        leads=np.tile(np.arange(leads), len(origins)),
        source=TemperatureSource.REQUEST if sighted else TemperatureSource.UNUSED,
    )
    return quantiles.reshape(len(origins), leads, -1)


def is_absurd(card: ModelCard, quantiles: Values) -> Flags:
    """Tell which forecasts, [..., hours, 9], leave what the meter has shown by ABSURD_WIDTHS."""
    data = card.data
    margin = ABSURD_WIDTHS * max(data.highest - data.lowest, card.scale)
    is_sane = (quantiles >= data.lowest - margin) & (quantiles <= data.highest + margin)
    return np.asarray(~is_sane.all(axis=(-2, -1)))  # NaN is not sane either
