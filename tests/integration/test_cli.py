"""The commands for an operator's own meters, run as an operator runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT_DIR

GOOD = (
    "meter_type,meter_id,timestamp,consumption\n"
    "gas,hall,2024-01-01T00:00:00Z,1.5\n"
    "gas,hall,2024-01-01T01:00:00Z,2.5\n"
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    own = {"METER_STORE": "sqlite", "SQLITE_PATH": str(tmp_path / "meters.sqlite")}
    return {**os.environ, **own}


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "energy_forecasting", *arguments],
        cwd=PROJECT_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_imported_meters_are_listed(environment: dict[str, str], tmp_path: Path) -> None:
    readings = tmp_path / "readings.csv"
    readings.write_text(GOOD)

    imported = command(environment, "import", str(readings))
    listed = command(environment, "meters")

    assert imported.returncode == 0, imported.stderr
    assert "2 readings of 1 meters imported into the meter store (sqlite)." in imported.stdout
    assert "hall" in listed.stdout
    assert "2024-01-01 01:00 UTC" in listed.stdout


def test_repeated_timestamps_are_told(environment: dict[str, str], tmp_path: Path) -> None:
    readings = tmp_path / "readings.csv"
    readings.write_text(GOOD + "gas,hall,2024-01-01T01:00:00Z,3.5\n")

    imported = command(environment, "import", str(readings))

    assert imported.returncode == 0
    assert "2 readings of 1 meters imported into the meter store (sqlite)." in imported.stdout
    assert "1 lines repeated a timestamp" in imported.stdout


def test_bad_lines_are_named_and_the_exit_code_tells(
    environment: dict[str, str], tmp_path: Path
) -> None:
    readings = tmp_path / "readings.csv"
    readings.write_text(GOOD + "gas,hall,yesterday,3\n")

    imported = command(environment, "import", str(readings))

    assert imported.returncode == 1
    assert "line 4:" in imported.stdout


def test_a_file_that_is_not_there_is_a_sentence(environment: dict[str, str]) -> None:
    imported = command(environment, "import", "nowhere.csv")

    assert imported.returncode == 1
    assert "nowhere.csv cannot be opened" in imported.stdout
    assert "Traceback" not in imported.stderr
    assert not Path(environment["SQLITE_PATH"]).exists()


def test_an_empty_store_says_so(environment: dict[str, str]) -> None:
    assert "holds no meters yet" in command(environment, "meters").stdout
