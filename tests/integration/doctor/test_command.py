"""The doctor's command, run as an operator runs it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT_DIR
from tests.influx_server import InfluxServer
from tests.integration.meters.real_writers import DAYS, home_assistant

SECRET = "token-never-shown"  # noqa: S105 - opens nothing


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    own = {
        "INFLUXDB_CONFIG": str(tmp_path / "influxdb_config.json"),
        "SQLITE_PATH": str(tmp_path / "meters.sqlite"),
        "METER_STORE": "auto",
    }
    others = {name: value for name, value in os.environ.items() if "INFLUXDB" not in name}
    return {**others, **own}


def doctor(
    environment: dict[str, str], *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "energy_forecasting", "doctor", *arguments],
        cwd=PROJECT_DIR,
        env={**environment, **variables},
        capture_output=True,
        encoding=variables.get("PYTHONIOENCODING", "utf-8"),
        check=False,
        timeout=60,
    )


def is_plain(text: str) -> bool:
    return all(each.isprintable() or each == "\n" for each in text)


def test_without_any_configuration_the_embedded_store_is_examined(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # Given nothing at all
    nothing = doctor(environment)
    assert nothing.returncode == 1
    assert "the embedded store serves" in nothing.stdout
    assert "does not exist yet" in nothing.stdout
    assert "--url http://HOST:8086" in nothing.stdout
    assert not (tmp_path / "meters.sqlite").exists()
    # Given a meter in the embedded store
    lines = [
        f"gas,hall,2024-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z,{5 + hour * 7 % 24}"
        for hour in range(96)
    ]
    readings = tmp_path / "readings.csv"
    readings.write_text("\n".join(["meter_type,meter_id,timestamp,consumption", *lines]) + "\n")
    subprocess.run(
        [sys.executable, "-m", "energy_forecasting", "import", str(readings)],
        cwd=PROJECT_DIR,
        env=environment,
        check=True,
        capture_output=True,
    )
    filled = doctor(environment)
    assert filled.returncode == 0, filled.stdout
    assert "1 meter: 1 of gas" in filled.stdout
    assert "gas/hall can be trained" in filled.stdout
    assert "Trainings work" in filled.stdout
    # Given that it is to serve whatever is configured
    chosen = doctor(environment, METER_STORE="sqlite", INFLUXDB_URL="http://localhost:1")
    assert chosen.returncode == 0
    assert "METER_STORE is sqlite: the embedded store serves" in chosen.stdout


def test_an_embedded_store_that_is_no_database(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "meters.sqlite").write_text("no database, but long enough to be looked into" * 99)
    broken = doctor(environment)
    assert broken.returncode == 1
    assert "cannot be read" in broken.stdout
    assert "Traceback" not in broken.stdout + broken.stderr


def test_influxdb_that_is_demanded_but_not_configured(environment: dict[str, str]) -> None:
    demanded = doctor(environment, METER_STORE="influxdb")
    assert demanded.returncode == 1
    assert "INFLUXDB_URL" in demanded.stdout


@pytest.mark.parametrize("option", ["--token", "--password", "--tok"])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(
    environment: dict[str, str], option: str
) -> None:
    refused = doctor(environment, "--url", "http://localhost:1", option, SECRET)
    assert refused.returncode == 2
    assert "INFLUXDB_TOKEN_FILE" in refused.stderr
    assert SECRET not in refused.stdout + refused.stderr


def test_the_help_says_where_secrets_come_from(environment: dict[str, str]) -> None:
    helped = doctor(environment, "--help")
    assert "INFLUXDB_PASSWORD_FILE" in helped.stdout
    assert "--token" not in helped.stdout


@pytest.mark.influxdb
class TestOnARealServer:
    @pytest.fixture
    def variables(self, influx_server: InfluxServer, influx_database: str) -> dict[str, str]:
        start_s = int(time.time()) // 3600 * 3600 - DAYS * 86_400
        lines = home_assistant(start_s).lines
        influx_server.write(influx_database, "\n".join(lines), precision="ns")
        return {
            "INFLUXDB_URL": influx_server.url,
            "INFLUXDB_USERNAME": influx_server.reader.name,
            "INFLUXDB_PASSWORD": influx_server.reader.password,
            "INFLUXDB_DATABASE": influx_database,
        }

    def test_a_pipe_gets_plain_lines_and_the_configuration_as_json(
        self, environment: dict[str, str], variables: dict[str, str]
    ) -> None:
        told = doctor(environment, **variables)
        assert told.returncode == 1
        assert is_plain(told.stdout)
        assert told.stderr == ""
        assert "✗ How readings are named is not given" in told.stdout
        assert "✓ gas/gas_meter_total can be trained" in told.stdout
        written = told.stdout[told.stdout.index("{\n") : told.stdout.rindex("\n}") + 2]
        configuration = json.loads(written)
        assert configuration["types"]["gas"]["measurement"] == "m³"
        assert variables["INFLUXDB_PASSWORD"] not in told.stdout

    def test_an_output_that_knows_ascii_only(
        self, environment: dict[str, str], variables: dict[str, str]
    ) -> None:
        told = doctor(environment, **variables, PYTHONIOENCODING="ascii")
        assert told.returncode == 1, told.stderr
        assert "XX How readings are named" in told.stdout
        assert "ok gas/gas_meter_total" in told.stdout
        assert '"measurement": "m\\u00b3"' in told.stdout

    def test_programs_get_one_object(
        self, environment: dict[str, str], variables: dict[str, str], tmp_path: Path
    ) -> None:
        # Given
        first = doctor(environment, "--json", **variables)
        document = json.loads(first.stdout)
        assert first.returncode == 1
        assert document["can_train"] is False
        assert document["store"] == "influxdb-influxql"
        assert {"step": "host", "outcome": "good"}.items() <= document["findings"][1].items()
        # When what it proposes is written
        (tmp_path / "influxdb_config.json").write_text(json.dumps(document["configuration"]))
        second = doctor(environment, "--json", **variables)
        # Then
        assert second.returncode == 0
        document = json.loads(second.stdout)
        assert document["can_train"] is True
        assert document["configuration"] is None
        assert document["meters"] == {"electricity": 3, "gas": 1, "water": 1}
        assert first.stderr == second.stderr == ""

    def test_a_question_that_is_asked_again_spoils_no_output(
        self, environment: dict[str, str], variables: dict[str, str], free_port: int
    ) -> None:
        nobody = {**variables, "INFLUXDB_URL": f"http://127.0.0.1:{free_port}"}
        told = doctor(environment, "--json", **nobody)
        assert json.loads(told.stdout)["can_train"] is False
