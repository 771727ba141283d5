"""The Keras network, its file, and its twin in NumPy."""

from pathlib import Path

import keras
import numpy as np
import pytest

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.forecasting.evaluation import ensemble_quantiles
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.naive_network import build_naive_network
from energy_forecasting.forecasting.network import build_network
from energy_forecasting.forecasting.recipe import ensemble_members, member_positions
from energy_forecasting.forecasting.seasonal_naive import (
    RESIDUAL_QUANTILES,
    naive_quantiles,
)
from energy_forecasting.forecasting.young.built_in_base import built_in_base
from energy_forecasting.forecasting.young.pooled_network import build_pooled_network
from energy_forecasting.forecasting.young.pooled_regression import pooled_quantiles
from energy_forecasting.forecasting.young.pooled_training import fit_pooled
from energy_forecasting.registry.artifact import read_weights

pytestmark = pytest.mark.tensorflow

FEATURES = {False: 59, True: 83}


@pytest.fixture(params=[False, True], ids=["without temperature", "with temperature"])
def uses_temperature(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_saved_network_loads_bit_for_bit_and_numpy_agrees(
    tmp_path: Path, *, uses_temperature: bool
) -> None:
    # Given a network with random weights
    generator = np.random.default_rng(0)
    members = ensemble_members(uses_temperature=uses_temperature)
    network = build_network(FEATURES[uses_temperature], members, has_expectation=True)
    for weight in network.weights:
        weight.assign(generator.uniform(0.1, 0.3, weight.shape) * generator.choice([1, 1, -1]))
    path = tmp_path / "model.h5"
    network.save(path)
    features = generator.normal(0, 2, (500, FEATURES[uses_temperature])).astype(np.float32)
    # When
    loaded = keras.models.load_model(path, compile=False)
    weights = read_weights(path)
    # Then
    expected = network(features)
    outputs = expected if uses_temperature else [expected]
    again = loaded(features)
    for output, reloaded, positions in zip(
        outputs,
        again if uses_temperature else [again],
        member_positions(members).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(output, reloaded)
        in_numpy = ensemble_quantiles(weights, features, positions)
        np.testing.assert_allclose(in_numpy, output, atol=1e-5, rtol=1e-5)
        assert (np.diff(in_numpy, axis=1) >= 0).all()


def test_the_pooled_network_answers_as_its_numpy_twin(tmp_path: Path) -> None:
    # Given the built-in base's own tables, and features that reach beyond the clip
    generator = np.random.default_rng(0)
    names = built_in_base().names
    two_days = LocalGrid(
        start=np.datetime64("2024-01-01T00", "h"),
        consumption=generator.normal(5, 1, 48),
        temperature=np.full(48, np.nan),
        calendar=LocalCalendar(timezone="UTC", country=None),
    )
    tables = fit_pooled(two_days, built_in_base()).weights
    path = tmp_path / "pooled.h5"
    build_pooled_network(tables).save(path)
    features = generator.normal(0, 3, (169, len(names))).astype(np.float32)
    features[:, names.index("lead")] = np.arange(169) / np.float32(168)
    # When
    loaded = keras.models.load_model(path, compile=False)
    # Then
    weights = read_weights(path)
    assert weights.keys() == tables.keys()
    twin = pooled_quantiles(weights, np.clip(features, -5, 5))
    np.testing.assert_allclose(loaded(features), twin, atol=1e-5, rtol=1e-5)
    assert (np.diff(twin, axis=1) >= 0).all()


def test_the_naive_network_answers_as_its_numpy_twin(tmp_path: Path) -> None:
    # Given
    generator = np.random.default_rng(0)
    table = np.sort(generator.normal(size=(24, 9)), axis=1)
    path = tmp_path / "naive.h5"
    build_naive_network(table).save(path)
    last_week, hour = generator.uniform(0, 5, 100), generator.integers(0, 24, 100)
    # When
    loaded = keras.models.load_model(path, compile=False)
    answer = loaded([last_week[:, None], np.eye(24)[hour]])
    # Then
    twin = naive_quantiles(last_week, hour, read_weights(path)[RESIDUAL_QUANTILES])
    np.testing.assert_allclose(answer, twin, atol=1e-5)
