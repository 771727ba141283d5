"""Bases as files: ``models/.base/gas.npz`` holds the tables and, as JSON, the card.

Written in ``.incoming`` and renamed, as models are, so that a reader sees one base or the other.
There is one base per type and no older version: learning it again is cheap.
"""

import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from energy_forecasting.domain.base_card import BaseCard
from energy_forecasting.domain.errors import NotFound, StorageFailed
from energy_forecasting.registry.model_registry import INCOMING

FOLDER = ".base"
SUFFIX = ".npz"
_CARD = "card"
_AGAIN = 'learn it again with POST /trainmodel/base {"meter_type": ...}'

Tables = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True, slots=True)
class BasePublication:
    """A base that has taken its place."""

    path: Path
    previous: Path | None  #: a copy of the one before, until ``settle`` or ``retract``


class BaseRegistry:
    """Publishes and finds bases; safe to share between threads and processes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, meter_type: str) -> Path:
        """Return where the base of a type stands, whether or not it exists."""
        return self._root / FOLDER / f"{meter_type}{SUFFIX}"

    def find(self, meter_type: str) -> Path | None:
        """Return the base of a type, if there is one."""
        path = self.path(meter_type)
        return path if path.is_file() else None

    def card(self, meter_type: str) -> BaseCard:
        """Return the card of a type's base.

        Raises:
            NotFound: there is none.
            StorageFailed: the file cannot be read.
        """
        path = self.find(meter_type)
        if path is None:
            raise NotFound(
                f"No base of type {meter_type} has been learnt; short histories use the built-in "
                "one. Learn one with POST /trainmodel/base.",
                meter_type=meter_type,
            )
        return read_base(path)[0]

    def publish(self, incoming: Path, meter_type: str) -> BasePublication:
        """Put a finished base into its place.

        Raises:
            StorageFailed: the folder cannot be written; nothing has changed for readers.
        """
        path = self.path(meter_type)
        previous = self._root / INCOMING / f"{incoming.stem}.previous"
        with _faults_translated("save", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with incoming.open("rb+") as file:
                os.fsync(file.fileno())
            if path.exists():
                previous.write_bytes(path.read_bytes())
            incoming.replace(path)
        return BasePublication(path=path, previous=previous if previous.exists() else None)

    def settle(self, publication: BasePublication) -> None:
        """Forget the base before."""
        if publication.previous is not None:
            publication.previous.unlink(missing_ok=True)

    def retract(self, publication: BasePublication) -> None:
        """Bring the base before back, because the task ended before it could succeed."""
        with _faults_translated("restore", publication.path):
            if publication.previous is not None:
                publication.previous.replace(publication.path)
            else:
                publication.path.unlink(missing_ok=True)


def write_base(path: Path, card: BaseCard, tables: Tables) -> None:
    """Write a base to a file.

    Raises:
        StorageFailed: the disk is full or the folder cannot be written.
    """
    with _faults_translated("save", path), path.open("wb") as file:
        arrays: dict[str, Any] = {**tables, _CARD: np.array(card.model_dump_json())}
        np.savez_compressed(file, **arrays)


def read_base(path: Path) -> tuple[BaseCard, dict[str, npt.NDArray[np.generic]]]:
    """Return a base's card and tables.

    Raises:
        StorageFailed: the file is missing, damaged or of another release.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            tables = {name: file[name] for name in file.files}
        return BaseCard.model_validate_json(str(tables.pop(_CARD))), tables
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, ValidationError) as error:
        raise StorageFailed(
            f"The base {path.name} cannot be read ({type(error).__name__}); {_AGAIN}.",
            file=path.name,
        ) from error


@contextlib.contextmanager
def _faults_translated(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"Could not {verb} the base {path.name}: {error.strerror or error}. Check free space "
            "and permissions of MODEL_STORE.",
            errno=error.errno,
        ) from error
