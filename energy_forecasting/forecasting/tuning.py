"""Tuning through keras-tuner: a few alternatives to the default settings, judged on the tail.

More is not better here: choosing the best of seven settings by interleaved folds made meters
worse (mean MASE .766 against .754 untuned). So trial 0 is the default, the score is the error
on the last weeks, which no trial has seen, and only a clear gain is accepted.
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict

import keras_tuner

from energy_forecasting.domain.errors import TrainingFailed
from energy_forecasting.domain.model_card import Trial, TuningReport
from energy_forecasting.forecasting.recipe import DEFAULT_SETTINGS, Settings

#: A smaller gain on the tail is luck as often as not.
SMALLEST_GAIN = 0.02

#: Trains with the settings on all but the tail and returns the tail's MASE.
TailScore = Callable[[Settings, Callable[[float], None]], float]

#: None of these changes a shape, so no trial traces the training loop again.
_SPACE = {
    "learning_rate": [2.5e-3, 5e-3, 1e-2],
    "weight_decay": [0.3, 1.0, 3.0],
    "steps": [120, 200, 300],
    "recency_days": [60.0, 120.0, 240.0],
}


def tune(
    score: TailScore,
    *,
    max_trials: int,
    seed: int,
    on_progress: Callable[[float], None],
) -> tuple[Settings, TuningReport]:
    """Try the default and ``max_trials`` random alternatives.

    Args:
        score: judges settings; whatever it raises ends the tuning, except a divergence of an
            alternative, which only loses.
        max_trials: alternatives besides the default, at least 1.
        seed: the same seed tries the same settings.
        on_progress: called with the share of all trials done.

    Returns:
        The settings to use and what was tried.
    """
    oracle = _DefaultFirst(
        objective=keras_tuner.Objective("tail_mase", "min"),
        max_trials=max_trials + 1,
        max_consecutive_failed_trials=max_trials + 1,
        hyperparameters=_space(),
        seed=seed,
    )
    oracle.verbose = 0
    # A folder of its own: keras-tuner silently takes up the trials it finds in an old one.
    with tempfile.TemporaryDirectory(prefix="tuning-") as folder:
        tuner = _SettingsTuner(oracle, folder, score, on_progress, max_trials + 1)
        try:
            tuner.search()
        except keras_tuner.errors.FatalError as error:
            if error.__cause__ is not None:
                raise error.__cause__ from None
            raise
    return _decide(tuner.scored)


def _decide(scored: list[tuple[Settings, float]]) -> tuple[Settings, TuningReport]:
    scores = [tail_mase for _, tail_mase in scored]
    best = min(range(len(scores)), key=scores.__getitem__)
    gain = 1.0 - scores[best] / scores[0] if scores[0] > 0 else 0.0
    accepted = best if gain > SMALLEST_GAIN else 0
    trials = [
        Trial(settings=asdict(settings), tail_mase=tail_mase) for settings, tail_mase in scored
    ]
    return scored[accepted][0], TuningReport(trials=trials, accepted=accepted, gain=gain)


def _space() -> keras_tuner.HyperParameters:
    space = keras_tuner.HyperParameters()
    for name, default in asdict(DEFAULT_SETTINGS).items():
        space.Choice(name, _SPACE[name], default=default)
    return space


class _DefaultFirst(keras_tuner.oracles.RandomSearchOracle):
    """Random search whose trial 0 is the default configuration."""

    def populate_space(self, trial_id: str) -> dict[str, object]:
        """Return the values of the next trial."""
        if not self.trials:
            defaults = {item.name: item.default for item in self.hyperparameters.space}
            return {"status": "RUNNING", "values": defaults}
        return dict(super().populate_space(trial_id))


class _SettingsTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Runs a trial by calling our own scoring; no Keras model passes through keras-tuner."""

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        folder: str,
        score: TailScore,
        on_progress: Callable[[float], None],
        trials: int,
    ) -> None:
        super().__init__(oracle, directory=folder, project_name="settings")
        self._score = score
        self._on_progress = on_progress
        self._trials = trials
        self._started = 0
        self.scored: list[tuple[Settings, float]] = []

    def run_trial(
        self, trial: keras_tuner.engine.trial.Trial, *_: object, **__: object
    ) -> dict[str, float]:
        """Score one trial's settings."""
        settings = Settings(**trial.hyperparameters.values)
        started = self._started
        self._started += 1
        try:
            tail_mase = self._score(
                settings, lambda done: self._on_progress((started + done) / self._trials)
            )
        except TrainingFailed as error:
            if started == 0:
                raise keras_tuner.errors.FatalError from error
            raise keras_tuner.errors.FailedTrialError from error
        except Exception as error:
            # keras-tuner would swallow it, a cancelled training included.
            raise keras_tuner.errors.FatalError from error
        self.scored.append((settings, tail_mase))
        return {"tail_mase": tail_mase}
