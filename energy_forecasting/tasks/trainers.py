"""Supervision of trainer processes: warm, recycled, killable.

Training runs in a child because only killing a process stops native code at once. A trainer
lives for many trainings (a fresh one pays seconds of warm-up) but not for ever (each leaks some
megabytes). On systems without forkserver (Windows) trainers are spawned, which costs memory and
start time but changes nothing else.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, MutableSequence
from concurrent.futures import CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from typing import Any, cast

import psutil
import structlog
from pebble import ProcessExpired, ProcessPool

from energy_forecasting.domain.base_card import BaseCard
from energy_forecasting.domain.errors import (
    DeadlineExceeded,
    EnergyForecastingError,
    TrainerOutOfMemory,
    TrainingFailed,
)
from energy_forecasting.domain.model_card import ModelCard
from energy_forecasting.domain.trainings import ProgressListener
from energy_forecasting.tasks.process_memory import private_memory_mb
from energy_forecasting.tasks.trainer_process import (
    PRELOADED,
    TRAINER_ENVIRONMENT,
    BaseJob,
    Board,
    TrainingJob,
    prepare_trainer,
    read_progress,
    run_base_learning,
    run_training,
)

POLL_S = 0.1
#: A trainer that has not begun by then never will: import and warm-up take some ten seconds.
START_LIMIT_S = 180.0

#: A trainer above this share of its memory limit is replaced before the next training, so that
#: what earlier ones leaked does not fail a later one.
GROWN_SHARE = 0.5

_STARTS_TRIED = 3

#: How a trainer ends that somebody else has ended: by SIGKILL (the kernel), by SIGTERM (a guard of
#: memory; pebble makes a code of it), or with its forkserver, which alone knew how (255).
_KILLED = frozenset({-getattr(signal, "SIGKILL", 9), -signal.SIGTERM, signal.SIGTERM, 255})

logger = structlog.get_logger("task.trainer")


Job = TrainingJob | BaseJob
Card = ModelCard | BaseCard


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerWork:
    """What a trainer process does; tests put lighter work in its place."""

    prepare: Callable[[MutableSequence[float]], None] = prepare_trainer
    train: Callable[[TrainingJob], ModelCard] = run_training
    learn_base: Callable[[BaseJob], BaseCard] = run_base_learning
    preloaded: list[str] = field(default_factory=lambda: list(PRELOADED))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainerLimits:
    """What one training may take."""

    memory_mb: float  #: private memory of the trainer process


class _Watch:
    """Sees that one training keeps its limits."""

    def __init__(self, job: Job, limits: TrainerLimits, future: "Future[Any]") -> None:
        self._job = job
        self._limits = limits
        self._future = future
        self._has_begun = False
        self._waiting_since = time.monotonic()

    def has_begun(self) -> bool:
        """Whether the trainer has taken the job; a cold one warms up before."""
        self._has_begun = self._has_begun or self._future.running()
        return self._has_begun

    def check(self, pid: int) -> None:
        """Compare time and memory with the limits.

        Raises:
            DeadlineExceeded: the trainer's start takes too long.
            TrainerOutOfMemory: the trainer is too large.
        """
        if not self._has_begun and time.monotonic() - self._waiting_since > START_LIMIT_S:
            raise DeadlineExceeded(
                f"The trainer of {self._job.meter} did not start within {START_LIMIT_S:.0f} s; "
                "is the machine overloaded?",
                deadline_s=START_LIMIT_S,
            )
        used_mb = private_memory_mb(pid)
        if used_mb > self._limits.memory_mb:
            raise TrainerOutOfMemory(
                f"Training {self._job.meter} used {used_mb:.0f} MB and was stopped; raise "
                "TRAINER_MEMORY_LIMIT_MB or lower HISTORY_DAYS.",
                used_mb=round(used_mb),
                limit_mb=round(self._limits.memory_mb),
            )


class Trainer:
    """One trainer process and the board on which it shows its progress."""

    def __init__(self, context: BaseContext, work: TrainerWork, *, max_trainings: int) -> None:
        self._context = context
        self._work = work
        self._max_trainings = max_trainings
        self.board = context.RawArray("d", len(Board))
        self._pool = self._fresh_pool()

    @property
    def pid(self) -> int:
        """The process id; 0 while no process has started."""
        return int(self.board[Board.PID])

    @property
    def is_warm(self) -> bool:
        """Whether the process has imported and traced everything."""
        return bool(self.board[Board.IS_WARM])

    def train(
        self,
        job: Job,
        *,
        limits: TrainerLimits,
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> Card:
        """Train in the child while watching it.

        Raises:
            DeadlineExceeded: the child did not start in time; it has been killed.
            TrainerOutOfMemory: the child outgrew its limit, or was killed from outside.
            TrainingFailed: the child crashed, or the training met a bug.
            EnergyForecastingError: what the training itself raised, or ``raise_if_gone``; then the
                child has been killed, which is how a deadline or a cancellation stops it.
        """
        for _ in range(_STARTS_TRIED):
            if self.pid and not psutil.pid_exists(self.pid):
                self.replace()  # killed while it was idle
            try:
                return self._train_once(job, limits, on_progress, raise_if_gone)
            except BrokenProcessPool:
                # It was killed before it took the job, which can therefore be given again.
                logger.warning("Trainer died before it began; starting another")
                self.replace()
        raise TrainingFailed(
            f"The trainer of {job.meter} dies before it begins; the worker's log may say why."
        )

    def _train_once(
        self,
        job: Job,
        limits: TrainerLimits,
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> Card:
        future = self._schedule(job)
        watch = _Watch(job, limits, future)
        try:
            while not wait([future], timeout=POLL_S).done:
                raise_if_gone()
                if watch.has_begun():
                    on_progress(read_progress(self.board))
                watch.check(self.pid)
            return _outcome(future, job)
        finally:
            has_grown = private_memory_mb(self.pid) > GROWN_SHARE * limits.memory_mb
            if has_grown or not future.done():
                self.replace()

    def _schedule(self, job: Job) -> "Future[Any]":
        work = self._work.learn_base if isinstance(job, BaseJob) else self._work.train
        try:
            return cast("Future[Any]", self._pool.schedule(work, args=[job]))
        except RuntimeError as error:  # what pebble says once an idle process has died
            raise BrokenProcessPool(str(error)) from error

    def replace(self) -> None:
        """Kill the process at once and start another in the background."""
        # The kill comes first and from here: it must not wait for the pool's own bookkeeping.
        self._kill()
        self._pool.stop()
        self._pool.join()
        self._pool = self._fresh_pool()
        self.start()

    def close(self) -> None:
        """Kill the process; the trainer cannot be used afterwards."""
        self._kill()
        self._pool.stop()
        self._pool.join()

    def _kill(self) -> None:
        pid = self.pid
        self.board[Board.PID] = 0.0
        self.board[Board.IS_WARM] = 0.0
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def _fresh_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            max_tasks=self._max_trainings,
            initializer=self._work.prepare,
            initargs=[self.board],
            context=self._context,
        )

    def start(self) -> None:
        """Start the process; waits for the forkserver, which imports TensorFlow first.

        Where that fails, as its forkserver was killed or the worker stops, the first training
        starts another.
        """
        with contextlib.suppress(RuntimeError):
            self._pool.schedule(os.getpid)  # a pool starts its process with its first call


class TrainerPool:
    """The trainers of a worker process.

    Args:
        size: trainings at once; so many trainers start with the pool.
        spare: further trainers that start when all others are at work.
        max_trainings: a trainer is replaced after so many.
        limits: what one training may take.
        work: what a trainer does.
    """

    def __init__(
        self,
        *,
        size: int,
        spare: int = 0,
        max_trainings: int,
        limits: TrainerLimits,
        work: TrainerWork | None = None,
    ) -> None:
        self._limits = limits
        self._closed = threading.Event()
        self._warm = threading.Event()
        os.environ.update(TRAINER_ENVIRONMENT)  # inherited by every trainer
        work = work or TrainerWork()
        context = _trainer_context(work)
        everyone = [
            Trainer(context, work, max_trainings=max_trainings) for _ in range(spare + size)
        ]
        self._spare, self._trainers = everyone[:spare], everyone[spare:]
        # The last one that came back is the first to go: those at work stay warm, spare ones rest.
        self._idle: queue.LifoQueue[Trainer] = queue.LifoQueue()

    def start(self) -> None:
        """Start the trainers in the background; a task that comes earlier waits for them."""
        threading.Thread(target=self._start_trainers, daemon=True, name="trainers").start()

    def train(
        self,
        job: TrainingJob,
        *,
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> ModelCard:
        """Train with an idle trainer; raises as ``Trainer.train`` does."""
        return cast("ModelCard", self._work_on(job, on_progress, raise_if_gone))

    def learn_base(
        self,
        job: BaseJob,
        *,
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> BaseCard:
        """Learn a base with an idle trainer; raises as ``Trainer.train`` does."""
        return cast("BaseCard", self._work_on(job, on_progress, raise_if_gone))

    def _work_on(
        self, job: Job, on_progress: ProgressListener, raise_if_gone: Callable[[], None]
    ) -> Card:
        with self._borrowed(raise_if_gone) as trainer:
            return trainer.train(
                job,
                limits=self._limits,
                on_progress=on_progress,
                raise_if_gone=raise_if_gone,
            )

    def pids(self) -> list[int]:
        """Return the process ids of the trainers that have started."""
        return [trainer.pid for trainer in (*self._spare, *self._trainers) if trainer.pid]

    @property
    def are_warm(self) -> bool:
        """Whether all have once been ready; one that is being replaced does not change that."""
        return self._warm.is_set()

    def close(self) -> None:
        """Kill every trainer."""
        self._closed.set()
        if not self.are_warm:
            _kill_forkserver()
        for trainer in (*self._spare, *self._trainers):
            trainer.close()

    def _start_trainers(self) -> None:
        started = time.monotonic()
        for trainer in self._spare:
            self._idle.put(trainer)
        try:
            for trainer in self._trainers:
                trainer.start()
                self._idle.put(trainer)
        except (OSError, EOFError, RuntimeError):
            # The pools are closed, or their forkserver killed, in the first seconds of a start.
            if self._closed.is_set():
                return
            raise
        while not all(trainer.is_warm for trainer in self._trainers):
            if self._closed.wait(POLL_S):
                return
        self._warm.set()
        logger.info("Trainers warm", seconds=round(time.monotonic() - started, 1))

    @contextlib.contextmanager
    def _borrowed(self, raise_if_gone: Callable[[], None]) -> Iterator[Trainer]:
        while (trainer := self._next_idle()) is None:
            raise_if_gone()
        try:
            yield trainer
        finally:
            self._idle.put(trainer)

    def _next_idle(self) -> Trainer | None:
        try:
            return self._idle.get(timeout=POLL_S)
        except queue.Empty:
            return None


def _kill_forkserver() -> None:
    """End this process's forkserver: one that still imports would hold up the pools."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("multiprocessing.forkserver" in part for part in child.cmdline()):
                child.kill()


def _outcome(future: "Future[Card]", job: Job) -> Card:
    try:
        return future.result()
    except (EnergyForecastingError, BrokenProcessPool):
        raise
    except MemoryError as error:
        raise TrainerOutOfMemory(
            f"Training {job.meter} ran out of memory; lower HISTORY_DAYS or WORKER_THREADS."
        ) from error
    except ProcessExpired as error:
        raise _crash(job, error.exitcode) from error
    except CancelledError as error:
        raise TrainingFailed(f"Training {job.meter} was interrupted; try again.") from error
    except Exception as error:
        # The edge of a process: whatever the training met becomes one typed failure.
        logger.exception("Training met an unexpected error", meter_id=job.meter.meter_id)
        raise TrainingFailed(
            f"Training {job.meter} failed with {type(error).__name__}; the worker's log has "
            "the traceback.",
            exception=type(error).__name__,
        ) from error


def _crash(job: Job, exit_code: int) -> EnergyForecastingError:
    if exit_code in _KILLED:
        return TrainerOutOfMemory(
            f"The trainer of {job.meter} was killed, most likely because the machine ran out of "
            "memory; lower WORKER_THREADS or HISTORY_DAYS.",
            exit_code=exit_code,
        )
    return TrainingFailed(
        f"The trainer of {job.meter} crashed (exit code {exit_code}); the worker's log may say "
        "more. Other meters are not affected.",
        exit_code=exit_code,
    )


def _trainer_context(work: TrainerWork) -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(work.preloaded)
    return context
