"""Writes a trained network as Keras's ``.h5``; only trainers import it, as it needs Keras.

HDF5 writes to its file until the last moment, and a disk that is full by then ends the process
with SIGSEGV instead of an error. So the file is made in memory and written by Python, which raises.
It takes as much memory as the file has bytes: some tens of kilobytes.
"""

import io
from pathlib import Path
from typing import Any

import h5py

# What ``Model.save`` calls for an ``.h5``; that takes a path only, this an open file as well.
from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5

from energy_forecasting.registry.artifact import write_content


def write_network(path: Path, network: Any) -> None:  # noqa: ANN401 - Keras ships no types
    """Write a network to a new file.

    Raises:
        StorageFailed: the disk is full or the folder cannot be written.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        save_model_to_hdf5(network, file)
    write_content(path, content)
