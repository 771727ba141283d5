"""Fitting the quantile network to one meter: tune, fit, predict out of fold, calibrate."""

from energy_forecasting.domain.forecasts import TemperatureSource
from energy_forecasting.domain.model_card import (
    ForecastMethod,
    Importance,
    Skill,
    TuningReport,
)
from energy_forecasting.domain.readings import Values
from energy_forecasting.domain.trainings import TrainingPhase
from energy_forecasting.forecasting.calibration import Multipliers, Tails
from energy_forecasting.forecasting.ensemble import EnsembleFitter
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.explaining.importance import group_importance
from energy_forecasting.forecasting.fitted_model import FittedModel
from energy_forecasting.forecasting.gating.honest_hours import folds_of
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.out_of_fold import best_trust, calibrate, predict_out_of_fold
from energy_forecasting.forecasting.progress import ProgressPlan
from energy_forecasting.forecasting.recipe import (
    DEFAULT_SETTINGS,
    LEARNT_TEMPERATURE_ERROR,
    Settings,
    member_positions,
)


def fit_network(
    grid: LocalGrid, *, uses_temperature: bool, max_trials: int, seed: int, plan: ProgressPlan
) -> FittedModel:
    """Fit the network to a meter's grid of at least NETWORK_NEEDS_DAYS.

    Raises:
        TrainingFailed: training diverged.
    """
    examples = TrainingExamples.from_grid(
        grid, uses_temperature=uses_temperature
    ).with_temperature_errors(LEARNT_TEMPERATURE_ERROR, seed=seed)
    plan.reach(TrainingPhase.PREPARING, 0.8)
    fitter = EnsembleFitter(examples, seed=seed)
    plan.reach(TrainingPhase.PREPARING, 1.0)
    settings, tuning = _tuned_settings(fitter, max_trials, seed, plan)
    weights = fitter.fit(settings, plan.within(TrainingPhase.FITTING))

    quantiles: dict[TemperatureSource, Values] = {}
    calibration: dict[TemperatureSource, Multipliers] = {}
    tails: dict[str, Tails] = {}
    skills: dict[TemperatureSource, Skill] = {}
    importances: dict[TemperatureSource, Importance | None] = {}
    answering = member_positions(examples.members)
    # Intervals must hold with a weather forecast as wrong as they are, and with draws not seen.
    judged = examples.with_temperature_errors(1.0, seed=seed + 1)
    for done, (source, positions) in enumerate(answering.items(), start=1):
        quantiles[source] = predict_out_of_fold(weights, judged, positions)
        calibration[source], tails[source.value], skills[source] = calibrate(
            judged, quantiles[source]
        )
        plan.reach(TrainingPhase.CALIBRATING, (done - 0.5) / len(answering))
        importances[source] = group_importance(weights, judged, positions, seed=seed)
        plan.reach(TrainingPhase.CALIBRATING, done / len(answering))
    return FittedModel(
        method=ForecastMethod.QUANTILE_NETWORK,
        weights=weights,
        feature_names=examples.names,
        scale=examples.scale,
        skill=skills[TemperatureSource.UNUSED],
        skill_known_temperature=skills.get(TemperatureSource.REQUEST),
        temperature_scale=examples.temperature_scale,
        temperature_trust=best_trust(
            judged, quantiles[TemperatureSource.REQUEST], quantiles[TemperatureSource.UNUSED]
        )
        if uses_temperature
        else 0.0,
        calibration=calibration,
        tails=tails,
        tuning=tuning,
        folds=folds_of(grid, examples.members),
        importance=importances[TemperatureSource.UNUSED],
        importance_known_temperature=importances.get(TemperatureSource.REQUEST),
    )


def _tuned_settings(
    fitter: EnsembleFitter, max_trials: int, seed: int, plan: ProgressPlan
) -> tuple[Settings, TuningReport | None]:
    if max_trials == 0:
        return DEFAULT_SETTINGS, None
    from energy_forecasting.forecasting.tuning import tune  # noqa: PLC0415 - needs keras-tuner

    return tune(
        fitter.tail_mase,
        max_trials=max_trials,
        seed=seed,
        on_progress=plan.within(TrainingPhase.TUNING),
    )
