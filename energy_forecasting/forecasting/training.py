"""Training one meter: fit what its history allows, keep what serves best, say why on the card.

The network serves only where it beats the seasonal naive on hours that it did not learn, the
regression of a younger meter unless the naive is much better there.
Importing this module imports TensorFlow. A training cannot be interrupted within a step; the
listener may end it between steps by raising.
"""

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import keras
import numpy as np

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.model_card import (
    BaseUsed,
    DataSpan,
    ForecastMethod,
    ModelCard,
    Skill,
)
from energy_forecasting.domain.readings import History, Timestamps, to_datetime
from energy_forecasting.domain.trainings import ProgressListener, TrainingOptions, TrainingPhase
from energy_forecasting.forecasting.expectation import Expectation
from energy_forecasting.forecasting.fitted_model import FittedModel
from energy_forecasting.forecasting.gating.gate import Contestant, Gate
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.naive_network import build_naive_network
from energy_forecasting.forecasting.naive_training import fit_naive
from energy_forecasting.forecasting.network import assign_weights, build_network
from energy_forecasting.forecasting.network_training import fit_network
from energy_forecasting.forecasting.progress import ProgressPlan
from energy_forecasting.forecasting.recipe import (
    LONGEST_HISTORY_DAYS,
    TUNING_NEEDS_DAYS,
    ensemble_members,
)
from energy_forecasting.forecasting.seasonal_naive import RESIDUAL_QUANTILES
from energy_forecasting.forecasting.validation import HistorySummary, validate_history
from energy_forecasting.forecasting.young.pooled_base import StoreBase
from energy_forecasting.forecasting.young.pooled_network import build_pooled_network
from energy_forecasting.forecasting.young.young_training import fit_young

_SOFTWARE = ("tensorflow", "keras", "keras-tuner", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainedModel:
    """A model ready to be written: ``network.save`` to a ``.h5``, then the card into it."""

    card: ModelCard
    network: keras.Model


def train(
    history: History,
    meter: Meter,
    profile: MeterProfile,
    options: TrainingOptions,
    listener: ProgressListener,
    *,
    gate: Gate | None = None,
    inside: Timestamps | None = None,
    base: StoreBase | None = None,
) -> TrainedModel:
    """Train one meter.

    Args:
        history: hourly readings (see ``domain.aggregation.to_hourly``).
        meter: whose readings they are.
        profile: time zone, country and unit.
        options: tuning trials and seed.
        listener: called at least twice a second with the share of the work done, by the few
            seconds of a young meter's training only at the ends; an exception that it raises ends
            the training and reaches the caller.
        gate: compares the new model with the champion for the card; None compares with nothing.
        inside: hours that begin within a reading of several hours (see
            ``domain.aggregation.hours_inside``); without them the model would learn to know
            what is only known later.
        base: what other meters of the type taught, for a short history; None means the sample
            meters that ship.

    Raises:
        InsufficientData: less than two days of history.
        DataQualityError: constant or infinite.
        TrainingFailed: training diverged.
    """
    started = time.perf_counter()
    recent = _recent_years(history)
    summary = validate_history(recent, profile)
    max_trials = options.max_trials if summary.days >= TUNING_NEEDS_DAYS else 0
    plan = ProgressPlan(listener, trials=max_trials + 1 if max_trials else 0)
    plan.reach(TrainingPhase.PREPARING, 0.0)
    calendar = LocalCalendar(timezone=profile.timezone, country=profile.country)
    grid = LocalGrid.from_history(recent, calendar)
    if inside is not None:
        grid = grid.with_long_readings(inside)
    naive = fit_naive(grid)
    used: BaseUsed | None = None
    if not summary.enough_for_network:
        young = fit_young(grid, meter, naive=naive, days=summary.days, base=base)
        fitted, reason, used = young.model, young.reason, young.base
    else:
        network = fit_network(
            grid,
            uses_temperature=summary.has_temperature,
            max_trials=max_trials,
            seed=options.seed,
            plan=plan,
        )
        fitted, reason = _better_of(network, naive=naive)
    plan.reach(TrainingPhase.CALIBRATING, 1.0)
    non_negative = bool(np.nanmin(recent.consumption) >= 0)
    zero_median = non_negative and _loses_to_zero(fitted.skill)
    if zero_median:
        reason += " While the meter mostly rests, zero, a better median, is served."
    card = ModelCard(
        meter_type=meter.meter_type,
        meter_id=meter.meter_id,
        version=_version(trained_at := datetime.now(UTC), fitted),
        method=fitted.method,
        method_reason=reason,
        trained_at=trained_at,
        unit=profile.unit,
        timezone=profile.timezone,
        country=profile.country,
        resolution_minutes=(
            profile.resolution.total_seconds() / 60 if profile.resolution is not None else None
        ),
        data=_data_span(recent, summary),
        skill=fitted.skill,
        skill_known_temperature=fitted.skill_known_temperature,
        importance=fitted.importance,
        importance_known_temperature=fitted.importance_known_temperature,
        uses_temperature=fitted.temperature_scale is not None,
        feature_names=list(fitted.feature_names),
        scale=fitted.scale,
        non_negative=non_negative,
        zero_median=zero_median,
        temperature_mean=fitted.temperature_scale.mean if fitted.temperature_scale else None,
        temperature_std=fitted.temperature_scale.std if fitted.temperature_scale else None,
        temperature_trust=fitted.temperature_trust,
        quantile_levels=list(QUANTILE_LEVELS),
        calibration={source.value: factors for source, factors in fitted.calibration.items()},
        tails={**naive.tails, **fitted.tails},
        base=used,
        baseline_residuals=np.round(naive.weights[RESIDUAL_QUANTILES], 6).tolist(),
        tuning=fitted.tuning,
        folds=fitted.folds,
        seed=options.seed,
        training_seconds=round(time.perf_counter() - started, 3),
        software={name: version(name) for name in _SOFTWARE},
    )
    if gate is not None:
        challenger = Contestant(card=card, weights=fitted.weights)
        card = card.model_copy(update={"gate": gate(grid, challenger)})
    return TrainedModel(card=card, network=_to_keras(fitted))


def _better_of(network: FittedModel, *, naive: FittedModel) -> tuple[FittedModel, str]:
    """Return the model that serves and the sentence that says why."""
    skill = network.skill
    if skill is None or not skill.skill > 0:  # NaN does not beat anything either
        return naive, (
            "Last week's values are as good: the network's error out of fold is "
            f"{skill.mase:.3f} against {skill.naive_mase:.3f}."
            if skill
            else "The network could not be measured."
        )
    return network, (
        f"The network beats last week's values out of fold by {skill.skill:.0%}: "
        f"MASE {skill.mase:.3f} against {skill.naive_mase:.3f}."
    )


def _loses_to_zero(skill: Skill | None) -> bool:
    return skill is not None and skill.zero_mase is not None and skill.zero_mase < skill.mase


def _to_keras(fitted: FittedModel) -> keras.Model:
    if fitted.method is ForecastMethod.POOLED_REGRESSION:
        return build_pooled_network(fitted.weights)
    if fitted.method is ForecastMethod.SEASONAL_NAIVE:
        return build_naive_network(np.asarray(fitted.weights[RESIDUAL_QUANTILES]))
    members = ensemble_members(uses_temperature=fitted.temperature_scale is not None)
    network = build_network(
        len(fitted.feature_names),
        members,
        has_expectation=Expectation.from_weights(fitted.weights) is not None,
    )
    assign_weights(network, fitted.weights)
    return network


def _recent_years(history: History) -> History:
    """Cut off what is too old to learn from; an empty history stays empty."""
    if not len(history):
        return history
    oldest = history.timestamps[-1] - np.timedelta64(LONGEST_HISTORY_DAYS, "D")
    first = int(np.searchsorted(history.timestamps, oldest))
    return History(
        timestamps=history.timestamps[first:],
        consumption=history.consumption[first:],
        temperature=history.temperature[first:],
    )


def _data_span(history: History, summary: HistorySummary) -> DataSpan:
    known = history.timestamps[np.isfinite(history.consumption)]
    return DataSpan(
        first_reading=to_datetime(known[0]),
        last_reading=to_datetime(known[-1]),
        readings=summary.readings,
        missing_share=round(summary.missing_share, 6),
        lowest=float(np.nanmin(history.consumption)),
        highest=float(np.nanmax(history.consumption)),
    )


def _version(trained_at: datetime, fitted: FittedModel) -> str:
    """Return the UTC time and a digest of the weights, so that equal models can be told."""
    digest = hashlib.sha256()
    for name in sorted(fitted.weights):
        digest.update(np.ascontiguousarray(fitted.weights[name]).tobytes())
    return f"{trained_at:%Y%m%dT%H%M%SZ}-{digest.hexdigest()[:8]}"
