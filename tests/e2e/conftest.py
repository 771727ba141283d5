"""What the tests of the whole system share: folders of their own, and the hunt for orphans."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until

#: A worker may use its grace before it ends; nothing may outlive that.
ORPHAN_LIMIT_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Workplace:
    """A folder for everything that a stack writes, and the environment that says so."""

    folder: Path
    environment: dict[str, str]

    def processes(self) -> list[psutil.Process]:
        """Return what runs in this environment, however it was started."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            store = process.environ().get("MODEL_STORE")
            is_ours = bool(store == self.environment["MODEL_STORE"])
            return is_ours and bool(process.status() != psutil.STATUS_ZOMBIE)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def environment_of(folder: Path) -> dict[str, str]:
    """Return an environment in which everything is written below a folder."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return inherited | {
        "METER_STORE": "sqlite",
        "SQLITE_PATH": str(folder / "var" / "meters.sqlite"),
        "MODEL_STORE": str(folder / "models"),
        "LOG_DIR": str(folder / "logs"),
    }


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    """Yield a workplace; afterwards nothing may be left running in it."""
    place = Workplace(folder=tmp_path, environment=environment_of(tmp_path))
    yield place
    wait_until(lambda: not place.processes(), within_s=ORPHAN_LIMIT_S)
