import os
from pathlib import Path

import pytest

from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.lock import FolderLock


def test_a_second_start_on_the_folder_is_told_where_the_first_serves(tmp_path: Path) -> None:
    first = FolderLock(tmp_path / "stack.lock")

    with first.taken():
        first.note("http://127.0.0.1:8000")

        with (
            pytest.raises(StartFailed, match=r"already runs \(process \d+, API at http") as failure,
            FolderLock(tmp_path / "stack.lock").taken(),
        ):
            pass

    assert f"kill {os.getpid()}" in failure.value.sentence


def test_a_second_start_is_told_that_the_first_is_still_starting(tmp_path: Path) -> None:
    with (
        FolderLock(tmp_path / "stack.lock").taken(),
        pytest.raises(StartFailed, match="still starting"),
        FolderLock(tmp_path / "stack.lock").taken(),
    ):
        pass


def test_the_lock_is_free_again_once_its_holder_has_ended(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "stack.lock").taken():
        pass

    with FolderLock(tmp_path / "stack.lock").taken():
        pass
