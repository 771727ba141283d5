"""Every feature has a group and a name."""

from collections.abc import Callable

import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.readings import History
from energy_forecasting.forecasting.examples import TrainingExamples
from energy_forecasting.forecasting.explaining.feature_groups import (
    FEATURES_OF,
    PLAIN_NAMES,
    FeatureGroup,
    columns_by_cause,
    columns_of,
)
from energy_forecasting.forecasting.grid import LocalGrid


@pytest.fixture
def examples(make_history: Callable[..., History]) -> TrainingExamples:
    calendar = LocalCalendar(timezone="Europe/Rome", country="IT")
    grid = LocalGrid.from_history(make_history(days=190), calendar)
    return TrainingExamples.from_grid(grid, uses_temperature=True)


def test_every_feature_belongs_to_exactly_one_group(examples: TrainingExamples) -> None:
    grouped = [name for features in FEATURES_OF.values() for name in features]

    assert sorted(grouped) == sorted(examples.names)
    assert set(FEATURES_OF) == set(PLAIN_NAMES) == set(FeatureGroup)


def test_a_feature_without_a_group_is_refused() -> None:
    with pytest.raises(KeyError):
        columns_of(["base", "moon_phase"], [FeatureGroup.USUAL_LEVEL])


def test_other_columns_do_not_change_between_weeks_at_the_same_hour(
    examples: TrainingExamples,
) -> None:
    # Given two weeks without a holiday in them or the four before
    causes = columns_by_cause(examples.names)
    free = ~columns_of(examples.names, [FeatureGroup.USUAL_LEVEL])
    for columns in causes.values():
        free &= ~columns
    first, second = (
        np.flatnonzero((examples.origins == day * 24) & (examples.leads == 30))[0]
        for day in (57, 64)
    )
    # Then
    np.testing.assert_array_equal(examples.features[first][free], examples.features[second][free])
    hour_of_week = columns_of(examples.names, [FeatureGroup.HOUR_OF_WEEK])
    np.testing.assert_allclose(
        examples.features[first][hour_of_week], examples.features[second][hour_of_week], atol=1e-6
    )
