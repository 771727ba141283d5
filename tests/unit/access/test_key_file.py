"""The file of keys: whole at every moment, its owner's alone, nobody's key lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from energy_forecasting.access.api_key import ApiKey, made_key
from energy_forecasting.access.key_file import KeyFile
from energy_forecasting.access.scope import Scope
from energy_forecasting.domain.errors import KeysUnreadable, NotFound, StorageFailed
from tests.conftest import PROJECT_DIR

ADD_MANY = """
import sys
from pathlib import Path
from energy_forecasting.access.api_key import made_key
from energy_forecasting.access.key_file import KeyFile
from energy_forecasting.access.scope import Scope
for number in range(20):
    KeyFile(Path(sys.argv[1])).add(made_key(name=f"{sys.argv[2]}-{number}", scope=Scope.READ)[0])
"""


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "config" / "api_keys.json")


def added(file: KeyFile, name: str = "portal") -> ApiKey:
    key, _ = made_key(name=name, scope=Scope.READ)
    file.add(key)
    return key


def test_keys_come_back_as_they_were_written(file: KeyFile) -> None:
    keys = (added(file, "one"), added(file, "two"))

    assert file.read() == keys


def test_the_file_is_its_owners_alone(file: KeyFile) -> None:
    previous = os.umask(0)
    try:
        added(file)
    finally:
        os.umask(previous)

    assert file.path.stat().st_mode & 0o777 == 0o600
    assert not file.is_open_to_others()
    file.path.chmod(0o640)
    assert file.is_open_to_others()


def test_a_revoked_key_stays_as_a_tombstone(file: KeyFile) -> None:
    key = added(file)

    first = file.revoke(key.id)
    again = file.revoke(key.id)

    assert first.revoked is not None
    assert again == first
    assert file.read() == (first,)


def test_a_key_that_is_not_there_cannot_be_revoked(file: KeyFile) -> None:
    with pytest.raises(NotFound):
        file.revoke("deadbeef")


def test_commands_at_the_same_time_lose_no_key(file: KeyFile) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", ADD_MANY, str(file.path), str(number)], cwd=PROJECT_DIR
        )
        for number in range(3)
    ]
    assert [command.wait(120) for command in commands] == [0, 0, 0]

    assert len(file.read()) == 60


def test_what_a_killed_command_left_is_in_nobodys_way(file: KeyFile) -> None:
    added(file)
    file.path.with_name("api_keys.json.draft").write_text("half a f")

    added(file)

    assert len(file.read()) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"keys": [{}]}', b'{"keys": [], "more": 1}'],
)
def test_a_damaged_file_is_an_error_and_is_not_written_over(file: KeyFile, content: bytes) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(content)

    with pytest.raises(KeysUnreadable, match=r"api_keys\.json cannot be read"):
        file.read()
    with pytest.raises(KeysUnreadable):
        added(file)
    assert file.path.read_bytes() == content


def test_two_keys_with_one_id_are_damage(file: KeyFile) -> None:
    key = added(file)
    twice = [key.model_dump(mode="json")] * 2
    file.path.write_text(json.dumps({"keys": twice}))

    with pytest.raises(KeysUnreadable, match="same id"):
        file.read()


def test_a_folder_in_the_place_of_the_file_is_an_error(file: KeyFile) -> None:
    file.path.mkdir(parents=True)

    with pytest.raises(KeysUnreadable):
        file.read()


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.touch()

    with pytest.raises(StorageFailed, match="cannot be written"):
        added(KeyFile(occupied / "api_keys.json"))
