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
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, wait
from multiprocessing.context import BaseContext

import structlog
from pebble import ProcessExpired, ProcessPool

from energy_forecasting.domain.errors import (
    DeadlineExceeded,
    EnergyForecastingError,
    TrainerOutOfMemory,
    TrainingFailed,
)
from energy_forecasting.domain.model_card import ModelCard
from energy_forecasting.domain.trainings import ProgressListener
from energy_forecasting.tasks.trainer_process import (
    PRELOADED,
    TRAINER_ENVIRONMENT,
    Board,
    TrainingJob,
    prepare_trainer,
    read_progress,
    run_training,
)
from energy_forecasting.tasks.workers import private_memory_mb

POLL_S = 0.1

logger = structlog.get_logger("task.trainer")


class Trainer:
    """One trainer process and the board on which it shows its progress."""

    def __init__(self, context: BaseContext, *, max_trainings: int) -> None:
        self._context = context
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
        job: TrainingJob,
        *,
        deadline_s: float,
        memory_limit_mb: float,
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> ModelCard:
        """Train in the child while watching it.

        Raises:
            DeadlineExceeded: the deadline passed; the child has been killed.
            TrainerOutOfMemory: the child outgrew its limit, or was killed from outside.
            TrainingFailed: the child crashed, or the training met a bug.
            EnergyForecastingError: what the training itself raised.
        """
        future = self._pool.schedule(run_training, args=[job])
        deadline = time.monotonic() + deadline_s
        try:
            while not wait([future], timeout=POLL_S).done:
                raise_if_gone()
                on_progress(read_progress(self.board))
                if time.monotonic() > deadline:
                    raise DeadlineExceeded(
                        f"Training {job.meter} took longer than {deadline_s:.0f} s and was "
                        "stopped; raise TRAINING_DEADLINE_S or lower max_trials.",
                        deadline_s=deadline_s,
                    )
                used_mb = private_memory_mb(self.pid)
                if used_mb > memory_limit_mb:
                    raise TrainerOutOfMemory(
                        f"Training {job.meter} used {used_mb:.0f} MB and was stopped; raise "
                        "TRAINER_MEMORY_LIMIT_MB or lower HISTORY_DAYS.",
                        used_mb=round(used_mb),
                        limit_mb=round(memory_limit_mb),
                    )
            return self._outcome(future, job)
        finally:
            if not future.done():
                self.replace()

    def replace(self) -> None:
        """Kill the process at once and start another in the background."""
        # The kill comes first and from here: it must not wait for the pool's own bookkeeping.
        self._kill()
        self._pool.stop()
        self._pool.join()
        self._pool = self._fresh_pool()

    def close(self) -> None:
        """Kill the process; the trainer cannot be used afterwards."""
        self._kill()
        self._pool.stop()
        self._pool.join()

    def _outcome(self, future: "object", job: TrainingJob) -> ModelCard:
        try:
            return future.result()  # type: ignore[attr-defined, no-any-return]
        except EnergyForecastingError:
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

    def _kill(self) -> None:
        pid = self.pid
        self.board[Board.PID] = 0.0
        self.board[Board.IS_WARM] = 0.0
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def _fresh_pool(self) -> ProcessPool:
        pool = ProcessPool(
            max_workers=1,
            max_tasks=self._max_trainings,
            initializer=prepare_trainer,
            initargs=[self.board],
            context=self._context,
        )
        # A pool starts its process with its first call; this one makes it start at once.
        pool.schedule(os.getpid)
        return pool


class TrainerPool:
    """As many trainers as a worker process has threads."""

    def __init__(
        self, *, size: int, max_trainings: int, memory_limit_mb: float, deadline_s: float
    ) -> None:
        self._memory_limit_mb = memory_limit_mb
        self._deadline_s = deadline_s
        os.environ.update(TRAINER_ENVIRONMENT)  # inherited by every trainer
        context = _trainer_context()
        self._trainers = [Trainer(context, max_trainings=max_trainings) for _ in range(size)]
        self._idle: queue.SimpleQueue[Trainer] = queue.SimpleQueue()
        for trainer in self._trainers:
            self._idle.put(trainer)

    def train(
        self,
        job: TrainingJob,
        *,
        on_progress: ProgressListener,
        raise_if_gone: Callable[[], None],
    ) -> ModelCard:
        """Train with an idle trainer; raises as ``Trainer.train`` does."""
        with self._borrowed() as trainer:
            return trainer.train(
                job,
                deadline_s=self._deadline_s,
                memory_limit_mb=self._memory_limit_mb,
                on_progress=on_progress,
                raise_if_gone=raise_if_gone,
            )

    def pids(self) -> list[int]:
        """Return the process ids of the trainers that have started."""
        return [trainer.pid for trainer in self._trainers if trainer.pid]

    def warm_count(self) -> int:
        """Return how many trainers are warm."""
        return sum(trainer.is_warm for trainer in self._trainers)

    def close(self) -> None:
        """Kill every trainer."""
        for trainer in self._trainers:
            trainer.close()

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Trainer]:
        trainer = self._idle.get()
        try:
            yield trainer
        finally:
            self._idle.put(trainer)


def _crash(job: TrainingJob, exit_code: int) -> EnergyForecastingError:
    if exit_code == -getattr(signal, "SIGKILL", 9):
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


def _trainer_context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
