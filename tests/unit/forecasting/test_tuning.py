"""Tuning: the default first, a clear gain or nothing, and no trace left behind."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from energy_forecasting.domain.errors import Cancelled, TrainingFailed
from energy_forecasting.forecasting.recipe import DEFAULT_SETTINGS, Settings
from energy_forecasting.forecasting.tuning import tune

pytestmark = [
    pytest.mark.tensorflow,
    # keras-tuner calls threading.currentThread() and Thread.getName().
    pytest.mark.filterwarnings("ignore:(currentThread|getName)\\(\\):DeprecationWarning"),
]


def nothing(_: float) -> None:
    """Ignore progress."""


def scoring(default: float, others: float) -> Callable[[Settings, object], float]:
    """Return a score that knows only the default from the rest."""
    return lambda settings, _: default if settings == DEFAULT_SETTINGS else others


def test_trial_0_is_the_default_and_all_trials_differ() -> None:
    # When
    _, report = tune(scoring(1.0, 1.0), max_trials=6, seed=3, on_progress=nothing)
    # Then
    tried = [tuple(sorted(trial.settings.items())) for trial in report.trials]
    assert dict(tried[0]) == asdict(DEFAULT_SETTINGS)
    assert len(set(tried)) == 7


@pytest.mark.parametrize(("others", "accepted"), [(0.985, False), (0.975, True), (1.2, False)])
def test_only_a_gain_above_two_percent_is_accepted(others: float, *, accepted: bool) -> None:
    # When
    settings, report = tune(scoring(1.0, others), max_trials=2, seed=0, on_progress=nothing)
    # Then
    assert (settings != DEFAULT_SETTINGS) is accepted
    assert (report.accepted > 0) is accepted


def test_the_same_seed_tries_the_same_settings() -> None:
    first = tune(scoring(1.0, 0.9), max_trials=3, seed=5, on_progress=nothing)
    second = tune(scoring(1.0, 0.9), max_trials=3, seed=5, on_progress=nothing)
    assert first == second


def test_an_alternative_that_diverges_only_loses() -> None:
    # Given
    def score(settings: Settings, _: object) -> float:
        if settings != DEFAULT_SETTINGS:
            raise TrainingFailed("It diverged.")
        return 1.0

    # When
    settings, report = tune(score, max_trials=4, seed=0, on_progress=nothing)
    # Then
    assert settings == DEFAULT_SETTINGS
    assert len(report.trials) == 1


@pytest.mark.parametrize("error", [Cancelled("Stop."), ValueError("a bug")])
def test_an_error_ends_the_tuning_and_reaches_the_caller(error: Exception) -> None:
    # Given
    def score(_: Settings, __: object) -> float:
        raise error

    # Then
    with pytest.raises(type(error)) as caught:
        tune(score, max_trials=2, seed=0, on_progress=nothing)
    assert caught.value is error


def test_tuning_prints_nothing_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    # When
    tune(scoring(1.0, 0.9), max_trials=2, seed=0, on_progress=nothing)
    # Then
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []
