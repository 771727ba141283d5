"""Trained models as files: versions, the champion, and what readers may see.

::

    models/
      electricity/
        meter_1.h5                         the champion: what serves forecasts
        meter_1.versions/                  every version kept, the champion's too
          20260115T103422Z-1f3a9c.h5
      .incoming/                           models being written; nobody reads here

A model is written in ``.incoming``, flushed to disk and renamed, so a reader sees the old model
or the new one, never a half. It cannot keep two machines from publishing the same meter at once;
the task record, which admits one training per meter, does.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import structlog

from energy_forecasting.domain.errors import Conflict, InvalidRequest, NotFound, StorageFailed
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.model_card import ModelCard
from energy_forecasting.registry.artifact import read_card

INCOMING = ".incoming"
SUFFIX = ".h5"
#: An incoming file that old belongs to a process that died: it is written when its training has
#: ended and published at once.
ABANDONED_S = 600.0


logger = structlog.get_logger("registry.models")


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """A model that has become a version, and perhaps the champion."""

    champion: Path
    version: Path
    previous: Path | None  #: the version that was champion before, if there was one
    promoted: bool  #: whether it is the champion


class ModelRegistry:
    """Publishes and finds models; safe to share between threads and processes."""

    def __init__(self, root: Path, *, versions_kept: int) -> None:
        self.root = root
        self._versions_kept = versions_kept

    def incoming_path(self) -> Path:
        """Return a new path on the registry's file system for a model being written.

        Raises:
            StorageFailed: the folder cannot be made.
        """
        with self._storage_faults_translated("prepare"):
            folder = self.root / INCOMING
            folder.mkdir(parents=True, exist_ok=True)
            self._sweep(folder)
            return folder / f"{uuid4()}{SUFFIX}"

    def publish(self, incoming: Path, card: ModelCard, *, promote: bool = True) -> Publication:
        """Make a finished model a version of its meter and, unless it was refused, the champion.

        Raises:
            StorageFailed: the disk is full or the folder cannot be written; nothing has changed
                for readers.
        """
        meter = Meter(meter_type=card.meter_type, meter_id=card.meter_id)
        champion = self.champion_path(meter)
        version = self._version_path(meter, card.version)
        previous = self._champion_file(meter)
        with self._storage_faults_translated("save"):
            version.parent.mkdir(parents=True, exist_ok=True)
            _flush(incoming)
            incoming.replace(version)
            try:
                _flush(version.parent)
                if promote:
                    self._promote(version, champion)
            except OSError:
                version.unlink(missing_ok=True)
                raise
            self._prune(meter, keep={version, previous, self._champion_file(meter)})
        return Publication(champion=champion, version=version, previous=previous, promoted=promote)

    def retract(self, publication: Publication) -> None:
        """Take a publication back, because its task ended before it could succeed.

        A champion that somebody else has put in its place meanwhile stays.
        """
        serves = _version_in(publication.champion) == publication.version.stem
        with self._storage_faults_translated("restore"):
            if publication.promoted and serves:
                if publication.previous is not None and publication.previous.exists():
                    self._promote(publication.previous, publication.champion)
                else:
                    publication.champion.unlink(missing_ok=True)
            publication.version.unlink(missing_ok=True)

    def withdraw(self, meter: Meter, version: str) -> bool:
        """Take back a version whose training was lost before it succeeded; False if there is none.

        Where it serves, the latest promoted version before it serves again; without one, none.

        Raises:
            StorageFailed: the folder cannot be written.
        """
        path, champion = self._version_path(meter, version), self.champion_path(meter)
        if not path.exists():
            return False
        serves = _version_in(champion) == version
        with self._storage_faults_translated("restore"):
            if serves:
                before = [card for card in self.versions(meter) if card.version < version]
                promoted = [card for card in before if card.passed_the_gate]
                if promoted:
                    self._promote(self._version_path(meter, promoted[0].version), champion)
                else:
                    champion.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        return True

    def rollback(self, meter: Meter, version: str | None = None) -> ModelCard:
        """Make a version the champion; None takes the latest promoted one before the champion.

        A version that the gate refused serves only when it is named. Nothing is deleted, so a
        rollback can itself be rolled back by naming the version.

        Raises:
            NotFound: the meter has no model, or not that version.
            Conflict: there is no earlier version.
        """
        kept = self.versions(meter)
        if version is None:
            current = self.champion(meter).version
            earlier = [card for card in kept if card.version < current and card.passed_the_gate]
            if not earlier:
                raise Conflict(
                    f"{meter} has no version before {current}; there is nothing to go back to.",
                    versions=[card.version for card in kept],
                )
            card = earlier[0]
        else:
            named = [card for card in kept if card.version == version]
            if not named:
                raise NotFound(
                    f"{meter} has no such version; GET /models/{meter} lists those kept.",
                    versions=[card.version for card in kept],
                )
            card = named[0]
        with self._storage_faults_translated("restore"):
            self._promote(self._version_path(meter, card.version), self.champion_path(meter))
        return card

    def delete(self, meter: Meter) -> None:
        """Delete the meter's champion and all of its versions; the readings stay.

        Raises:
            NotFound: the meter has no model.
        """
        champion, folder = self.champion_path(meter), self._versions_folder(meter)
        if not champion.exists() and not folder.exists():
            raise no_model(meter)
        with self._storage_faults_translated("delete"):
            # The champion goes first: should the process die here, nothing serves any more and a
            # second call deletes the rest.
            champion.unlink(missing_ok=True)
            if folder.exists():
                shutil.rmtree(folder)

    def champion_path(self, meter: Meter) -> Path:
        """Return where the meter's champion stands, whether or not it exists."""
        return self.root / meter.meter_type / f"{meter.meter_id}{SUFFIX}"

    def champion(self, meter: Meter) -> ModelCard:
        """Return the champion's card.

        Raises:
            NotFound: the meter has no model.
            StorageFailed: the file cannot be read.
        """
        path = self.champion_path(meter)
        if not path.is_file():
            raise no_model(meter)
        return read_card(path)

    def champion_version(self, meter: Meter) -> str | None:
        """Return the champion's version; None without a champion that can be read."""
        return _version_in(self.champion_path(meter))

    def versions(self, meter: Meter) -> list[ModelCard]:
        """Return the cards of the versions kept, newest first.

        Raises:
            NotFound: the meter has no model.
        """
        folder = self._versions_folder(meter)
        cards = [read_card(path) for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True)]
        if not cards:
            raise no_model(meter)
        return cards

    def champions(self) -> list[ModelCard]:
        """Return the card of every meter's champion that can be read, by type and id."""
        cards = []
        for path in sorted(self.root.glob(f"[!.]*/*{SUFFIX}")):
            if path.is_file():
                try:
                    cards.append(read_card(path))
                except StorageFailed as damaged:  # it must not hide the others
                    logger.warning("A model is left out of the list", reason=damaged.message)
        return cards

    def meters(self) -> list[Meter]:
        """Return the meters that have a champion, by type and id; no file is opened."""
        found = []
        for path in self.root.glob(f"[!.]*/*{SUFFIX}"):
            with contextlib.suppress(InvalidRequest):  # nobody could ask for it
                found.append(Meter(meter_type=path.parent.name, meter_id=path.stem))
        return sorted(found)

    def _versions_folder(self, meter: Meter) -> Path:
        return self.root / meter.meter_type / f"{meter.meter_id}.versions"

    def _version_path(self, meter: Meter, version: str) -> Path:
        return self._versions_folder(meter) / f"{version}{SUFFIX}"

    def _champion_file(self, meter: Meter) -> Path | None:
        version = self.champion_version(meter)
        return None if version is None else self._version_path(meter, version)

    def _promote(self, version: Path, champion: Path) -> None:
        beside = self.root / INCOMING / f"{uuid4()}{SUFFIX}"
        beside.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                os.link(version, beside)
            except OSError:  # a file system without hard links
                shutil.copyfile(version, beside)
                _flush(beside)
            beside.replace(champion)
        finally:
            beside.unlink(missing_ok=True)
        _flush(champion.parent)

    def _prune(self, meter: Meter, *, keep: set[Path | None]) -> None:
        versions = sorted(self._versions_folder(meter).glob(f"*{SUFFIX}"), reverse=True)
        for version in versions[self._versions_kept :]:
            if version not in keep:
                version.unlink(missing_ok=True)

    def _sweep(self, folder: Path) -> None:
        oldest = time.time() - ABANDONED_S
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # swept by another process meanwhile
                if path.stat().st_mtime < oldest:
                    path.unlink()

    @contextlib.contextmanager
    def _storage_faults_translated(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageFailed(
                f"Could not {verb} a model in {self.root.name}/: {error.strerror or error}. "
                "Check free space and permissions of MODEL_STORE.",
                errno=error.errno,
            ) from error


def no_model(meter: Meter) -> NotFound:
    """Return the error for a meter without a model."""
    return NotFound(
        f"There is no model for {meter} yet; train one with POST /trainmodel/.",
        meter_id=meter.meter_id,
        meter_type=meter.meter_type,
    )


def _version_in(champion: Path) -> str | None:
    try:
        return read_card(champion).version
    except StorageFailed:  # none yet, deleted, or one that a damaged disk has taken
        return None


def _flush(path: Path) -> None:
    """Write a file, or a folder's entries, through to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
