"""The real system in a workplace of its own, with a weak place everywhere it can be given one.

::

    clients ─> API ─> proxy "api" ─┐
              worker "a" ─> proxy ─┼─> Redis          worker a, b, API ─> proxy ─> InfluxDB
              worker "b" ─> proxy ─┘                  models on a small disk

API and workers are started as an operator starts them and kept as systemd keeps them.
"""

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from energy_forecasting.launcher.ports import LOOPBACK, any_free_port
from energy_forecasting.launcher.redis_server import find_redis
from energy_forecasting.registry.model_registry import INCOMING, ModelRegistry
from tests.chaos.fault_kinds import Fault
from tests.chaos.kept_process import Keeper, KeptProcess
from tests.chaos.meter_fleet import fill_sqlite, influx_behind_proxy
from tests.chaos.patience import comes_true, wait_for
from tests.chaos.redis_at_risk import RedisAtRisk
from tests.chaos.reply_losing_proxy import ReplyLosingProxy
from tests.chaos.small_disk import SmallDisk, small_disk, unmount_left
from tests.e2e.conftest import Workplace, environment_of
from tests.tcp_proxy import TcpProxy

_READY_LIMIT_S = 120.0
_ORPHAN_LIMIT_S = 20.0
#: So that every version ever published can be judged.
_VERSIONS_KEPT = 10_000
_SETTINGS = {
    "TUNING_MAX_TRIALS": "0",
    "MODEL_VERSIONS_KEPT": str(_VERSIONS_KEPT),
    "SHUTDOWN_GRACE_S": "2",
    "LOG_FILES_KEPT": "1000",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """One ``python dramatiq_worker.py`` and its way to Redis."""

    supervisor: KeptProcess
    proxy: ReplyLosingProxy

    def process(self) -> psutil.Process | None:
        """The worker process under the supervisor, if there is one."""
        return _child(self.supervisor.pid, "--child-of")

    def forkserver(self) -> psutil.Process | None:
        """The process that trainers are forked from."""
        process = self.process()
        return None if process is None else _child(process.pid, "forkserver")

    def trainer(self) -> psutil.Process | None:
        """The trainer process; a worker here has one thread and so one trainer."""
        forkserver = self.forkserver()
        return None if forkserver is None else _child(forkserver.pid, "")

    def name(self) -> str:
        """Return what the worker process calls itself in task records."""
        process = self.process()
        return "" if process is None else f"{socket.gethostname()}:{process.pid}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChaosStack:
    """Everything that runs, and the weak places."""

    workplace: Workplace
    url: str  #: of the API
    redis: RedisAtRisk
    api: KeptProcess
    api_proxy: ReplyLosingProxy
    workers: list[Worker]
    keeper: Keeper
    store_proxy: TcpProxy | None  #: None: the meters are in SQLite
    disk: SmallDisk | None  #: None: this machine lets none be mounted
    registry: ModelRegistry

    @property
    def impossible(self) -> frozenset[Fault]:
        """Faults that this machine cannot be given."""
        missing = {Fault.STORE_CUT: self.store_proxy, Fault.DISK_FULL: self.disk}
        return frozenset(fault for fault, weak_place in missing.items() if weak_place is None)

    @property
    def incoming(self) -> Path:
        """Where models are being written."""
        return self.registry.root / INCOMING

    def kept(self) -> list[KeptProcess]:
        """Return what the keeper keeps."""
        return [self.api, *(worker.supervisor for worker in self.workers)]

    def is_ready(self) -> bool:
        """Whether the API answers and every worker has warm trainers."""
        try:
            answer = httpx.get(f"{self.url}/health/worker", timeout=5)
        except httpx.TransportError:
            return False
        if answer.status_code != httpx.codes.OK:
            return False
        said = {f"{each['host']}:{each['pid']}" for each in answer.json()["workers"]}
        return {worker.name() for worker in self.workers} <= said and all(
            worker.trainer() for worker in self.workers
        )

    def orphans(self) -> list[psutil.Process]:
        """Return processes of this workplace that nobody of ours has started."""
        ours: set[int] = set()
        for each in self.kept():
            if each.pid is not None:
                ours |= {each.pid, *(child.pid for child in _descendants(each.pid))}
        return [process for process in self.workplace.processes() if process.pid not in ours]

    def stop(self) -> list[str]:
        """End everything; return what had to be killed or is left, in words."""
        wrong = [f"{name} did not stop when told to and was killed" for name in self.keeper.stop()]
        if not comes_true(lambda: not self.workplace.processes(), within_s=_ORPHAN_LIMIT_S):
            wrong += [
                f"left behind: {process.pid} {' '.join(process.cmdline())[:120]}"
                for process in self.workplace.processes()
            ]
        return wrong


def remove_earlier_run(folder: Path) -> None:
    """Remove the folder of an earlier run, however that ended."""
    unmount_left(_models(folder))
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_stack(folder: Path, *, influxd: str | None) -> Iterator[ChaosStack]:
    """Start everything in a folder and yield it when it is warm.

    Args:
        folder: that does not exist yet; what was logged stays in it.
        influxd: the InfluxDB to use; None puts the meters into SQLite.
    """
    folder.mkdir(parents=True)
    environment = environment_of(folder) | _SETTINGS
    with ExitStack() as everything:
        redis = RedisAtRisk(find_redis().path, folder / "redis")
        redis.start()
        everything.callback(redis.stop)
        store_proxy = None
        if influxd is None:
            environment |= fill_sqlite(folder / "var" / "meters.sqlite")
        else:
            store_proxy, settings = everything.enter_context(
                influx_behind_proxy(influxd, folder / "influxdb")
            )
            environment |= settings
        models = _models(folder)
        disk = everything.enter_context(small_disk(models, keep_in=folder / "models_kept"))
        proxies = [everything.enter_context(ReplyLosingProxy(redis.port)) for _ in range(3)]
        port = any_free_port()

        def kept(name: str, proxy: TcpProxy, *arguments: str) -> KeptProcess:
            own = {"REDIS_URL": f"redis://{LOOPBACK}:{proxy.port}/0"}
            return KeptProcess(name, arguments, environment | own, folder / f"{name}.out")

        api = kept("api", proxies[0], "-m", "uvicorn", "main_dramatiq:app", "--port", str(port))
        workers = [
            Worker(
                supervisor=kept(f"worker_{letter}", proxy, "dramatiq_worker.py", "--threads", "1"),
                proxy=proxy,
            )
            for letter, proxy in zip("ab", proxies[1:], strict=True)
        ]
        stack = ChaosStack(
            workplace=Workplace(folder=folder, environment=environment),
            url=f"http://{LOOPBACK}:{port}",
            redis=redis,
            api=api,
            api_proxy=proxies[0],
            workers=workers,
            keeper=Keeper([api, *(worker.supervisor for worker in workers)]),
            store_proxy=store_proxy,
            disk=disk,
            registry=ModelRegistry(models, versions_kept=_VERSIONS_KEPT),
        )
        stack.keeper.start()
        everything.callback(stack.keeper.stop)  # again is no harm
        wait_for(stack.is_ready, within_s=_READY_LIMIT_S, what="API and workers are ready")
        yield stack


def _models(folder: Path) -> Path:
    return Path(environment_of(folder)["MODEL_STORE"])


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _child(pid: int | None, words: str) -> psutil.Process | None:
    """Return a living child whose command line holds the words."""
    if pid is None:
        return None
    try:
        for child in psutil.Process(pid).children():
            if words in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                return child
    except psutil.NoSuchProcess:
        return None
    return None
