"""The commands for an operator's own meters, run as an operator runs them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT_DIR
from tests.influx_server import InfluxServer

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


def test_a_store_that_cannot_be_used_tells_that_nothing_is_in(
    environment: dict[str, str], tmp_path: Path
) -> None:
    readings = tmp_path / "readings.csv"
    readings.write_text(GOOD)
    Path(environment["SQLITE_PATH"]).write_text("not a database, but long enough to see " * 20)

    imported = command(environment, "import", str(readings))

    assert imported.returncode == 1
    assert "0 of 1 meters (0 readings) had been written before" in imported.stdout
    assert "Traceback" not in imported.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_ctrl_c_stops_an_import_with_a_sentence(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # Given an import that waits for the rest of its file
    pipe = tmp_path / "readings"
    os.mkfifo(pipe)
    with (
        subprocess.Popen(
            [sys.executable, "-m", "energy_forecasting", "import", str(pipe)],
            cwd=PROJECT_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as importing,
        pipe.open("w") as file,
    ):  # waits until the import has opened it
        file.write(GOOD)
        file.flush()
        # When
        importing.send_signal(signal.SIGINT)
        told, complaints = importing.communicate(timeout=30)
    # Then
    assert importing.returncode == 130
    assert "Importing the file again harms nothing" in told
    assert complaints == ""
    assert not Path(environment["SQLITE_PATH"]).exists()


@pytest.mark.influxdb
class TestImportIntoInfluxDB:
    @pytest.fixture
    def environment(
        self, influx_server: InfluxServer, influx_database: str, tmp_path: Path
    ) -> dict[str, str]:
        own = {
            "METER_STORE": "influxdb",
            "INFLUXDB_CONFIG": str(tmp_path / "none.json"),
            "INFLUXDB_URL": influx_server.url,
            "INFLUXDB_USERNAME": influx_server.member.name,
            "INFLUXDB_PASSWORD": influx_server.member.password,
            "INFLUXDB_DATABASE": influx_database,
            "SQLITE_PATH": str(tmp_path / "meters.sqlite"),
        }
        return {**os.environ, **own}

    def test_readings_are_written_there_and_again_without_harm(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        readings = tmp_path / "readings.csv"
        readings.write_text(GOOD)

        imported = [command(environment, "import", str(readings)) for _ in range(2)]
        listed = command(environment, "meters")

        assert {each.returncode for each in imported} == {0}, imported[0].stdout
        sentence = "2 readings of 1 meters imported into the meter store (influxdb-influxql)."
        assert all(sentence in each.stdout for each in imported)
        assert "2024-01-01 01:00 UTC" in listed.stdout
        assert not Path(environment["SQLITE_PATH"]).exists()

    def test_profiles_that_its_configuration_does_not_have_import_nothing(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        readings, profiles = tmp_path / "readings.csv", tmp_path / "meters.csv"
        readings.write_text(GOOD)
        profiles.write_text(
            "meter_type,meter_id,unit,timezone,country,reading_kind\n"
            "gas,hall,m3,Europe/Rome,IT,interval\n"
        )

        imported = command(environment, "import", str(readings), "--profiles", str(profiles))

        assert imported.returncode == 1
        assert "stand in the InfluxDB configuration" in imported.stdout
        assert "holds no meters yet" in command(environment, "meters").stdout

    def test_a_server_that_is_away_is_a_sentence(
        self, environment: dict[str, str], influx_server: InfluxServer, tmp_path: Path
    ) -> None:
        readings = tmp_path / "readings.csv"
        readings.write_text(GOOD)
        influx_server.stop()

        imported = command(environment, "import", str(readings))

        assert imported.returncode == 1
        assert "cannot be reached" in imported.stdout
        assert "importing the file again harms nothing" in imported.stdout
        assert "Traceback" not in imported.stderr
