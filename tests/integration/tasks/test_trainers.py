"""Supervision of real trainer processes, with light work in TensorFlow's place."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, MutableSequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from energy_forecasting.domain.errors import (
    DataQualityError,
    TrainerOutOfMemory,
    TrainingFailed,
)
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.trainings import TrainingOptions, TrainingProgress
from energy_forecasting.tasks import trainer_process
from energy_forecasting.tasks.process_ties import die_with_parent
from energy_forecasting.tasks.task_store import TaskGone
from energy_forecasting.tasks.trainer_process import Board, TrainingJob
from energy_forecasting.tasks.trainers import TrainerLimits, TrainerPool, TrainerWork
from tests.conftest import wait_until

ENDINGS = {"killed": getattr(signal, "SIGKILL", signal.SIGTERM), "terminated": signal.SIGTERM}

#: What a leaking training leaves behind in its process.
LEAKED: list[object] = []


def prepare(board: MutableSequence[float]) -> None:
    trainer_process._board = board
    die_with_parent()
    board[Board.PID] = float(os.getpid())
    board[Board.IS_WARM] = 1.0


def behave(job: TrainingJob) -> int:
    """Do what the meter's id says and return this process's id."""
    match job.meter.meter_id:
        case "sleep":
            time.sleep(60)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "killed" | "terminated":
            os.kill(os.getpid(), ENDINGS[job.meter.meter_id])
        case "bug":
            raise ZeroDivisionError("a bug")
        case "constant":
            raise DataQualityError("Meter water/constant never changes.", distinct_values=1)
        case "greedy":
            hoard = np.ones(50_000_000)  # 400 MB
            time.sleep(60 + hoard[0])
        case "leak":
            LEAKED.append(np.ones(20_000_000))  # 160 MB, below the limit but above half of it
        case "steps":
            for step in range(6):
                trainer_process._board[Board.FRACTION] = step / 5
                time.sleep(0.15)
    return os.getpid()


def _lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def pool() -> Iterator[TrainerPool]:
    made = TrainerPool(
        size=1,
        max_trainings=3,
        limits=TrainerLimits(memory_mb=250),
        work=TrainerWork(prepare=prepare, train=behave, preloaded=[]),  # type: ignore[arg-type]
    )
    made.start()
    yield made
    made.close()


def job(behaviour: str) -> TrainingJob:
    nothing = np.empty(0)
    return TrainingJob(
        meter=Meter(meter_type="water", meter_id=behaviour),
        profile=MeterProfile(),
        history=History(
            timestamps=np.empty(0, "datetime64[s]"), consumption=nothing, temperature=nothing
        ),
        options=TrainingOptions(),
        artifact=Path("unused"),
    )


def run(pool: TrainerPool, behaviour: str, seen: list[TrainingProgress] | None = None) -> int:
    listener = (seen if seen is not None else []).append
    return pool.train(job(behaviour), on_progress=listener, raise_if_gone=lambda: None)  # type: ignore[return-value]


def test_a_trainer_is_reused_and_replaced_after_its_share_of_trainings(pool: TrainerPool) -> None:
    pids = [run(pool, "ok") for _ in range(4)]

    assert pids[0] == pids[1]
    assert len(set(pids)) == 2


def test_a_trainer_that_has_grown_is_replaced_before_its_next_training(pool: TrainerPool) -> None:
    grown = run(pool, "leak")

    assert run(pool, "ok") != grown
    assert not psutil.pid_exists(grown)


def test_progress_is_seen_while_the_training_runs(pool: TrainerPool) -> None:
    seen: list[TrainingProgress] = []
    run(pool, "steps", seen)

    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) >= 3


@pytest.mark.parametrize(
    ("behaviour", "error", "sentence"),
    [
        ("crash", TrainingFailed, "crashed"),
        ("killed", TrainerOutOfMemory, "was killed"),
        ("terminated", TrainerOutOfMemory, "was killed"),
        ("bug", TrainingFailed, "ZeroDivisionError"),
        ("greedy", TrainerOutOfMemory, "TRAINER_MEMORY_LIMIT_MB"),
    ],
)
def test_a_failing_training_is_a_typed_error_and_the_next_one_runs(
    pool: TrainerPool, behaviour: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        run(pool, behaviour)

    assert run(pool, "ok") > 0


def test_an_error_of_ours_crosses_the_process_border_with_its_details(pool: TrainerPool) -> None:
    with pytest.raises(DataQualityError, match="never changes") as caught:
        run(pool, "constant")

    assert caught.value.details == {"distinct_values": 1}


def test_a_cancelled_training_is_killed_at_once(pool: TrainerPool) -> None:
    first = run(pool, "ok")
    started = time.monotonic()

    def cancelled() -> None:
        raise TaskGone("t", "CANCELLED")

    with pytest.raises(TaskGone):
        pool.train(job("sleep"), on_progress=lambda _: None, raise_if_gone=cancelled)

    assert time.monotonic() - started < 1.5
    assert not psutil.pid_exists(first)
    assert run(pool, "ok") != first


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_idle_trainer_that_is_killed_is_replaced(pool: TrainerPool) -> None:
    first = run(pool, "ok")
    os.kill(first, signal.SIGKILL)

    assert run(pool, "ok") != first


@pytest.mark.skipif(sys.platform != "linux", reason="trainers end with their forkserver")
def test_a_forkserver_that_is_killed_fails_no_later_training(pool: TrainerPool) -> None:
    first = run(pool, "ok")
    psutil.Process(first).parent().kill()  # type: ignore[union-attr]
    wait_until(lambda: not _lives(first), within_s=5)

    assert [run(pool, "ok") != first for _ in range(3)] == [True, True, True]


@pytest.mark.skipif(sys.platform != "linux", reason="trainers end with their forkserver")
def test_a_training_whose_forkserver_is_killed_may_be_tried_again(pool: TrainerPool) -> None:
    pid = run(pool, "ok")
    server = psutil.Process(pid).parent()
    assert server is not None
    killer = threading.Timer(0.5, server.kill)
    killer.start()

    with pytest.raises(TrainerOutOfMemory, match="was killed"):
        run(pool, "sleep")

    assert run(pool, "ok") != pid


def test_a_pool_that_is_closed_while_it_starts_ends_no_thread_in_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    failures: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    made = TrainerPool(
        size=2,
        max_trainings=3,
        limits=TrainerLimits(memory_mb=250),
        work=TrainerWork(prepare=prepare, train=behave, preloaded=[]),  # type: ignore[arg-type]
    )
    # When
    made.close()
    made.start()
    # Then
    starting = next((each for each in threading.enumerate() if each.name == "trainers"), None)
    if starting is not None:
        starting.join(10)
    assert failures == []


def test_closing_leaves_no_process(pool: TrainerPool) -> None:
    pid = run(pool, "ok")
    pool.close()

    wait_until(lambda: not psutil.pid_exists(pid), within_s=3)
