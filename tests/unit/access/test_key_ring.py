"""The keys as a running service knows them: at once, and never open again."""

import hmac
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from energy_forecasting.access.api_key import made_key
from energy_forecasting.access.key_file import KeyFile
from energy_forecasting.access.key_ring import KeyRing
from energy_forecasting.access.scope import Scope
from energy_forecasting.domain.errors import KeysUnreadable, Unauthenticated


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "api_keys.json")


@pytest.fixture
def ring(file: KeyFile) -> KeyRing:
    return KeyRing(file, is_required=False)


def added(file: KeyFile) -> str:
    key, text = made_key(name="portal", scope=Scope.READ)
    file.add(key)
    return text


def test_without_a_key_the_doors_are_open_and_the_start_says_so(ring: KeyRing) -> None:
    with capture_logs() as logs:
        ring.announce()

    assert not ring.is_closed()
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert logs[0]["authentication"] == "off"


def test_a_required_key_closes_the_doors_before_there_is_one(file: KeyFile) -> None:
    ring = KeyRing(file, is_required=True)
    with capture_logs() as logs:
        ring.announce()

    assert ring.is_closed()
    assert "No API key is valid" in logs[-1]["event"]
    text = added(file)
    assert ring.identify(text).name == "portal"


def test_the_first_key_closes_the_doors_of_a_running_service(ring: KeyRing, file: KeyFile) -> None:
    assert not ring.is_closed()

    text = added(file)

    assert ring.is_closed()
    assert ring.identify(text).scope is Scope.READ


def test_a_revoked_key_ends_at_once_and_the_last_one_opens_nothing(
    ring: KeyRing, file: KeyFile
) -> None:
    text = added(file)
    key = ring.identify(text)

    file.revoke(key.id)

    with pytest.raises(Unauthenticated):
        ring.identify(text)
    assert ring.is_closed()
    assert KeyRing(file, is_required=False).is_closed()


def damage(path: Path) -> None:
    path.write_text("{")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    path.write_text('{"keys": []}')


@pytest.mark.parametrize("spoil", [Path.unlink, damage, replace_by_folder])
def test_whatever_becomes_of_the_file_the_doors_stay_closed(
    ring: KeyRing, file: KeyFile, spoil: Callable[[Path], None]
) -> None:
    # Given
    text = added(file)
    ring.identify(text)
    whole = file.path.read_bytes()
    # When
    spoil(file.path)
    # Then
    with capture_logs() as logs:
        for _ in range(3):
            assert ring.is_closed()
            with pytest.raises(KeysUnreadable) as refused:
                ring.identify(text)
    assert str(file.path) not in str(refused.value)
    assert [entry["log_level"] for entry in logs] == ["error"]  # said once
    assert str(file.path) in logs[0]["reason"]
    # And when it is mended
    if file.path.is_dir():
        file.path.rmdir()
    file.path.write_bytes(whole)
    assert ring.identify(text).name == "portal"


def test_an_emptied_file_lets_nobody_in(ring: KeyRing, file: KeyFile) -> None:
    text = added(file)
    assert ring.is_closed()

    empty(file.path)

    assert ring.is_closed()
    with pytest.raises(Unauthenticated):
        ring.identify(text)


def test_a_file_that_is_damaged_at_the_start_closes_the_doors(file: KeyFile) -> None:
    file.path.write_text("[1, 2")
    ring = KeyRing(file, is_required=False)

    with capture_logs() as logs:
        ring.announce()

    assert ring.is_closed()
    assert not ring.is_readable()
    assert "error" in {entry["log_level"] for entry in logs}


def test_every_text_is_compared_in_constant_time_even_where_no_key_has_its_id(
    ring: KeyRing, file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    text = added(file)
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(kept: str, shown: str) -> bool:
        compared.append((len(kept), len(shown)))
        return compare(kept, shown)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    other_secret = text[:12] + ("0" * 64 if text[12] != "0" else "1" * 64)
    wrong = ["", "hunter2", other_secret, f"ef_00000000_{'0' * 64}", text[:-1], f"{text} "]
    # When
    for each in wrong:
        with pytest.raises(Unauthenticated):
            ring.identify(each)
    ring.identify(text)
    # Then
    assert compared == [(64, 64)] * (len(wrong) + 1)


def test_a_refused_key_is_logged_by_its_id_without_its_secret(ring: KeyRing, file: KeyFile) -> None:
    text = added(file)
    wrong = text[:12] + "f" * 64

    with capture_logs() as logs, pytest.raises(Unauthenticated):
        ring.identify(wrong)

    refused = [entry for entry in logs if entry["event"] == "API key refused"]
    assert refused[0]["key_id"] == text[3:11]
    assert refused[0]["reason"] == "wrong secret"
    assert "f" * 64 not in str(logs)
