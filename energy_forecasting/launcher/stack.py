"""The whole system on one machine: Redis, the sample meters, a worker and the API."""

import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from energy_forecasting.launcher import sample
from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.interrupts import Interrupts
from energy_forecasting.launcher.lock import FolderLock
from energy_forecasting.launcher.ports import LOOPBACK, free_port_from, is_free
from energy_forecasting.launcher.processes import Child, Program, Roster
from energy_forecasting.launcher.redis_server import check_folder, find_redis, start_redis
from energy_forecasting.launcher.screen import Screen
from energy_forecasting.launcher.supervisor import Supervisor
from energy_forecasting.settings import PROJECT_DIR, Settings

PREFERRED_PORT = 8000

_READY_LIMIT_S = 90.0
_HTTP_LIMIT_S = 5.0
_API_STOP_LIMIT_S = 8.0
#: Beyond the grace that trainings get; the worker itself needs no more than six seconds.
_WORKER_STOP_LIMIT_S = 15.0
_SURVIVOR_STOP_LIMIT_S = 20.0
_PORT_TRIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class StackOptions:
    """What the one who starts the stack can choose."""

    state: Path  #: folder of Redis' data and of what the programs print
    port: int | None = None  #: of the API; None takes the first free one from 8000 on
    is_sample_served: bool = True  #: False serves the operator's own meter store


class Stack:
    """Enter it to start everything, call ``tend`` often, leave it to stop everything."""

    def __init__(
        self, options: StackOptions, *, settings: Settings, screen: Screen, interrupts: Interrupts
    ) -> None:
        self._options = options
        self._settings = settings
        self._screen = screen
        self._lock = FolderLock(options.state / "stack.lock")
        self._roster = Roster(options.state / "programs.json")
        self._supervisor = Supervisor(self._roster, interrupts=interrupts, on_restart=screen.warn)
        self._environment = _clean_environment()
        self._exits = ExitStack()
        self.url = ""  #: of the API, once it answers

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exits.close()

    def tend(self) -> None:
        """Start again what has died; ``StartFailed`` when that does not help."""
        self._supervisor.tend()

    def _start(self) -> None:
        if self._options.port is not None and not is_free(self._options.port):
            raise StartFailed(
                f"Port {self._options.port} is taken by another program. Choose another one, or "
                "leave --port out to take a free one."
            )
        check_folder(self._options.state)
        self._exits.enter_context(self._lock.taken())
        if self._roster.stop_survivors(limit_s=_SURVIVOR_STOP_LIMIT_S):
            self._screen.say("Cleared away what a killed start had left running.")
        self._exits.callback(self._supervisor.stop_all)
        self._exits.callback(self._announce_stop)
        with self._screen.waiting("Starting Redis"):
            self._start_redis()
        if self._options.is_sample_served:
            self._environment["METER_STORE"] = "sqlite"
            self._load_sample()
        with self._screen.waiting("Starting worker and API"):
            worker = self._supervisor.launch(self._worker_program())
            api = self._start_api()
            worker.wait_until(
                lambda: self._is_healthy(api, "/health/worker"), limit_s=_READY_LIMIT_S
            )
        trainings = self._settings.worker_processes * self._settings.worker_threads
        self._screen.fact("Worker", f"ready, {trainings} trainings at once")
        self._screen.fact("API", f"{self.url}   documentation: {self.url}/docs")
        self._lock.note(self.url)

    def _announce_stop(self) -> None:
        self._screen.say("\nStopping; Ctrl-C once more makes it short...")

    def _start_redis(self) -> None:
        folder = self._options.state / "redis"
        server = start_redis(
            find_redis(),
            folder=folder,
            output=self._output("redis"),
            environment=self._environment,
            launch=self._supervisor.launch,
        )
        self._environment["REDIS_URL"] = server.url
        where = f"{LOOPBACK}:{server.port}"
        self._screen.fact("Redis", f"{server.binary} on {where}, data in {shown(folder)}")

    def _load_sample(self) -> None:
        path = self._settings.sqlite_path
        check_folder(path.parent)
        with self._screen.progress("Loading the sample meters") as on_progress:
            readings = sample.load(path, on_progress=on_progress)
        how = f"{readings:,} readings loaded into" if readings else "already in"
        self._screen.fact(
            "Meters", f"{len(sample.sample_meters())} sample meters, {how} {shown(path)}"
        )

    def _start_api(self) -> Child:
        for _ in range(_PORT_TRIES - 1):
            try:
                return self._started_api()
            except StartFailed as failure:
                if self._options.port or not any("in use" in line for line in failure.log_lines):
                    raise
        return self._started_api()

    def _started_api(self) -> Child:
        port = self._choose_port()
        self.url = f"http://{LOOPBACK}:{port}"
        api = self._supervisor.launch(self._api_program(port))
        api.wait_until(lambda: self._is_healthy(api, "/health/"), limit_s=_READY_LIMIT_S)
        return api

    def _choose_port(self) -> int:
        if self._options.port is not None:
            return self._options.port
        port = free_port_from(PREFERRED_PORT)
        if port != PREFERRED_PORT:
            self._screen.say(f"Port {PREFERRED_PORT} is taken; the API uses {port}.")
        return port

    def _is_healthy(self, api: Child, path: str) -> bool:
        # Another program could answer on the port of an API that has just died.
        if not api.is_alive:
            return False
        try:
            answer = httpx.get(f"{self.url}{path}", timeout=_HTTP_LIMIT_S, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    def _worker_program(self) -> Program:
        return Program(
            name="The worker",
            command=(sys.executable, "dramatiq_worker.py"),
            folder=PROJECT_DIR,
            environment=self._environment,
            output=self._output("worker"),
            stop_limit_s=self._settings.shutdown_grace_s + _WORKER_STOP_LIMIT_S,
        )

    def _api_program(self, port: int) -> Program:
        # A client that follows a task's events would otherwise keep the API from stopping.
        stop = ("--timeout-graceful-shutdown", "3", "--no-server-header")
        bind = ("--host", LOOPBACK, "--port", str(port))
        return Program(
            name="The API",
            command=(sys.executable, "-m", "uvicorn", "main_dramatiq:app", *bind, *stop),
            folder=PROJECT_DIR,
            environment=self._environment,
            output=self._output("api"),
            stop_limit_s=_API_STOP_LIMIT_S,
        )

    def _output(self, name: str) -> Path:
        return self._options.state / "output" / f"{name}.log"


def shown(path: Path) -> str:
    """Shorten a path for people: relative to the working folder where that is possible."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _clean_environment() -> dict[str, str]:
    """Return the environment for our programs.

    Without byte code TensorFlow takes three times as long to import.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONUNBUFFERED": "1"}
