"""The disk of the models, which can be filled and freed: a small tmpfs.

Mounting one takes root and a kernel that lets it. Where that is not to be had, disks are not
filled, and the report says so: a quota that only resembles a full disk would prove less than it
seems to.
"""

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOUNT, _UNMOUNT = "/bin/mount", "/bin/umount"
_SIZE_MB = 128
_PIECE = bytes(64 * 1024)


class SmallDisk:
    """A mounted disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / ".ballast"

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave not a byte until the block ends."""
        try:
            self._fill()
            yield
        finally:
            self.free()

    def free(self) -> None:
        """Take away what filled it."""
        self._ballast.unlink(missing_ok=True)

    def _fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as ballast:
            for piece in (_PIECE, b"\0" * 512):
                try:
                    while True:
                        ballast.write(piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise


def unmount_left(folder: Path) -> None:
    """Unmount the disk of a run that was killed with -9, so that its folder can be removed."""
    if folder.is_mount():
        subprocess.run([_UNMOUNT, "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, *, keep_in: Path) -> Iterator[SmallDisk | None]:
    """Mount a small disk on a folder; None where it cannot be had.

    Afterwards it is unmounted, and what it held lies in ``keep_in``.
    """
    folder.mkdir(parents=True)
    mount = [_MOUNT, "-t", "tmpfs", "-o", f"size={_SIZE_MB}m", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:  # no such command on this system
        made = False
    if not made:
        yield None
        return
    disk = SmallDisk(folder)
    try:
        yield disk
    finally:
        disk.free()
        shutil.copytree(folder, keep_in, dirs_exist_ok=True)
        unmount_left(folder)
