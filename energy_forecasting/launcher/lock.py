"""One stack per state folder: two would write one append-only file.

The lock goes with the process that holds it, so a killed launcher leaves none behind. Network
file systems without ``flock`` are not served.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from energy_forecasting.launcher.failures import StartFailed


class FolderLock:
    """The lock of a state folder, with a note about its holder for whoever comes second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            StartFailed: another launcher holds it; the sentence says which and where it serves.
        """
        with self._path.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StartFailed(_already_running(self._path)) from None
            self._file = file
            self.note()
            try:
                yield
            finally:
                self._file = None

    def note(self, url: str | None = None) -> None:
        """Write down who holds the lock and where its API is."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            json.dump({"pid": os.getpid(), "url": url}, self._file)
            self._file.flush()


def _already_running(path: Path) -> str:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        who, url = f"process {note['pid']}", note["url"]
        how = f"kill {note['pid']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is just being written
        who, url, how = "another process", None, "kill"
    where = f", API at {url}" if url else ", still starting"
    return (
        f"The stack of {path.parent} already runs ({who}{where}). Use that one, or stop it with "
        f"Ctrl-C in its terminal or `{how}`."
    )
