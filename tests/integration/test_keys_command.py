"""``keys`` as an operator runs it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT_DIR


@pytest.fixture
def key_file() -> Path:
    return Path(os.environ["API_KEYS"])


def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "energy_forecasting", "keys", *arguments],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_is_shown_once_and_only_then(key_file: Path) -> None:
    created = keys("create", "portal of [the] city", "--scope", "train")
    listed = keys("list")

    text = created.stdout.splitlines()[0]
    assert re.fullmatch(r"ef_[0-9a-f]{8}_[0-9a-f]{64}", text)
    assert "From now on the API asks every caller for a key." in created.stdout
    secret = text.rsplit("_", 1)[1]
    assert secret not in listed.stdout
    assert secret not in key_file.read_text()
    assert "portal of [the] city" in listed.stdout
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_programs_get_json(key_file: Path) -> None:
    created = json.loads(keys("create", "loader", "--trainings-per-hour", "9", "--json").stdout)
    revoked = json.loads(keys("revoke", created["id"], "--json").stdout)
    listed = json.loads(keys("list", "--json").stdout)["keys"]

    assert created["key"].startswith(f"ef_{created['id']}_")
    assert (created["scope"], created["trainings_per_hour"]) == ("read", 9)
    assert revoked["revoked"] is not None
    assert listed == [revoked]
    assert "sha256" not in revoked
    assert json.loads(key_file.read_text())["keys"][0]["id"] == created["id"]


def test_revoking_the_last_key_says_that_nobody_gets_in() -> None:
    text = keys("create", "portal").stdout.splitlines()[0]

    revoked = keys("revoke", text.split("_")[1])

    assert revoked.returncode == 0
    assert "No key is valid any more" in revoked.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("revoke", "deadbeef"), "There is no key with this id"),
        (("create", ""), "name:"),
        (("create", "a", "--trainings-per-hour", "-1"), "trainings_per_hour:"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = keys(*arguments)

    assert done.returncode == 1
    assert said in done.stdout
    assert "Traceback" not in done.stderr


def test_a_damaged_file_is_named_and_left_alone(key_file: Path) -> None:
    key_file.write_text("{")

    done = keys("create", "portal")

    assert done.returncode == 1
    assert "cannot be read" in done.stdout
    assert key_file.read_text() == "{"
