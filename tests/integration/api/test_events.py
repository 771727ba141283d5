"""A task's events over a real uvicorn and a real Redis: nothing missing, nothing twice."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import redis
import uvicorn
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from energy_forecasting import bootstrap
from energy_forecasting.api import event_stream
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.errors import NoDataFound
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import PIPELINE, Stage
from energy_forecasting.launcher.ports import LOOPBACK
from energy_forecasting.settings import Settings
from energy_forecasting.tasks import event_listener, task_events
from energy_forecasting.tasks.gathered_reads import GatheredReads
from energy_forecasting.tasks.redis_client import events_redis, worker_redis
from energy_forecasting.tasks.task_events import TaskEvents
from energy_forecasting.tasks.task_store import Claim, TaskStore
from energy_forecasting.tasks.wish import Wish
from tests.conftest import PROJECT_DIR, RealRedis, wait_until
from tests.event_source import ReceivedEvent, received_events

pytestmark = pytest.mark.redis

METER = Meter(meter_type="water", meter_id="m1")
LISTENERS = 300
#: Generous: many processes share the machine in CI.
SOON_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningApi:
    """An API in a thread of the test, behind a real server."""

    url: str
    hub: TaskEvents

    def stream(
        self, task_id: str, *, seen: int | None = None
    ) -> Generator[ReceivedEvent, None, None]:
        return received_events(self.url, task_id, seen=seen)

    def status_of_stream(self, task_id: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.url}/trainmodel/events/{task_id}", headers=headers, timeout=SOON_S)


@contextmanager
def api_over(redis_url: str, folder: Path, port: int) -> Iterator[RunningApi]:
    services = bootstrap.api_services(
        Settings(
            redis_url=redis_url,
            meter_store="sqlite",
            sqlite_path=folder / "meters.sqlite",
            model_store=folder / "models",
            log_dir=folder,
        )
    )
    config = uvicorn.Config(create_app(services), port=port, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, within_s=SOON_S)
        yield RunningApi(url=f"http://{LOOPBACK}:{port}", hub=services.events)
    finally:
        server.should_exit = True
        services.events.end()
        thread.join(SOON_S)
        assert not thread.is_alive()


@pytest.fixture
def api(redis_url: str, tmp_path: Path, free_port: int) -> Iterator[RunningApi]:
    with api_over(redis_url, tmp_path, free_port) as running:
        yield running


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    connection = worker_redis(redis_url)
    yield connection
    connection.close()


@pytest.fixture
def store(client: redis.Redis, redis_url: str) -> TaskStore:
    return TaskStore(client, url=redis_url, retention=timedelta(days=7))


def claimed_task(store: TaskStore) -> Claim:
    task_id = store.admit(METER, Wish()).task_id
    claim = store.claim(task_id, worker="host:1")
    assert claim is not None
    return claim


def start_training(store: TaskStore, claim: Claim) -> None:
    for stage in PIPELINE[2:6]:
        store.enter(claim, stage)


def finish(store: TaskStore, claim: Claim) -> None:
    store.enter(claim, Stage.SAVING_MODEL)
    store.succeed(claim, {"status": "success"})


def in_background(work: threading.Thread) -> threading.Thread:
    work.start()
    return work


def numbers(events: list[ReceivedEvent]) -> list[int]:
    return [event.number for event in events]


def test_a_listener_hears_what_was_and_what_comes_and_then_the_end(
    api: RunningApi, store: TaskStore
) -> None:
    # Given: a task under way
    claim = claimed_task(store)
    start_training(store, claim)

    # When: a client listens while it goes on
    heard: list[ReceivedEvent] = []
    for event in api.stream(claim.task_id):
        heard.append(event)
        if event.status == "TRAINING_MODEL" and event.fields["progress"] == 50:
            store.report_training(claim, 0.5, "Training model (2 of 4)")
        if event.fields["progress"] == 69:
            finish(store, claim)

    # Then: every change came once, as the record told it, and the stream ended by itself
    assert [(event.status, event.fields["progress"]) for event in heard] == [
        ("PENDING", 0),
        ("STARTED", 0),
        ("CONNECTING", 5),
        ("FETCHING_DATA", 10),
        ("VALIDATING_DATA", 35),
        ("TRAINING_MODEL", 50),
        ("TRAINING_MODEL", 69),
        ("SAVING_MODEL", 90),
        ("SUCCESS", 100),
    ]
    assert numbers(heard) == list(range(9))
    assert heard[6].fields["message"] == "Training model (2 of 4)"
    record = httpx.get(f"{api.url}/trainmodel/status/{claim.task_id}").json()
    for name in ("task_id", "status", "progress", "message", "attempt", "updated_at"):
        assert heard[-1].fields[name] == record[name]


def test_a_failure_tells_its_error(api: RunningApi, store: TaskStore) -> None:
    claim = claimed_task(store)
    store.fail(claim, NoDataFound("The meter has no readings."))

    heard = list(api.stream(claim.task_id))

    assert heard[-1].status == "FAILED"
    assert heard[-1].fields["error"] == "The meter has no readings."


def test_a_cancellation_is_heard_and_ends_the_stream(api: RunningApi, store: TaskStore) -> None:
    claim = claimed_task(store)

    heard: list[str] = []
    for event in api.stream(claim.task_id):
        heard.append(event.status)
        if event.status == "STARTED":
            httpx.delete(f"{api.url}/trainmodel/{claim.task_id}").raise_for_status()

    assert heard == ["PENDING", "STARTED", "CANCELLED"]


def test_who_has_heard_the_end_is_told_not_to_come_back(api: RunningApi, store: TaskStore) -> None:
    claim = claimed_task(store)
    httpx.delete(f"{api.url}/trainmodel/{claim.task_id}").raise_for_status()

    assert numbers(list(api.stream(claim.task_id, seen=0))) == [1, 2]
    # A browser's EventSource comes back after every end, but not after 204.
    assert api.status_of_stream(claim.task_id, **{"Last-Event-ID": "2"}).status_code == 204


def test_a_number_never_given_begins_anew_and_a_text_is_refused(
    api: RunningApi, store: TaskStore
) -> None:
    claim = claimed_task(store)
    store.cancel(claim.task_id)

    assert numbers(list(api.stream(claim.task_id, seen=77))) == [0, 1, 2]
    for wrong in ("one", "-1", "1.5", "9" * 40):
        answer = api.status_of_stream(claim.task_id, **{"Last-Event-ID": wrong})
        assert answer.status_code == 422
        assert answer.json()["error"]["details"]["field"] == "Last-Event-ID"


def test_an_unknown_task_is_404(api: RunningApi) -> None:
    answer = api.status_of_stream("nope")

    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "NOT_FOUND"


@hypothesis_settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rhythm=st.tuples(
        st.lists(st.integers(min_value=0, max_value=9), min_size=1, max_size=12),
        st.lists(st.booleans(), min_size=1, max_size=6),
        st.integers(min_value=0, max_value=4),
    )
)
def test_resuming_after_random_cuts_has_no_gap_and_no_repeat(
    api: RunningApi,
    store: TaskStore,
    client: redis.Redis,
    rhythm: tuple[list[int], list[bool], int],
) -> None:
    # Given: a task that makes 40 steps
    reads, losses, pause_ms = rhythm
    claim = claimed_task(store)
    start_training(store, claim)

    def work() -> None:
        for step in range(40):
            store.report_training(claim, step / 40, f"Step {step}")
            time.sleep(pause_ms / 1000)
        finish(store, claim)

    # When: a client reads a few events at a time, and now and then the API loses its subscription
    worker = in_background(threading.Thread(target=work))
    heard: list[ReceivedEvent] = []
    cuts, faults = itertools.cycle(reads), itertools.cycle(losses)
    while not heard or heard[-1].status != "SUCCESS":
        if next(faults):
            client.client_kill_filter(_type="pubsub")
        seen = heard[-1].number if heard else None
        with closing(api.stream(claim.task_id, seen=seen)) as stream:
            heard += itertools.islice(stream, 1 + next(cuts))
    worker.join()

    # Then
    assert numbers(heard) == list(range(len(heard)))
    steps = [event.fields["message"] for event in heard if "Step" in event.fields["message"]]
    assert steps == [f"Step {step}" for step in range(40)]


def test_hundreds_of_listeners_cost_one_subscription_and_leave_nothing_behind(
    api: RunningApi, store: TaskStore, client: redis.Redis
) -> None:
    claim = claimed_task(store)
    others = list(api.stream(_ended_task(store)))  # the subscription is there from now on
    assert others[-1].status == "CANCELLED"
    tasks_before = _tasks_of(api.hub)

    async def listen(leaves_early: bool) -> list[bytes]:
        reader, writer = await asyncio.open_connection(*api.url.removeprefix("http://").split(":"))
        writer.write(f"GET /trainmodel/events/{claim.task_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = [await reader.readuntil(b"id: 1\n")]
        if not leaves_early:
            received.append(await reader.readuntil(b"\r\n0\r\n\r\n"))
        writer.close()
        return received

    def everybody_is_there() -> bool:
        return api.hub.listener_count >= LISTENERS * 2 // 3

    async def listen_together() -> list[list[bytes]]:
        listening = [asyncio.create_task(listen(index % 3 == 0)) for index in range(LISTENERS)]
        await asyncio.to_thread(wait_until, everybody_is_there, within_s=SOON_S)
        assert client.pubsub_numpat() == 1
        assert len(client.client_list(_type="pubsub")) == 1
        start_training(store, claim)
        finish(store, claim)
        return await asyncio.gather(*listening)

    heard = asyncio.run(asyncio.wait_for(listen_together(), 2 * SOON_S))

    stayed = [b"".join(parts) for parts in heard if len(parts) == 2]
    assert len(stayed) == LISTENERS - len(range(0, LISTENERS, 3))
    for text in stayed:
        assert [int(part.split(b"\n")[0]) for part in text.split(b"\nid: ")[1:]] == list(range(8))
    wait_until(lambda: api.hub.listener_count == 0, within_s=SOON_S)
    wait_until(lambda: _tasks_of(api.hub) <= tasks_before, within_s=SOON_S)
    assert client.pubsub_numpat() == 1


def test_a_stream_survives_a_restart_of_redis_by_coming_back(
    api: RunningApi, store: TaskStore, redis_server: RealRedis
) -> None:
    # Given: a listener
    claim = claimed_task(store)
    heard: list[ReceivedEvent] = []
    with closing(api.stream(claim.task_id)) as stream:
        heard += itertools.islice(stream, 2)

        # When: Redis restarts
        redis_server.stop()
        try:
            heard += stream  # ends in good order
            away = api.status_of_stream(claim.task_id)
        finally:
            redis_server.start()

    # Then: in between it is 503, afterwards it goes on where it was
    assert away.status_code == 503
    assert away.headers["Retry-After"] == "1"
    assert away.json()["error"]["type"] == "CONNECTION_ERROR"
    start_training(store, claim)
    finish(store, claim)
    heard += api.stream(claim.task_id, seen=heard[-1].number)
    assert numbers(heard) == list(range(8))


def test_a_redis_that_falls_silent_ends_the_streams(
    api: RunningApi,
    store: TaskStore,
    redis_server: RealRedis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_events, "SILENCE_S", 0.4)
    claim = claimed_task(store)
    with closing(api.stream(claim.task_id)) as stream:
        heard = list(itertools.islice(stream, 2))
        time.sleep(2)  # a Redis that only has nothing to say is no fault
        store.enter(claim, Stage.CONNECTING)
        heard += itertools.islice(stream, 1)

        with redis_server.paused():
            heard += stream

    assert numbers(heard) == [0, 1, 2]


def test_without_redis_a_stream_is_refused_before_it_begins(tmp_path: Path, free_port: int) -> None:
    with api_over(f"redis://{LOOPBACK}:1/0", tmp_path, free_port) as api:
        started = time.perf_counter()
        answer = api.status_of_stream("any")
        elapsed_s = time.perf_counter() - started

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert elapsed_s < 1.0


def test_a_silent_stream_has_heartbeats(
    api: RunningApi, store: TaskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.1)
    claim = claimed_task(store)

    with httpx.stream("GET", f"{api.url}/trainmodel/events/{claim.task_id}") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 2000"
        assert sum(line == ": ping" for line in itertools.islice(lines, 30)) > 5


def test_a_slow_listener_is_dropped_and_can_resume(
    store: TaskStore,
    client: redis.Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_listener, "QUEUE_LIMIT", 4)
    claim = claimed_task(store)
    start_training(store, claim)

    async def listen() -> tuple[list[int], list[int]]:
        reads = GatheredReads(client, url=redis_url)
        hub = TaskEvents(events_redis(redis_url), reads, url=redis_url)
        slow = await hub.open(claim.task_id, seen=None)
        assert slow is not None
        events = slow.events(heartbeat_s=SOON_S)
        first = await anext(events)
        assert first is not None
        for step in range(20):
            await asyncio.to_thread(store.report_training, claim, step / 20, "")
        await asyncio.to_thread(wait_until, lambda: not hub.listener_count, within_s=SOON_S)
        heard = [first.number] + [event.number async for event in events if event]
        await asyncio.to_thread(finish, store, claim)
        again = await hub.open(claim.task_id, seen=heard[-1])
        assert again is not None
        rest = [event.number async for event in again.events(heartbeat_s=SOON_S) if event]
        await hub.aclose()
        reads.close()
        return heard, rest

    heard, rest = asyncio.run(asyncio.wait_for(listen(), SOON_S))

    assert heard == list(range(6))
    assert heard + rest == list(range(28))


@pytest.mark.parametrize("wish", [signal.SIGTERM, signal.SIGINT])
def test_a_stopping_api_ends_its_streams_at_once(
    store: TaskStore, redis_url: str, tmp_path: Path, free_port: int, wish: signal.Signals
) -> None:
    # Given: an API as an operator starts it, and a listener
    environment = {**os.environ, "REDIS_URL": redis_url, "LOG_DIR": str(tmp_path)}
    environment |= {"METER_STORE": "sqlite", "SQLITE_PATH": str(tmp_path / "meters.sqlite")}
    command = [sys.executable, "-m", "uvicorn", "main_dramatiq:app", "--port", str(free_port)]
    url = f"http://{LOOPBACK}:{free_port}"
    claim = claimed_task(store)
    with subprocess.Popen(command, cwd=PROJECT_DIR, env=environment) as api:
        try:
            wait_until(lambda: _is_up(url), within_s=SOON_S)
            with closing(received_events(url, claim.task_id)) as stream:
                heard = list(itertools.islice(stream, 2))

                # When: it is asked to stop
                api.send_signal(wish)
                started = time.monotonic()
                heard += stream
                api.wait(SOON_S)
                elapsed_s = time.monotonic() - started
        finally:
            api.kill()

    # Then: the stream ended in good order, and nobody was waited for
    assert numbers(heard) == [0, 1]
    assert elapsed_s < 10
    assert api.returncode in (0, -wish)


def _ended_task(store: TaskStore) -> str:
    task_id = store.admit(Meter(meter_type="gas", meter_id=f"m{random.random()}"), Wish()).task_id  # noqa: S311 - no secret
    store.cancel(task_id)
    return task_id


def _tasks_of(hub: TaskEvents) -> int:
    assert hub._reading is not None
    return len(asyncio.all_tasks(hub._reading.get_loop()))


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/").status_code == 200
    except httpx.TransportError:
        return False
