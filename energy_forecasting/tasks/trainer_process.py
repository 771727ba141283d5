"""What runs inside a trainer process: one training at a time, nothing else.

TensorFlow is imported inside the functions, so that the worker, which must name these functions
to send them over, stays without it. A trainer knows neither Redis nor the meter store; it is
killed without warning when its deadline passes or its task is cancelled, so whatever it writes
goes to a file that nobody reads until the training has returned.
"""

import os
import signal
import sys
from collections.abc import MutableSequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from energy_forecasting.domain.base_card import BaseCard, base_task_of
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.model_card import ModelCard
from energy_forecasting.domain.readings import History, Timestamps
from energy_forecasting.domain.trainings import TrainingOptions, TrainingPhase, TrainingProgress
from energy_forecasting.forecasting.young.store_base_training import BaseMeter
from energy_forecasting.tasks.process_ties import die_with_parent

#: Modules that the forkserver imports once, so that a trainer starts with them in memory.
PRELOADED = ["energy_forecasting.tasks.trainer_preload", "energy_forecasting.tasks.trainer_process"]

#: One thread per trainer: several trainings share the cores better than one spread over all.
TRAINER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
}

_PHASES = list(TrainingPhase)


class Board(IntEnum):
    """Places on the progress board, the shared memory that a trainer writes and a worker reads.

    Plain numbers without a lock: a trainer may be killed at any instruction.
    """

    PID = 0
    PHASE = 1
    FRACTION = 2
    IS_WARM = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingJob:
    """All that a trainer needs to know."""

    meter: Meter
    profile: MeterProfile
    history: History  #: hourly
    options: TrainingOptions
    artifact: Path  #: where the trainer writes the model; outside of what readers look at
    champion: Path | None = None  #: what it is compared with, if a file stands there
    inside: Timestamps | None = None  #: hours that begin within a longer reading
    base: Path | None = None  #: of the store's other meters, for a short history


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseJob:
    """All that a trainer needs to know to learn a base."""

    meter_type: str
    meters: list[BaseMeter]
    skipped: dict[str, str]  #: ``type/id`` of meters left out, and why
    artifact: Path  #: as a training's

    @property
    def meter(self) -> Meter:
        """What stands for the base where a task names its meter."""
        return base_task_of(self.meter_type)


_board: MutableSequence[float] = [0.0] * len(Board)


def prepare_trainer(board: MutableSequence[float]) -> None:
    """Make a fresh process a trainer: tie it to its parent, import TensorFlow, warm up."""
    global _board  # noqa: PLW0603 - a process is one trainer and has one board
    _board = board
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which stops us
    _let_forkserver_end()
    die_with_parent()  # the forkserver, which ends with the worker
    _board[Board.IS_WARM] = 0.0
    _board[Board.PID] = float(os.getpid())
    from energy_forecasting.tasks.trainer_preload import warm_up  # noqa: PLC0415

    warm_up()
    _board[Board.IS_WARM] = 1.0


def _let_forkserver_end() -> None:
    """Close the pipe by whose end the forkserver learns that the worker has died.

    Every child is given the writing end, so that it could use the forkserver itself; a trainer at
    work would thereby keep forkserver, and so itself, alive after a ``kill -9`` of the worker.
    """
    # Nothing public leads to it; where trainers are spawned there is none.
    server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
    alive_fd = getattr(server, "_forkserver_alive_fd", None)
    if server is not None and alive_fd is not None:
        server._forkserver_alive_fd = None  # noqa: SLF001 - as above
        os.close(alive_fd)


def run_training(job: TrainingJob) -> ModelCard:
    """Train one meter and write the artifact; return its card."""
    from energy_forecasting.tasks.trainer_preload import (  # noqa: PLC0415
        gate_of,
        read_store_base,
        train,
        write_card,
        write_network,
    )

    _show(TrainingProgress(fraction=0.0, phase=TrainingPhase.PREPARING))
    trained = train(
        job.history,
        job.meter,
        job.profile,
        job.options,
        _show,
        gate=gate_of(job.champion) if job.champion else None,
        inside=job.inside,
        base=read_store_base(job.base) if job.base else None,
    )
    write_network(job.artifact, trained.network)
    write_card(job.artifact, trained.card)
    return trained.card


def run_base_learning(job: BaseJob) -> BaseCard:
    """Learn a base and write its file; return its card."""
    from energy_forecasting.tasks.trainer_preload import (  # noqa: PLC0415
        learn_store_base,
        write_base,
    )

    learnt = learn_store_base(job.meter_type, job.meters, job.skipped, _show)
    write_base(job.artifact, learnt.card, learnt.base.to_arrays())
    return learnt.card


def read_progress(board: MutableSequence[float]) -> TrainingProgress:
    """Return what the trainer last wrote."""
    return TrainingProgress(fraction=board[Board.FRACTION], phase=_PHASES[int(board[Board.PHASE])])


def _show(progress: TrainingProgress) -> None:
    _board[Board.PHASE] = float(_PHASES.index(progress.phase))
    _board[Board.FRACTION] = progress.fraction
