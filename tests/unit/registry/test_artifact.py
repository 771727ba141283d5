"""The card and the weights inside a ``.h5`` file."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from energy_forecasting.domain.errors import StorageFailed
from energy_forecasting.registry.artifact import read_artifact, read_card, read_weights, write_card
from tests.full_disk import no_file_may_grow
from tests.model_cards import card

CARD = card("20240601T000000Z-0a1b2c3d")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """Return a file with the layout that Keras writes."""
    path = tmp_path / "meter_1.h5"
    with h5py.File(path, "w") as file:
        file["model_weights/hidden_1/hidden_1/kernel"] = np.ones((2, 3), dtype=np.float32)
        file["model_weights/hidden_1/hidden_1/bias"] = np.zeros(3, dtype=np.float32)
    return path


def test_a_card_is_read_as_it_was_written(artifact: Path) -> None:
    write_card(artifact, CARD)
    assert read_card(artifact) == CARD


@pytest.mark.skipif(sys.platform == "win32", reason="limits on the size of a file")
def test_a_card_that_finds_no_space_is_a_storage_error(artifact: Path) -> None:
    with no_file_may_grow(), pytest.raises(StorageFailed, match="could not be written"):
        write_card(artifact, CARD)


def test_a_second_card_replaces_the_first(artifact: Path) -> None:
    write_card(artifact, CARD)
    newer = CARD.model_copy(update={"version": "20250101T000000Z-00000000"})
    write_card(artifact, newer)
    assert read_card(artifact) == newer


def test_weights_are_named_by_layer_and_weight(artifact: Path) -> None:
    weights = read_weights(artifact)
    assert set(weights) == {"hidden_1/kernel", "hidden_1/bias"}
    assert weights["hidden_1/kernel"].shape == (2, 3)


def test_card_and_weights_come_together(artifact: Path) -> None:
    write_card(artifact, CARD)

    read, weights = read_artifact(artifact)

    assert read == CARD
    assert set(weights) == {"hidden_1/kernel", "hidden_1/bias"}


def test_damage_that_is_found_on_the_way_is_a_storage_error(artifact: Path) -> None:
    # Given
    write_card(artifact, CARD)
    content = bytearray(artifact.read_bytes())
    # The object headers of groups and data sets; the file opens without them.
    content[1024:] = bytes(len(content) - 1024)
    artifact.write_bytes(content)
    # Then
    with pytest.raises(StorageFailed):
        read_artifact(artifact)


def test_a_foreign_file_carries_no_card(artifact: Path) -> None:
    with pytest.raises(StorageFailed, match="carries no model card"):
        read_card(artifact)


def test_a_card_of_a_newer_release_is_refused(artifact: Path) -> None:
    # Given
    fields = {**json.loads(CARD.model_dump_json()), "schema_version": 2}
    with h5py.File(artifact, "r+") as file:
        file.attrs["energy_forecasting_card"] = json.dumps(fields)
    # Then
    with pytest.raises(StorageFailed, match="update the software") as caught:
        read_card(artifact)
    assert caught.value.details["schema_version"] == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 1}', '"1"'])
def test_a_damaged_card_is_a_storage_error(artifact: Path, text: str) -> None:
    with h5py.File(artifact, "r+") as file:
        file.attrs["energy_forecasting_card"] = text
    with pytest.raises(StorageFailed, match="cannot be read"):
        read_card(artifact)


@pytest.mark.parametrize("content", [b"", b"not hdf5 at all", b"\x89HDF\r\n\x1a\n"])
def test_a_damaged_file_is_a_storage_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.h5"
    path.write_bytes(content)
    with pytest.raises(StorageFailed):
        read_card(path)
    with pytest.raises(StorageFailed):
        read_weights(path)
    with pytest.raises(StorageFailed):
        write_card(path, CARD)


def test_a_truncated_file_is_a_storage_error(artifact: Path) -> None:
    whole = artifact.read_bytes()
    artifact.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageFailed):
        read_weights(artifact)


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="nowhere"):
        read_card(tmp_path / "nowhere.h5")


def test_a_file_without_weights_holds_no_network(tmp_path: Path) -> None:
    path = tmp_path / "empty.h5"
    with h5py.File(path, "w") as file:
        file.attrs["note"] = "nothing here"
    with pytest.raises(StorageFailed, match="holds no network"):
        read_weights(path)
