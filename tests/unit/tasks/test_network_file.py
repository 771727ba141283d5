"""A trained network becomes a file, or an error that says why not."""

import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from energy_forecasting.domain.errors import StorageFailed
from energy_forecasting.forecasting.naive_network import build_naive_network
from energy_forecasting.tasks.network_file import write_network
from tests.full_disk import no_file_may_grow

pytestmark = pytest.mark.tensorflow


def test_what_is_written_is_what_keras_writes(tmp_path: Path) -> None:
    network = build_naive_network(np.ones((24, 9), dtype=np.float32))

    write_network(tmp_path / "ours.h5", network)
    network.save(tmp_path / "keras.h5")

    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(tmp_path / "keras.h5") as theirs:
        assert dict(ours.attrs) == dict(theirs.attrs)
        names: list[str] = []
        theirs.visit(names.append)
        assert names
        for name in names:
            if isinstance(theirs[name], h5py.Dataset):
                np.testing.assert_array_equal(ours[name][...], theirs[name][...])
    again = keras.models.load_model(tmp_path / "ours.h5", compile=False)
    assert [weight.shape for weight in again.weights] == [w.shape for w in network.weights]


@pytest.mark.skipif(sys.platform == "win32", reason="limits on the size of a file")
def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    network = build_naive_network(np.ones((24, 9), dtype=np.float32))

    with no_file_may_grow(), pytest.raises(StorageFailed, match="could not be written"):
        write_network(tmp_path / "model.h5", network)
