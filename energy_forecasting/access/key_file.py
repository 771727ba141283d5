"""The file that keeps the API keys: read whole, written beside and renamed.

It holds digests, so a copy of it opens nothing; but who can write it can add a key, so it is made
readable and writable by its owner alone. Two commands at once wait for each other. Network file
systems whose locks do not work are not served, and on Windows the file has the rights of its
folder.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import portalocker
from pydantic import BaseModel, ConfigDict, ValidationError

from energy_forecasting.access.api_key import ApiKey
from energy_forecasting.domain.errors import Conflict, KeysUnreadable, NotFound, StorageFailed

LOCK_PATIENCE_S = 10.0

_OWNER_ONLY = 0o600
_OTHERS = 0o077


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...]


class KeyFile:
    """The keys on disk; reading needs no lock, because a written file is never changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> tuple[int, ...] | None:
        """Return what differs as soon as the file does; None when there is none.

        Raises:
            KeysUnreadable: the file cannot be looked at.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def read(self) -> tuple[ApiKey, ...]:
        """Return every key, the revoked ones among them; none when there is no file.

        Raises:
            KeysUnreadable: the file cannot be read, or is not what this module writes.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        except UnicodeDecodeError as error:
            raise self._unreadable("it is not UTF-8") from error
        try:
            keys = _Content.model_validate_json(text).keys
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise self._unreadable(f"{place}: {first['msg']}") from error
        if len({key.id for key in keys}) < len(keys):
            raise self._unreadable("two keys have the same id")
        return keys

    def add(self, key: ApiKey) -> None:
        """Add a key.

        Raises:
            KeysUnreadable: what is there cannot be read, and is left as it is.
            StorageFailed: the file cannot be written; it is as before.
            Conflict: another command has held the lock for too long.
        """
        with self._locked():
            self._write((*self.read(), key))

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key and return it; again for a revoked one changes nothing.

        Raises:
            NotFound: there is no such key.
            KeysUnreadable, StorageFailed, Conflict: as ``add`` does.
        """
        with self._locked():
            keys = {key.id: key for key in self.read()}
            key = keys.get(key_id)
            if key is None:
                raise NotFound(
                    "There is no key with this id; `python -m energy_forecasting keys list` shows "
                    "them all."
                )
            if key.revoked is None:
                now = datetime.now(UTC).replace(microsecond=0)
                keys[key_id] = key = key.model_copy(update={"revoked": now})
                self._write(tuple(keys.values()))
            return key

    def is_open_to_others(self) -> bool:
        """Tell whether other users of this machine may read or write the file."""
        try:
            return os.name != "nt" and bool(self.path.stat().st_mode & _OTHERS)
        except OSError:
            return False

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.path.with_name(f"{self.path.name}.lock")
        with _faults_translated(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _faults_translated(self.path), portalocker.Lock(lock, timeout=LOCK_PATIENCE_S):
                yield
        except portalocker.LockException as error:
            raise Conflict(
                f"Another command is changing {self.path.name}; try again when it has ended."
            ) from error

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        document = {"keys": [key.model_dump(mode="json") for key in keys]}
        draft = self.path.with_name(f"{self.path.name}.draft")
        draft.unlink(missing_ok=True)  # of a command that was killed
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(draft, flags, _OWNER_ONLY), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        if os.name != "nt":  # Windows cannot open a folder
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _unreadable(self, reason: str) -> KeysUnreadable:
        return KeysUnreadable(
            f"The key file {self.path} cannot be read: {reason}. Nobody is let in until it is "
            "mended, or restored from a backup."
        )


@contextlib.contextmanager
def _faults_translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"The key file {path} cannot be written: {error.strerror or error}."
        ) from error
