"""What every test may ask for: real servers of Redis and InfluxDB, and a way to wait."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from hypothesis import settings

from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.redis_server import find_redis
from tests.influx_server import InfluxServer

# Short and the same examples each time; by hand: pytest --hypothesis-profile=long --timeout=0
settings.register_profile("short", derandomize=True, deadline=None, database=None, max_examples=100)
settings.register_profile("long", deadline=None, database=None, max_examples=3000)
settings.load_profile("short")

PROJECT_DIR = Path(__file__).resolve().parent.parent


class RealRedis:
    """A redis-server of the tests' own, which can be stopped and started again."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self.port = free_loopback_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(self._binary), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--appendonly", "yes", "--save", ""]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        wait_until(lambda: _answers(client), within_s=10)
        client.close()

    @property
    def pid(self) -> int:
        """The process id; it must run."""
        assert self._server is not None
        return self._server.pid

    def files(self) -> list[Path]:
        """Return what it keeps on disk: every command that changed something."""
        return [path for path in self._folder.rglob("*") if path.is_file()]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it hold every connection and answer nothing."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(10)
            self._server = None


def wait_until(condition: Callable[[], bool], *, within_s: float) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {within_s} s: {condition}")
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def no_keys_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test, nor a program that it starts, ask for the keys in config/."""
    monkeypatch.setenv("API_KEYS", str(tmp_path / "api_keys.json"))
    for name in ("REQUIRE_API_KEY", "TRAININGS_PER_HOUR", "ENERGY_FORECASTING_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRedis]:
    try:
        binary = find_redis().path
    except StartFailed as missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have a Redis: {missing.sentence}")
        pytest.skip(missing.sentence)
    server = RealRedis(binary, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RealRedis) -> str:
    """Return the address of an empty Redis."""
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    client.close()
    return redis_server.url


@pytest.fixture(scope="session")
def influxd() -> str:
    """Return the program; tests that need it are skipped without it, and fail in CI."""
    found = shutil.which("influxd")
    if found is None:
        missing = "No influxd was found; install one: `apt install influxdb` (Debian, Ubuntu)."
        if os.environ.get("CI"):
            pytest.fail(f"CI must have an InfluxDB 1.x: {missing}")
        pytest.skip(missing)
    return found


@pytest.fixture(scope="session")
def shared_influx_server(
    influxd: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InfluxServer]:
    server = InfluxServer(influxd, tmp_path_factory.mktemp("influxdb"))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def influx_server(shared_influx_server: InfluxServer) -> InfluxServer:
    """Return the session's InfluxDB, running whatever an earlier test did to it."""
    shared_influx_server.start()
    return shared_influx_server


@pytest.fixture
def influx_database(influx_server: InfluxServer) -> Iterator[str]:
    """Yield the name of an empty database of the test's own."""
    name = f"meters_{uuid4().hex[:8]}"
    influx_server.create_database(name)
    yield name
    influx_server.start()
    influx_server.drop_database(name)


@pytest.fixture(scope="session")
def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    return free_loopback_port()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def free_loopback_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
