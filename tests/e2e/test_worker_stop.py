"""The worker is told to stop while things hang: it ends in time and gives its tasks back."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
import redis

from dramatiq_worker import TEARDOWN_S
from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.queue import TrainingQueue, redis_broker
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.redis_client import api_redis
from energy_forecasting.tasks.task_store import TaskStore
from energy_forecasting.tasks.wish import Wish
from tests.conftest import PROJECT_DIR, RealRedis, wait_until
from tests.e2e.conftest import Workplace

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.tensorflow]

GRACE_S = 2.0
#: Killing what has not ended, and a busy machine.
SLACK_S = 4.0
LIMIT_S = GRACE_S + TEARDOWN_S + SLACK_S
START_LIMIT_S = 120.0
METER = Meter(meter_type="electricity", meter_id="ucam_b37_elec")


class Worker:
    """A worker as an operator starts it, and the task records as its clients see them."""

    def __init__(self, place: Workplace, url: str, *arguments: str) -> None:
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self.store = TaskStore(api_redis(url), url=url, retention=timedelta(days=1))
        broker = redis_broker(api_redis(url, decode_responses=False))
        self._queue = TrainingQueue(broker, url=url)
        self.output = place.folder / "worker.txt"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "dramatiq_worker.py", "--threads", "1", *arguments],
                cwd=PROJECT_DIR,
                env=place.environment,
                stdout=output,
                stderr=output,
            )

    def said(self, words: str) -> bool:
        return words in self.output.read_text()

    def train(self, meter: Meter = METER, *, max_trials: int = 50) -> str:
        task_id = self.store.admit(meter, Wish(max_trials=max_trials)).task_id
        self._queue.send(task_id, Lane.SINGLE)
        return task_id

    def wait_for(self, task_id: str, progress: int) -> TaskRecord:
        wait_until(lambda: self.store.get(task_id).progress > progress, within_s=START_LIMIT_S)
        return self.store.get(task_id)

    def waiting_messages(self) -> int:
        return int(self.client.llen("dramatiq:training"))

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, *numbers: int) -> float:
        """Send the signals; return how long the worker took to end, and see that all of it has."""
        family = self.family()
        told = time.monotonic()
        for number in numbers or (signal.SIGTERM,):
            self.process.send_signal(number)
            time.sleep(0.3)
        self.process.wait(60)
        took_s = time.monotonic() - told
        wait_until(lambda: not any(map(lives, family)), within_s=2.0)
        return took_s


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@contextmanager
def mute_influxdb() -> Iterator[int]:
    """Serve an InfluxDB that passes the check of a start and answers nothing after that."""
    questions = itertools.count()
    has_ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith("/ping") and next(questions) > 0:
                has_ended.wait()
            body = b'{"results": [{"statement_id": 0}]}'
            self.send_response(200)
            self.send_header("X-Influxdb-Version", "1.8.10")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        has_ended.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def place(workplace: Workplace, redis_url: str) -> Workplace:
    workplace.environment["REDIS_URL"] = redis_url
    workplace.environment["SHUTDOWN_GRACE_S"] = str(GRACE_S)
    meters = SqliteMeterStore(Path(workplace.environment["SQLITE_PATH"]))
    data = PROJECT_DIR / "data"
    import_csv(data / "sample.csv.gz", meters, profiles=data / "sample_meters.csv")
    meters.close()
    return workplace


@contextmanager
def working(place: Workplace, *arguments: str) -> Iterator[Worker]:
    worker = Worker(place, place.environment["REDIS_URL"], *arguments)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.process.terminate()
            worker.process.wait(60)
        sys.stdout.write(worker.output.read_text())  # pytest shows it after a failure


def check_returned(worker: Worker, task_id: str) -> None:
    record = worker.store.get(task_id)
    assert record.status == "PENDING", record
    assert record.message == "The worker was stopped; queued again"
    assert record.attempt == 2
    fields = worker.client.hgetall(f"ef:task:{task_id}")
    assert (fields.get("retries"), fields.get("losses"), fields["returns"]) == (None, None, "1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_training_that_takes_longer_than_the_grace_returns_to_the_queue(
    number: int, place: Workplace
) -> None:
    with working(place) as worker:
        # Given: one training runs, two wait
        running = worker.train()
        waiting = [worker.train(Meter(meter_type="water", meter_id=f"m{each}")) for each in (1, 2)]
        worker.wait_for(running, 50)
        # When
        took_s = worker.stop(number)
        # Then
        assert GRACE_S <= took_s < LIMIT_S
        assert worker.process.returncode == 0
        check_returned(worker, running)
        assert [worker.store.get(each).attempt for each in waiting] == [1, 1]
        assert [worker.store.get(each).status for each in waiting] == ["PENDING", "PENDING"]
        assert worker.waiting_messages() == 3
        assert worker.client.keys("dramatiq:__acks__*") == []
        assert not worker.said("killed")


def test_a_training_that_ends_within_the_grace_is_not_interrupted(place: Workplace) -> None:
    place.environment["SHUTDOWN_GRACE_S"] = "60"
    with working(place) as worker:
        task_id = worker.train(max_trials=3)
        later = worker.train(Meter(meter_type="water", meter_id="m1"))
        worker.wait_for(task_id, 50)
        worker.stop()
        assert worker.store.get(task_id).status == "SUCCESS"
        assert worker.store.get(task_id).attempt == 1
        assert worker.store.get(later).status == "PENDING"  # it takes no task after the order


def test_a_second_signal_hurries(place: Workplace) -> None:
    place.environment["SHUTDOWN_GRACE_S"] = "600"
    with working(place) as worker:
        task_id = worker.train()
        worker.wait_for(task_id, 50)
        assert worker.stop(signal.SIGTERM, signal.SIGTERM) < TEARDOWN_S + SLACK_S
        check_returned(worker, task_id)


@pytest.mark.parametrize("after_s", [0.7, 1.5, 2.5, 4.0])
def test_sigterm_in_the_first_seconds_of_a_start_ends_it_without_an_error(
    after_s: float, place: Workplace
) -> None:
    """The forkserver imports TensorFlow then, and a trainer is being started."""
    with working(place) as worker:
        wait_until(lambda: worker.said("Worker starting"), within_s=START_LIMIT_S)
        time.sleep(after_s)
        assert worker.stop() < LIMIT_S
        assert worker.process.returncode == 0
        for word in ("Traceback", "ERROR", "CRITICAL", "Warning"):
            assert not worker.said(word)


def test_a_task_that_waits_for_a_trainer_to_start_returns_to_the_queue(place: Workplace) -> None:
    with working(place) as worker:
        task_id = worker.train()
        worker.wait_for(task_id, 36)
        assert worker.stop(signal.SIGTERM, signal.SIGTERM) < LIMIT_S
        check_returned(worker, task_id)
        assert not worker.said("CRITICAL")


def test_a_trainer_that_ignores_every_signal_is_killed(place: Workplace) -> None:
    with working(place) as worker:
        task_id = worker.train()
        worker.wait_for(task_id, 50)
        for each in worker.family():
            if "forkserver" in " ".join(each.cmdline()):
                each.suspend()
        assert worker.stop() < LIMIT_S
        check_returned(worker, task_id)


def test_a_read_that_hangs_in_the_store_gives_its_task_back(place: Workplace) -> None:
    # Given: an InfluxDB that is well, and then never answers
    with mute_influxdb() as port:
        place.environment.update(
            {
                "METER_STORE": "influxdb",
                "INFLUXDB_URL": f"http://127.0.0.1:{port}",
                "INFLUXDB_USERNAME": "u",
                "INFLUXDB_PASSWORD": "p",
                "INFLUXDB_DATABASE": "d",
            }
        )
        with working(place) as worker:
            task_id = worker.train()
            wait_until(
                lambda: worker.store.get(task_id).status == "FETCHING_DATA", within_s=START_LIMIT_S
            )
            # When
            took_s = worker.stop()
            # Then
            assert took_s < LIMIT_S
            check_returned(worker, task_id)
            assert worker.waiting_messages() == 1
            assert not worker.said("killed")


@pytest.mark.parametrize("how", ["away", "hangs"])
def test_it_ends_in_time_without_redis(how: str, place: Workplace, redis_server: RealRedis) -> None:
    with working(place) as worker:
        task_id = worker.train()
        worker.wait_for(task_id, 50)
        # When
        server = psutil.Process(redis_server.pid)
        if how == "away":
            redis_server.stop()
        else:
            server.suspend()
        try:
            took_s = worker.stop()
        finally:
            if how == "away":
                redis_server.start()
            else:
                server.resume()
        # Then: the next worker takes the task over
        assert took_s < LIMIT_S
        assert worker.store.get(task_id).status == "TRAINING_MODEL"
    with working(place) as worker:
        wait_until(lambda: worker.store.get(task_id).attempt == 2, within_s=START_LIMIT_S)
        worker.store.cancel(task_id)


def test_a_draining_worker_holds_no_message_and_sigterm_shortens_its_drain(
    place: Workplace,
) -> None:
    place.environment["DRAIN_LIMIT_S"] = "600"
    with working(place, "--threads", "2") as worker:
        # Given: one of two threads is free
        task_id = worker.train()
        worker.wait_for(task_id, 50)
        worker.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: worker.said("Worker stopping"), within_s=10)
        later = worker.train(Meter(meter_type="water", meter_id="m1"))
        # Then: what comes now is left to others, at once and all the time
        for _ in range(20):
            time.sleep(0.2)
            assert worker.waiting_messages() == 1
        assert worker.store.get(later).status == "PENDING"
        assert worker.store.get(task_id).status == "TRAINING_MODEL"
        assert worker.stop() < LIMIT_S
        check_returned(worker, task_id)


def test_a_drain_has_a_limit(place: Workplace) -> None:
    place.environment["DRAIN_LIMIT_S"] = "3"
    with working(place) as worker:
        task_id = worker.train()
        worker.wait_for(task_id, 50)
        assert 3 <= worker.stop(signal.SIGUSR1) < 3 + TEARDOWN_S + SLACK_S
        check_returned(worker, task_id)


def test_a_long_drain_keeps_its_message_and_lets_others_work(place: Workplace) -> None:
    """Dramatiq would take a process for dead that asks for no messages for ten seconds."""
    with working(place) as worker:
        running = worker.train()
        worker.wait_for(running, 50)
        worker.process.send_signal(signal.SIGUSR1)
        with working(place) as other:
            wait_until(lambda: other.said("Trainers warm"), within_s=START_LIMIT_S)
            time.sleep(14)
            assert not other.said("Message dropped")
            record = worker.store.get(running)
            assert (record.status, record.attempt) == ("TRAINING_MODEL", 1)
            worker.store.cancel(running)
            assert worker.process.wait(60) == 0


def test_worker_processes_are_started_through_the_link_that_leads_to_the_release(
    place: Workplace,
) -> None:
    """So that an upgrade follows the link to where it leads by then."""
    link = place.folder / "current"
    link.symlink_to(PROJECT_DIR)
    with subprocess.Popen(
        [sys.executable, str(link / "dramatiq_worker.py")], cwd=link, env=place.environment
    ) as worker:
        try:
            wait_until(
                lambda: any(
                    str(link / "dramatiq_worker.py") in each.cmdline()
                    for each in psutil.Process(worker.pid).children()
                ),
                within_s=START_LIMIT_S,
            )
        finally:
            worker.terminate()


def test_a_killed_supervisor_leaves_nothing(place: Workplace) -> None:
    with working(place) as worker:
        task_id = worker.train()
        worker.wait_for(task_id, 50)
        family = worker.family()
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait(10)
        wait_until(lambda: not any(map(lives, family)), within_s=10)
