"""Worker and API are replaced under load: nothing is lost, doubled, interrupted or refused."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import redis

from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import HOUR, History
from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore
from tests.conftest import PROJECT_DIR, wait_until
from tests.e2e.conftest import Workplace
from tests.e2e.training_load import TrainingLoad

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.redis,
    pytest.mark.tensorflow,
    pytest.mark.timeout(900),
]

START_LIMIT_S = 240.0
YOUNG: list[dict[str, Any]] = [
    {"meter_id": f"young-{number}", "meter_type": "water"} for number in range(24)
]
LONG: dict[str, Any] = {
    "meter_id": "ucam_b37_elec",
    "meter_type": "electricity",
    "tuning": {"max_trials": 4},
}


def young_history(seed: int) -> History:
    """Return five weeks, which are learnt in a fraction of a second."""
    generator = np.random.default_rng(seed)
    hours = np.arange(24 * 35)
    start = np.datetime64("2025-03-03T00:00:00", "s")
    used = 3 + np.sin(2 * np.pi * hours / 24) + generator.gamma(2, 0.2, len(hours))
    return History(
        timestamps=start + hours * HOUR,
        consumption=used,
        temperature=np.full(len(hours), np.nan),
    )


@pytest.fixture
def place(workplace: Workplace, redis_url: str) -> Workplace:
    """Return a workplace with meters."""
    workplace.environment["REDIS_URL"] = redis_url
    meters = SqliteMeterStore(Path(workplace.environment["SQLITE_PATH"]))
    data = PROJECT_DIR / "data"
    import_csv(data / "sample.csv.gz", meters, profiles=data / "sample_meters.csv")
    for number, body in enumerate(YOUNG):
        meter = Meter(meter_type=body["meter_type"], meter_id=body["meter_id"])
        meters.write_profile(meter, MeterProfile())
        meters.write_readings(meter, iter([young_history(number)]))
    meters.close()
    return workplace


@contextmanager
def service(place: Workplace, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=PROJECT_DIR, env=place.environment
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def workers(url: str) -> list[dict[str, Any]]:
    try:
        return list(httpx.get(f"{url}/health/worker", trust_env=False).json()["workers"])
    except (httpx.TransportError, KeyError):
        return []


def upgraded(url: str, worker: subprocess.Popen[bytes]) -> None:
    """Replace the worker processes and wait until the old ones have gone."""
    old = {each["pid"] for each in workers(url)}
    worker.send_signal(signal.SIGHUP)
    seen: list[list[dict[str, Any]]] = []

    def is_done() -> bool:
        now = workers(url)
        seen.append(now)
        return bool(now) and not old & {each["pid"] for each in now}

    wait_until(is_done, within_s=START_LIMIT_S)
    together = [each for each in seen if len(each) == 2]
    assert together, "successor and predecessor were never seen side by side"
    for both in together:
        assert all(each["version"] for each in both)
        assert not any(each["draining"] for each in both if each["pid"] not in old)


def restarted(api: subprocess.Popen[bytes]) -> None:
    """Replace the API's processes and wait until the old ones have gone."""
    old = serving(api)
    assert len(old) == 2
    api.send_signal(signal.SIGHUP)
    wait_until(lambda: len(serving(api)) == 2 and not old & serving(api), within_s=START_LIMIT_S)


def serving(api: subprocess.Popen[bytes]) -> set[int]:
    """Return the processes in which uvicorn serves; its resource tracker is none."""
    found = set()
    for each in psutil.Process(api.pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie, too
            if "spawn_main" in " ".join(each.cmdline()):
                found.add(each.pid)
    return found


def test_a_rolling_restart_under_load_loses_nothing(place: Workplace, free_port: int) -> None:
    # Given
    url = f"http://127.0.0.1:{free_port}"
    uvicorn = ("-m", "uvicorn", "main_dramatiq:app", "--port", str(free_port), "--workers", "2")
    patience = ("--timeout-worker-healthcheck", "60")  # five seconds are short on a busy machine
    with ExitStack() as stack:
        api = stack.enter_context(service(place, *uvicorn, *patience))
        worker = stack.enter_context(service(place, "dramatiq_worker.py", "--threads", "2"))
        wait_until(lambda: bool(workers(url)), within_s=START_LIMIT_S)
        bodies = [*YOUNG[:12], LONG, *YOUNG[12:], LONG]
        fresh = TrainingLoad(url, bodies, pause_s=0.5, clients=1, keeps_connections=False)
        kept = TrainingLoad(url, bodies, pause_s=0.5, clients=1, keeps_connections=True)
        loads = [fresh, kept]
        for load in loads:
            load.start()
        # When: worker, API, and both at once
        upgraded(url, worker)
        restarted(api)
        api.send_signal(signal.SIGHUP)
        upgraded(url, worker)
        for load in loads:
            load.stop_posting()
        for load in loads:
            load.wait_for_all(within_s=180)
        # Then
        for load in loads:
            assert load.faults == [], load.requests
        records = fresh.ended | kept.ended
        assert len(records) > 20
        assert Counter(each["status"] for each in records.values()) == {"SUCCESS": len(records)}
        assert {each["attempt"] for each in records.values()} == {1}
        assert any(each["meter_id"] == LONG["meter_id"] for each in records.values())
        check_queues(place.environment["REDIS_URL"], set(records))
        assert len(workers(url)) == 1
    assert worker.returncode == 0
    # The place's end finds out whether any process was left.


def check_queues(url: str, task_ids: set[str]) -> None:
    """Nothing waits, nothing is leased, and each task has one end and one start."""
    client = redis.Redis.from_url(url, decode_responses=True)
    wait_until(lambda: not client.hlen("dramatiq:training.msgs"), within_s=30)
    assert client.keys("dramatiq:training*") == []
    assert client.keys("dramatiq:__acks__*") == []
    assert client.zcard("ef:tasks:open") == 0
    assert set(client.zrange("ef:tasks", 0, -1)) == task_ids
    for task_id in task_ids:
        events = [json.loads(each) for each in client.lrange(f"ef:task_events:{task_id}", 0, -1)]
        told = Counter(each["status"] for each in events)
        assert (told["PENDING"], told["STARTED"], told["SUCCESS"]) == (1, 1, 1), events
    client.close()


def test_a_new_install_beside_the_old_one_takes_over(place: Workplace, free_port: int) -> None:
    # Given: an old worker at work
    url = f"http://127.0.0.1:{free_port}"
    with ExitStack() as stack:
        stack.enter_context(
            service(place, "-m", "uvicorn", "main_dramatiq:app", "--port", str(free_port))
        )
        old = stack.enter_context(service(place, "dramatiq_worker.py", "--threads", "1"))
        wait_until(lambda: len(workers(url)) == 1, within_s=START_LIMIT_S)
        body = {**LONG, "tuning": {"max_trials": 6}}
        running = httpx.post(f"{url}/trainmodel/", json=body).json()["task_id"]

        def status(task_id: str) -> dict[str, Any]:
            return dict(httpx.get(f"{url}/trainmodel/status/{task_id}").json())

        wait_until(lambda: status(running)["progress"] > 50, within_s=START_LIMIT_S)
        # When: a new one starts and the old one is told to drain
        new = stack.enter_context(service(place, "dramatiq_worker.py", "--threads", "1"))
        wait_until(lambda: len(workers(url)) == 2, within_s=START_LIMIT_S)
        old.send_signal(signal.SIGUSR1)
        wait_until(lambda: any(each["draining"] for each in workers(url)), within_s=10)
        later = httpx.post(f"{url}/trainmodel/", json=YOUNG[0]).json()["task_id"]
        # Then: the old one finishes what it has, the new one takes the rest
        assert old.wait(150) == 0
        wait_until(lambda: status(later)["status"] == "SUCCESS", within_s=START_LIMIT_S)
        wait_until(lambda: status(running)["status"] == "SUCCESS", within_s=5)
        assert status(running)["attempt"] == status(later)["attempt"] == 1
        child = {each["pid"] for each in workers(url)}
        assert len(child) == 1
        assert os.getpgid(child.pop()) == os.getpgid(new.pid)
