"""A real stack at work on a batch: a single request overtakes it, and it can be cancelled."""

from collections.abc import Iterator

import psutil
import pytest

from tests.conftest import RealRedis, wait_until
from tests.e2e.stack import ENDED, Stack, lives, sample_stack

pytestmark = [pytest.mark.e2e, pytest.mark.redis, pytest.mark.tensorflow]

BATCH = {
    "meters": [
        {"meter_id": "ucam_b31_gas", "meter_type": "gas"},
        {"meter_id": "no such meter", "meter_type": "water"},
        {"meter_id": "bwdf_dma_05", "meter_type": "water"},
        {"meter_id": "bwdf_dma_09", "meter_type": "water"},
    ],
    "tuning": {"max_trials": 50},
}
SINGLE = {
    "meter_id": "ucam_b37_elec",
    "meter_type": "electricity",
    "tuning": {"max_trials": 0},
}


@pytest.fixture(scope="module")
def stack(
    redis_server: RealRedis, tmp_path_factory: pytest.TempPathFactory, free_port: int
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with sample_stack(redis_server.url, folder, free_port) as running:
        yield running


def test_a_single_request_overtakes_a_batch_which_is_then_cancelled(stack: Stack) -> None:
    # Given a batch that keeps the worker's only thread at work
    answer = stack.http.post("/trainmodel/batch", json=BATCH).raise_for_status().json()
    assert (answer["accepted"], answer["rejected"]) == (3, 1)
    path = f"/trainmodel/batch/{answer['batch_id']}"
    first = answer["tasks"][0]["task_id"]
    stack.wait_for_status(first, {"TRAINING_MODEL"}, within_s=60)

    # When somebody asks for a single training
    single = stack.train(SINGLE)

    # Then it is picked up beside the batch and ends before it
    stack.wait_for_status(single, {"CONNECTING", "TRAINING_MODEL", *ENDED}, within_s=5)
    assert stack.wait_for_status(single, ENDED, within_s=90)["status"] == "SUCCESS"
    batch = stack.http.get(path).json()
    assert batch["status"] == "RUNNING"
    assert batch["counts"]["succeeded"] == 0

    # When the batch is cancelled
    trainer = _hardest_worker(stack)
    cancelled = stack.http.delete(path).raise_for_status().json()

    # Then all of its tasks have ended, and what trained one of them is killed
    assert cancelled["cancelled"] == 3
    assert cancelled["batch"]["status"] == "FINISHED"
    wait_until(lambda: not lives(trainer), within_s=2)
    assert stack.http.get("/health/worker").json()["queue_depth"] == 0


def _hardest_worker(stack: Stack) -> psutil.Process:
    """Return the trainer of the batch: it has run longer than that of the short training."""
    trainers = [
        process
        for process in stack.worker_process().children(recursive=True)
        if "forkserver" in " ".join(process.cmdline())
    ]
    return max(trainers, key=lambda process: process.cpu_times().user)
