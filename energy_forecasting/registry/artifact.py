"""One artifact: a Keras ``.h5`` that carries its card beside the weights.

Read with h5py alone, in a few milliseconds, so that serving needs no TensorFlow. Publishing a
file atomically is ``model_registry``'s task; these functions only fill and read one file.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from energy_forecasting.domain.errors import StorageFailed
from energy_forecasting.domain.model_card import CARD_SCHEMA_VERSION, ModelCard

#: ``layer/weight`` to its values.
Weights = dict[str, npt.NDArray[np.float32]]

_CARD = "energy_forecasting_card"
_WEIGHTS = "model_weights"
#: What h5py raises where a file is damaged, by how deep the damage lies.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError)


def write_card(path: Path, card: ModelCard) -> None:
    """Put the card into a saved network's file, replacing an earlier one.

    In memory: HDF5 itself ends the process with SIGSEGV where the disk is full.

    Raises:
        StorageFailed: the file is missing, damaged, without a network or cannot be written.
    """
    try:
        content = io.BytesIO(path.read_bytes())
        with h5py.File(content, "r+") as file:
            if _WEIGHTS not in file:
                raise _without_network(path)
            file.attrs[_CARD] = card.model_dump_json()
    except OSError as error:
        raise _unreadable(path, error) from error
    write_content(path, content)


def write_content(path: Path, content: io.BytesIO) -> None:
    """Write an artifact that was made in memory.

    Raises:
        StorageFailed: the disk is full or the folder cannot be written.
    """
    try:
        path.write_bytes(content.getbuffer())
    except OSError as error:
        raise StorageFailed(
            f"The model file {path.name} could not be written: {error.strerror or error}. Check "
            "free space and permissions of MODEL_STORE.",
            errno=error.errno,
        ) from error


def read_card(path: Path) -> ModelCard:
    """Return the card of an artifact.

    Raises:
        StorageFailed: the file is missing, damaged, not one of ours or from a newer release.
    """
    with _opened(path) as file:
        return _card_in(file, path)


def read_weights(path: Path) -> Weights:
    """Return the weights of an artifact as ``layer/weight``.

    Raises:
        StorageFailed: the file is missing, damaged or holds no network.
    """
    with _opened(path) as file:
        return _weights_in(file, path)


def read_artifact(path: Path) -> tuple[ModelCard, Weights]:
    """Return card and weights of one and the same model, even while another takes its place.

    Raises:
        StorageFailed: as ``read_card`` and ``read_weights``.
    """
    with _opened(path) as file:
        return _card_in(file, path), _weights_in(file, path)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def _card_in(file: h5py.File, path: Path) -> ModelCard:
    text = file.attrs.get(_CARD)
    if not isinstance(text, str):
        raise StorageFailed(
            f"{path.name} carries no model card, so this system did not write it; "
            "train the meter again.",
            file=path.name,
        )
    try:
        fields = json.loads(text)
        found = fields["schema_version"]
        if found != CARD_SCHEMA_VERSION:
            raise StorageFailed(
                f"{path.name} has card schema {found}, this release reads "
                f"{CARD_SCHEMA_VERSION}; update the software or train the meter again.",
                file=path.name,
                schema_version=found,
            )
        return ModelCard.model_validate(fields)
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise StorageFailed(
            f"The model card in {path.name} cannot be read; train the meter again.",
            file=path.name,
        ) from error


def _weights_in(file: h5py.File, path: Path) -> Weights:
    weights: Weights = {}

    def collect(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            # Keras nests the layer's name twice: hidden_1/hidden_1/kernel.
            layer, *_, weight = name.split("/")
            weights[f"{layer}/{weight.removesuffix(':0')}"] = np.asarray(item, dtype=np.float32)

    if _WEIGHTS in file:
        file[_WEIGHTS].visititems(collect)
    if not weights:
        raise _without_network(path)
    return weights


def _without_network(path: Path) -> StorageFailed:
    return StorageFailed(f"{path.name} holds no network; train the meter again.", file=path.name)


def _unreadable(path: Path, error: Exception) -> StorageFailed:
    return StorageFailed(
        f"The model file {path.name} cannot be opened: {type(error).__name__}. Check that it "
        "exists, is complete and that the disk has space; else train the meter again.",
        file=path.name,
    )
