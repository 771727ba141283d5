"""Permutation importance of networks with random weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.forecasts import TemperatureSource
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.explaining import importance
from energy_forecasting.forecasting.explaining.feature_groups import FeatureGroup, columns_of
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.out_of_fold import predict_out_of_fold
from energy_forecasting.forecasting.recipe import member_positions

Weights = Mapping[str, npt.NDArray[np.float32]]


@pytest.fixture
def examples(make_history: Callable[..., History]) -> TrainingExamples:
    calendar = LocalCalendar(timezone="Europe/Rome", country="IT")
    grid = LocalGrid.from_history(make_history(days=190), calendar)
    return TrainingExamples.from_grid(grid, uses_temperature=True)


@pytest.mark.parametrize("source", [TemperatureSource.REQUEST, TemperatureSource.UNUSED])
def test_rows_are_judged_by_the_members_that_left_them_out(
    examples: TrainingExamples,
    random_weights: Weights,
    monkeypatch: pytest.MonkeyPatch,
    source: TemperatureSource,
) -> None:
    # Given a sample of all rows from a midnight on
    monkeypatch.setattr(importance, "SAMPLE_ROWS", len(examples.features))
    positions = member_positions(examples.members)[source]
    # When
    measured = importance.group_importance(random_weights, examples, positions, seed=0)
    # Then
    rows = examples.scored & (examples.origins % 24 == 0)
    median = predict_out_of_fold(random_weights, examples, positions)[rows, 4]
    assert measured is not None
    assert measured.rows == rows.sum()
    assert measured.mase == pytest.approx(
        metrics.mase(examples.departures[rows], median, 1.0), abs=1e-4
    )
    sees = "temperature" in {group.group for group in measured.groups}
    assert sees is (source is TemperatureSource.REQUEST)


def test_a_group_that_the_network_ignores_is_worth_nothing(
    examples: TrainingExamples, random_weights: Weights
) -> None:
    # Given
    ignored = columns_of(examples.names, [FeatureGroup.LAST_HOURS])
    weights = {name: values.copy() for name, values in random_weights.items()}
    for name in ("hidden_1/kernel", "linear/kernel"):
        weights[name][:, ignored] = 0
    # When
    measured = importance.group_importance(weights, examples, range(4), seed=0)
    # Then
    assert measured is not None
    rises = {group.group: group.mase_rise for group in measured.groups}
    assert rises["last_hours"] == 0
    assert rises["last_days"] != 0


def test_the_other_week_shares_hour_and_lead_and_lies_within_two_months(
    examples: TrainingExamples,
) -> None:
    # Given
    generator = np.random.default_rng(0)
    rows = importance._sample(examples, generator)
    # When
    others = importance._other_week(examples, rows, generator)
    # Then
    weeks = (examples.origins[others] - examples.origins[rows]) / 168
    np.testing.assert_array_equal(examples.leads[others], examples.leads[rows])
    np.testing.assert_array_equal(weeks, np.round(weeks))
    assert (weeks != 0).all()
    assert np.abs(weeks).max() <= 8
    assert weeks.min() < 0 < weeks.max()


def test_nothing_is_measured_where_nothing_was_left_out(
    examples: TrainingExamples, random_weights: Weights
) -> None:
    taught = replace(examples, folds=np.full_like(examples.folds, -1))

    assert importance.group_importance(random_weights, taught, range(4), seed=0) is None
