"""The arrows between the rooms, and what the API and the worker must never import."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[2]
HEAVY = ("tensorflow", "keras", "keras_tuner", "pandas", "matplotlib")


def test_arrows_between_the_rooms_point_one_way() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([lint_imports], cwd=PROJECT_DIR, capture_output=True, check=False)

    assert checked.returncode == 0, checked.stdout.decode()


@pytest.mark.parametrize("door", ["main_dramatiq", "task_system"])
def test_api_and_actor_module_never_import_tensorflow(door: str, tmp_path: Path) -> None:
    program = f"import sys, {door}; print([name for name in {HEAVY!r} if name in sys.modules])"
    environment = {"LOG_DIR": str(tmp_path), "PATH": "", "METER_STORE": "sqlite"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.strip() == "[]"


def test_doors_stay_small() -> None:
    doors = ["main_dramatiq", "dramatiq_broker", "task_system", "dramatiq_worker", "logger_config"]
    lengths = {door: len((PROJECT_DIR / f"{door}.py").read_text().splitlines()) for door in doors}

    assert max(lengths.values()) <= 80, lengths
