"""How status reads hold up under many clients, beside the least that FastAPI and Redis can do.

``python -m benchmarks.load [--clients N] [--listeners N] [--rounds N] [--seconds S]`` from the
project folder

Protocol: a Redis, a worker and an API of their own on free ports, with the sample meters; four
trainings run all the time, and listeners follow them over server-sent events. Beside the API runs
a bare endpoint (benchmarks/opponents/bare_status.py): one HGETALL of the same records from the
same Redis, by the same uvicorn. Clients hold one connection each and ask either once a second,
evenly spread, or again as soon as they are answered; each follows a task of its own that has
ended, or all follow the four that run. The two servers take turns within each round, so that
both meet the same trainings. A wait counts from when the question was due. One more client asks
/health/ of the API twice a second.

Caveats: clients, trainings, Redis and both servers share the same cores, so waits are mostly
waiting for a core: look at ratios, errors and CPU. Loopback; nobody is far away or slow.
"""

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks.listening import Heard, listen
from benchmarks.measuring import process_of_its_own
from benchmarks.polling import Answers, Polling, poll
from benchmarks.service import (
    MEGABYTE,
    answers,
    api_command,
    free_port,
    prepared_environment,
    program,
    redis_running,
    wait_for,
)

PRODUCT, BARE = "product", "bare"
METERS = (
    {"meter_id": "ucam_b37_elec", "meter_type": "electricity"},
    {"meter_id": "bwdf_dma_05", "meter_type": "water"},
    {"meter_id": "bwdf_dma_09", "meter_type": "water"},
    {"meter_id": "ucam_b31_gas", "meter_type": "gas"},
)
SETTLE_S = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """How the clients behave."""

    every_s: float | None  #: None: without a pause
    is_own_task: bool  #: each client follows another task

    def __str__(self) -> str:
        pace = "without a pause" if self.every_s is None else f"every {self.every_s:g} s"
        return f"{pace}, {'a task each' if self.is_own_task else 'four tasks'}"


SITUATIONS = tuple(
    Situation(every_s=every_s, is_own_task=is_own_task)
    for every_s in (1.0, None)
    for is_own_task in (True, False)
)


@dataclass(kw_only=True, slots=True)
class Measured:
    """One server in one situation, over the rounds."""

    waits_s: list[float] = field(default_factory=list)
    p99s_s: list[float] = field(default_factory=list)  #: of each round
    errors: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_s: float = 0.0
    resident_mb: float = 0.0

    def add(self, got: Answers, cpu_s: float, resident_mb: float) -> None:
        """Add a round."""
        self.waits_s += got.waits_s
        self.p99s_s.append(percentile(got.waits_s, 99))
        for kind, count in got.errors.items():
            self.errors[kind] = self.errors.get(kind, 0) + count
        self.seconds += got.seconds
        self.cpu_s += cpu_s
        self.resident_mb = max(self.resident_mb, resident_mb)


class Trainings:
    """Keeps a training of each meter running."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.task_ids = [""] * len(METERS)
        self.ended = dict.fromkeys(("SUCCESS", "FAILED", "CANCELLED"), 0)

    async def begin(self) -> None:
        """Queue one of each."""
        for place in range(len(METERS)):
            await self._queue(place)

    async def keep_running(self) -> None:
        """Queue the next one of a meter as soon as one has ended; until cancelled."""
        while True:
            for place, task_id in enumerate(self.task_ids):
                with suppress(httpx.TransportError):
                    record = (await self._http.get(f"/trainmodel/status/{task_id}")).json()
                    if record.get("status") in self.ended:
                        self.ended[record["status"]] += 1
                        await self._queue(place)
            await asyncio.sleep(0.5)

    async def _queue(self, place: int) -> None:
        answer = await self._http.post("/trainmodel/", json=METERS[place])
        self.task_ids[place] = str(answer.raise_for_status().json()["task_id"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What runs during the whole measurement."""

    url: dict[str, str]  #: server to address
    process: dict[str, psutil.Process]
    ended_tasks: tuple[str, ...]
    trainings: Trainings

    def addresses(self, server: str, situation: Situation) -> tuple[str, ...]:
        """Return what the clients ask."""
        path = "/trainmodel/status" if server == PRODUCT else "/status"
        tasks = self.ended_tasks if situation.is_own_task else tuple(self.trainings.task_ids)
        return tuple(f"{self.url[server]}{path}/{task_id}" for task_id in tasks)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--listeners", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    asked = parser.parse_args()
    print(__doc__.split("\n\n", 2)[2])
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    print(f"{asked.clients} clients, {asked.listeners} listeners, {asked.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as folder, redis_running(Path(folder)) as url:
        measure(asked, prepared_environment(Path(folder), url))


def measure(asked: argparse.Namespace, environment: dict[str, str]) -> None:
    """Start the servers, the worker and the trainings, then measure."""
    ports = {PRODUCT: free_port(), BARE: free_port()}
    urls = {server: f"http://127.0.0.1:{port}" for server, port in ports.items()}
    bare = [sys.executable, "-m", "uvicorn", "benchmarks.opponents.bare_status:app"]
    bare += ["--port", str(ports[BARE]), "--no-access-log"]
    with (
        program(api_command(ports[PRODUCT]), environment) as api,
        program(bare, environment) as opponent,
        httpx.Client(timeout=30) as http,
    ):
        for url in (f"{urls[PRODUCT]}/health/", f"{urls[BARE]}/status/none"):
            wait_for(lambda url=url: answers(http, url))  # type: ignore[misc] # bound at once
        tasks = tuple(ended_tasks(http, urls[PRODUCT], asked.clients))
        worker = [sys.executable, "dramatiq_worker.py", "--threads", str(len(METERS))]
        with program(worker, environment), process_of_its_own() as clients:
            wait_for(lambda: answers(http, f"{urls[PRODUCT]}/health/worker"))
            processes = {PRODUCT: api, BARE: opponent}
            asyncio.run(measure_running(asked, urls, processes, tasks, clients))


def ended_tasks(http: httpx.Client, url: str, count: int) -> Iterator[str]:
    """Queue trainings that nobody works on yet, cancel them and yield their ids."""
    for number in range(count):
        body = {"meter_id": f"nobody_{number}", "meter_type": "water"}
        task_id = http.post(f"{url}/trainmodel/", json=body).raise_for_status().json()["task_id"]
        http.delete(f"{url}/trainmodel/{task_id}").raise_for_status()
        yield str(task_id)


async def measure_running(
    asked: argparse.Namespace,
    urls: dict[str, str],
    processes: dict[str, psutil.Process],
    tasks: tuple[str, ...],
    clients: ProcessPoolExecutor,
) -> None:
    """Measure both servers in every situation, in turns."""
    measured = {(server, each): Measured() for server in (PRODUCT, BARE) for each in SITUATIONS}
    heard, health_s = Heard(), Answers()
    async with httpx.AsyncClient(base_url=urls[PRODUCT], timeout=30) as http:
        trainings = Trainings(http)
        await trainings.begin()
        stage = Stage(url=urls, process=processes, ended_tasks=tasks, trainings=trainings)
        async with background(asked, stage, http, heard, health_s):
            await asyncio.sleep(SETTLE_S)
            for number in range(asked.rounds):
                for situation in SITUATIONS:
                    turns = (PRODUCT, BARE) if number % 2 == 0 else (BARE, PRODUCT)
                    for server in turns:
                        await measure_once(
                            asked, stage, server, situation, clients, measured[server, situation]
                        )
    show(measured)
    show_rest(heard, health_s, trainings)


async def measure_once(  # noqa: PLR0917 - one call site, all of it is needed
    asked: argparse.Namespace,
    stage: Stage,
    server: str,
    situation: Situation,
    clients: ProcessPoolExecutor,
    into: Measured,
) -> None:
    """Let the clients ask one server for some seconds."""
    polling = Polling(
        addresses=stage.addresses(server, situation),
        clients=asked.clients,
        seconds=asked.seconds,
        every_s=situation.every_s,
    )
    process = stage.process[server]
    before = cpu_s(process)
    loop = asyncio.get_running_loop()
    got = await loop.run_in_executor(clients, poll, polling)
    into.add(got, cpu_s(process) - before, process.memory_info().rss / MEGABYTE)
    await asyncio.sleep(0.5)


@asynccontextmanager
async def background(
    asked: argparse.Namespace,
    stage: Stage,
    http: httpx.AsyncClient,
    heard: Heard,
    health_s: Answers,
) -> AsyncIterator[None]:
    """Keep trainings, listeners and the client of /health/ going."""
    trainings = stage.trainings
    running = [trainings.keep_running(), ask_health(http, health_s)]
    for number in range(asked.listeners):
        place = number % len(METERS)
        follow = lambda place=place: trainings.task_ids[place]  # noqa: E731 - bound to its place
        running.append(listen(stage.url[PRODUCT], follow, heard))
    tasks = [asyncio.create_task(each) for each in running]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask_health(http: httpx.AsyncClient, into: Answers) -> None:
    """Ask how the API is, twice a second; until cancelled."""
    while True:
        started = time.perf_counter()
        try:
            status = (await http.get("/health/")).status_code
        except httpx.TransportError as error:
            into.fail(type(error).__name__)
        else:
            into.waits_s.append(time.perf_counter() - started)
            if status != httpx.codes.OK:
                into.fail(str(status))
        await asyncio.sleep(0.5)


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds that a process has used."""
    times = process.cpu_times()
    return times.user + times.system


def percentile(values: list[float], percent: int) -> float:
    """Return a percentile; NaN of nothing."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def show(measured: dict[tuple[str, Situation], Measured]) -> None:
    """Print the table and the ratios."""
    print(
        f"{'clients ask':<30} {'server':<8} {'answers/s':>9} {'p50 ms':>8} {'p99 ms':>8} "
        f"{'max ms':>8} {'errors':>7} {'CPU ms/answer':>13} {'MB':>5}"
    )
    for (server, situation), each in measured.items():
        count = max(len(each.waits_s), 1)
        p50, p99, most = (1000 * percentile(each.waits_s, share) for share in (50, 99, 100))
        print(
            f"{situation!s:<30} {server:<8} {len(each.waits_s) / each.seconds:9.0f} {p50:8.1f} "
            f"{p99:8.1f} {most:8.1f} {sum(each.errors.values()):7} "
            f"{1000 * each.cpu_s / count:13.2f} {each.resident_mb:5.0f}"
        )
        if each.errors:
            print(f"{'':<30} errors: {each.errors}")
    print("\nRatio of the product's p99 to the bare endpoint's, by round:")
    for situation in SITUATIONS:
        pairs = zip(
            measured[PRODUCT, situation].p99s_s, measured[BARE, situation].p99s_s, strict=True
        )
        ratios = [ours / theirs for ours, theirs in pairs]
        print(
            f"{situation!s:<30} {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


def show_rest(heard: Heard, health_s: Answers, trainings: Trainings) -> None:
    """Print what went on beside."""
    print(
        f"\nListeners: {heard.events} events, {heard.tasks_to_the_end} tasks heard to the end, "
        f"{heard.wrong_numbers} gaps or repeats, {heard.streams_cut} streams cut, "
        f"{heard.refusals} refused"
    )
    waits = health_s.waits_s
    print(
        f"/health/ meanwhile: p50 {1000 * percentile(waits, 50):.1f} ms, "
        f"p99 {1000 * percentile(waits, 99):.1f} ms, max {1000 * max(waits, default=0):.1f} ms, "
        f"errors {health_s.errors or 0}"
    )
    ended = ", ".join(f"{count} {status}" for status, count in trainings.ended.items())
    print(f"Trainings meanwhile: {ended}")


if __name__ == "__main__":
    main()
