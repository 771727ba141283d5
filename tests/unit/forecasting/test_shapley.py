"""Sharing out a difference among groups of inputs."""

import numpy as np
import numpy.typing as npt

from energy_forecasting.forecasting.explaining.shapley import group_shapley

Rows = npt.NDArray[np.float32]

COLUMNS = {
    "left": np.array([True, True, False, False]),
    "middle": np.array([False, False, True, False]),
    "right": np.array([False, False, False, True]),
}


def drawn(seed: int) -> Rows:
    return np.random.default_rng(seed).normal(size=(20, 4)).astype(np.float32)


def curved(rows: Rows) -> npt.NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return np.asarray(np.maximum(wide[:, 0] * wide[:, 2] * wide[:, 3], wide[:, 1]))


def product_and_sum(rows: Rows) -> npt.NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return np.asarray(wide[:, 0] * wide[:, 2] + wide[:, 3])


def test_the_shares_add_up_to_the_whole_difference() -> None:
    # Given
    actual, reference = drawn(0), drawn(1)
    # When
    shares = group_shapley(curved, actual, reference, COLUMNS)
    # Then
    np.testing.assert_allclose(
        sum(shares.values()), curved(actual) - curved(reference), rtol=0, atol=1e-12
    )


def test_what_stands_alone_gets_its_own_effect_and_partners_share_evenly() -> None:
    # Given
    actual, reference = drawn(0), np.zeros((20, 4), dtype=np.float32)
    # When
    shares = group_shapley(product_and_sum, actual, reference, COLUMNS)
    # Then
    np.testing.assert_allclose(shares["right"], actual[:, 3], atol=1e-6)
    np.testing.assert_allclose(shares["left"], shares["middle"], atol=1e-6)


def test_a_group_that_does_not_differ_gets_nothing_and_costs_nothing() -> None:
    # Given
    actual, reference = drawn(0), drawn(1)
    reference[:, 2] = actual[:, 2]
    calls = 0

    def counted(rows: Rows) -> npt.NDArray[np.float64]:
        nonlocal calls
        calls += 1
        return curved(rows)

    # When
    shares = group_shapley(counted, actual, reference, COLUMNS)
    # Then
    assert not shares["middle"].any()
    assert calls == 4
