"""The training pipeline: takes one claimed task through its stages.

Every stage is written before its work begins, so the record tells what is being done. Faults
become typed failures here, at the edge of a task, and nowhere else.
"""

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from energy_forecasting.domain.aggregation import hours_inside
from energy_forecasting.domain.base_card import BASE_METER_ID
from energy_forecasting.domain.errors import (
    ConnectionFailed,
    EnergyForecastingError,
    TrainingFailed,
)
from energy_forecasting.domain.meters import Meter, MeterSummary
from energy_forecasting.domain.model_card import ModelCard
from energy_forecasting.domain.quality import QualityLimits, QualityReport
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.resolutions import FINE_READINGS, found_resolution
from energy_forecasting.domain.stages import STAGE_MESSAGE, Stage, training_progress
from energy_forecasting.domain.trainings import TrainingOptions, TrainingPhase, TrainingProgress
from energy_forecasting.forecasting.quality.report import examine
from energy_forecasting.forecasting.validation import validate_history
from energy_forecasting.meters.store import MeterStore
from energy_forecasting.registry.artifact import write_card
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.tasks.base_building import BaseBuilder
from energy_forecasting.tasks.champion_gate import settled
from energy_forecasting.tasks.queue import TrainingQueue
from energy_forecasting.tasks.task_store import Claim, TaskGone, TaskStore
from energy_forecasting.tasks.trainer_process import TrainingJob
from energy_forecasting.tasks.trainers import TrainerPool
from energy_forecasting.tasks.workers import RunningTask, WorkerHeart

FIRST_RETRY_DELAY_S = 2.0
LONGEST_RETRY_DELAY_S = 60.0

#: Of the data report in a task's result; the card has all of it.
_QUALITY_SHOWN = {"verdict", "verdict_reason", "findings"}

logger = structlog.get_logger("task.train_model")


class WorkerStopping(Exception):
    """The worker stops and cannot wait for this training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What the meter store gave."""

    summary: MeterSummary
    history: History
    seconds: float


class TrainingPipeline:
    """Runs tasks; one instance serves all threads of a worker process."""

    def __init__(
        self,
        *,
        store: TaskStore,
        queue: TrainingQueue,
        meters: MeterStore,
        trainers: TrainerPool,
        registry: ModelRegistry,
        heart: WorkerHeart,
        base_builder: BaseBuilder,
        history_days: int,
        deadline_s: float,
        limits: QualityLimits,
        must_stop: Callable[[], bool],
    ) -> None:
        self._store = store
        self._queue = queue
        self._meters = meters
        self._trainers = trainers
        self._registry = registry
        self._heart = heart
        self._base_builder = base_builder
        self._history = timedelta(days=history_days)
        self._deadline_s = deadline_s
        self._limits = limits
        self._must_stop = must_stop

    def run(self, task_id: str) -> None:
        """Run one attempt of a task, if it still waits for one.

        Never raises for what the task met; raises ``ConnectionFailed`` when Redis is away, which
        leaves the task to the reconciler.
        """
        claim = self._store.claim(task_id, worker=self._heart.worker)
        if claim is None:
            logger.info("Message dropped: its task has ended or runs already", task_id=task_id)
            return
        deadline_s = claim.wish.deadline_s or self._deadline_s
        with (
            structlog.contextvars.bound_contextvars(
                meter_id=claim.meter.meter_id,
                meter_type=claim.meter.meter_type,
                task_id=claim.task_id,
            ),
            self._heart.watching(
                claim, deadline_s=deadline_s, on_overdue=self._settle_failure
            ) as running,
        ):
            self._run_claimed(claim, running)

    def give_back_running(self) -> None:
        """Return to the queue what threads of this process still hold; they cannot write then."""
        for claim in self._heart.claims():
            try:
                self._give_back(claim)
            except EnergyForecastingError as error:  # Redis away: the lease ends by itself
                logger.warning("Training could not be returned", error=error.message)

    def _run_claimed(self, claim: Claim, running: RunningTask) -> None:
        logger.info("Starting model training task", attempt=claim.attempt)
        try:
            self._withdraw_unfinished(claim)
            if claim.meter.meter_id == BASE_METER_ID:
                self._learn_base(claim, running)
            else:
                self._train_and_publish(claim, running)
        except TaskGone as gone:
            logger.info("Training abandoned", reason=gone.reason)
        except WorkerStopping:
            self._give_back(claim)
        except EnergyForecastingError as error:
            self._settle_failure(claim, error)
        except Exception as error:  # the edge of a task: classify, record, log with the traceback
            logger.exception("Training task met an unexpected error")
            self._settle_failure(
                claim,
                TrainingFailed(
                    f"Training {claim.meter} failed with {type(error).__name__}; the worker's log "
                    "has the traceback.",
                    exception=type(error).__name__,
                ),
            )

    def _withdraw_unfinished(self, claim: Claim) -> None:
        """Take back what an attempt has published that was lost before it could succeed."""
        for version in claim.unfinished_versions:
            if self._registry.withdraw(claim.meter, version):
                logger.warning("Model of a lost attempt withdrawn", version=version)

    def _train_and_publish(self, claim: Claim, running: RunningTask) -> None:
        fetched = self._fetch(claim, running)
        self._enter(claim, running, Stage.VALIDATING_DATA)
        declared = fetched.summary.profile
        examination = examine(fetched.history, declared, limits=self._limits)
        if examination.objection is not None:
            raise examination.objection
        found = found_resolution(fetched.history.timestamps)
        profile = replace(declared, resolution=found or declared.resolution)
        is_young = not validate_history(examination.hourly, profile).enough_for_network
        advice = self._base_builder.advice(claim.meter) if is_young else None
        job = TrainingJob(
            meter=claim.meter,
            profile=profile,
            history=examination.hourly,
            inside=hours_inside(fetched.history, profile.reading_kind),
            options=TrainingOptions(max_trials=claim.wish.max_trials),
            artifact=self._registry.incoming_path(),
            champion=self._registry.champion_path(claim.meter),
            base=self._base_builder.bases.find(claim.meter.meter_type) if is_young else None,
        )
        self._enter(claim, running, Stage.TRAINING_MODEL)
        started = time.monotonic()
        try:
            card = self._train(claim, running, job)
            training_seconds = time.monotonic() - started
            self._enter(claim, running, Stage.SAVING_MODEL, version=card.version)
            card = self._complete(card, claim.meter, examination.report)
            write_card(job.artifact, card)
            self._publish(claim, job.artifact, card, fetched, training_seconds, advice=advice)
        finally:
            job.artifact.unlink(missing_ok=True)

    def _learn_base(self, claim: Claim, running: RunningTask) -> None:
        def report(progress: TrainingProgress) -> None:
            message = f"Learning from the meters... {progress.phase}"
            self._report(claim, progress, message)

        def raise_if_gone() -> None:
            running.raise_if_gone()
            if self._must_stop():
                raise WorkerStopping

        built = self._base_builder.build(
            claim.meter.meter_type,
            enter=lambda stage: self._enter(claim, running, stage),
            on_progress=report,
            raise_if_gone=raise_if_gone,
        )
        try:
            self._store.succeed(claim, built.result)
        except TaskGone:
            self._base_builder.bases.retract(built.publication)
            raise
        self._base_builder.bases.settle(built.publication)
        logger.info("Base learnt and saved", **built.result["details"])

    def _fetch(self, claim: Claim, running: RunningTask) -> Fetched:
        self._enter(claim, running, Stage.CONNECTING)
        started = time.monotonic()
        self._meters.check()
        self._enter(claim, running, Stage.FETCHING_DATA)
        summary = self._meters.describe(claim.meter, counted=False)
        last = summary.last_reading
        history = self._meters.read_history(
            claim.meter,
            start=last - self._history if last else None,
            whole_hours_before=last - FINE_READINGS if last else None,
        )
        seconds = time.monotonic() - started
        logger.info("History read", readings=len(history), seconds=round(seconds, 3))
        return Fetched(summary=summary, history=history, seconds=seconds)

    def _train(self, claim: Claim, running: RunningTask, job: TrainingJob) -> ModelCard:
        reported: tuple[int, TrainingPhase | None] = (training_progress(0.0), None)

        def report(progress: TrainingProgress) -> None:
            nonlocal reported
            news = (training_progress(progress.fraction), progress.phase)
            if news != reported:
                reported = news
                message = f"{STAGE_MESSAGE[Stage.TRAINING_MODEL]} {progress.phase}"
                self._report(claim, progress, message)

        def raise_if_gone() -> None:
            running.raise_if_gone()
            if self._must_stop():
                raise WorkerStopping

        return self._trainers.train(job, on_progress=report, raise_if_gone=raise_if_gone)

    def _report(self, claim: Claim, progress: TrainingProgress, message: str) -> None:
        # A training outlives a Redis that is away: only its progress is not seen meanwhile.
        with contextlib.suppress(ConnectionFailed):
            self._store.report_training(claim, progress.fraction, message)

    def _complete(self, card: ModelCard, meter: Meter, report: QualityReport) -> ModelCard:
        """Add to a card what the trainer could not know."""
        gate = settled(card.gate, self._registry.champion_version(meter))
        return card.model_copy(update={"gate": gate, "quality": report})

    def _publish(
        self,
        claim: Claim,
        incoming: Path,
        card: ModelCard,
        fetched: Fetched,
        training_seconds: float,
        *,
        advice: str | None,
    ) -> None:
        promoted = card.passed_the_gate
        publication = self._registry.publish(incoming, card, promote=promoted)
        path = _shown_path(publication.champion if promoted else publication.version)
        result: dict[str, Any] = {
            "status": "success",
            "message": _outcome(card, path),
            "details": _result_details(claim.meter, card, fetched, path, training_seconds),
        }
        if advice:
            result["details"]["advice"] = advice
            logger.info("A base would help this meter", advice=advice)
        try:
            self._store.succeed(claim, result)
        except TaskGone:
            # Cancelled, or taken over, between the last check and now: readers must not get the
            # model of a task that did not succeed.
            self._registry.retract(publication)
            raise
        logger.info(
            "Model trained and saved" if promoted else "Model trained, the champion keeps serving",
            path=path,
            method=card.method,
            seconds=round(training_seconds, 2),
            skill=round(card.skill.skill, 3) if card.skill else None,
            gate=card.gate.reason if card.gate else None,
        )

    def _enter(
        self, claim: Claim, running: RunningTask, stage: Stage, *, version: str | None = None
    ) -> None:
        running.raise_if_gone()
        if self._must_stop():
            raise WorkerStopping
        self._store.enter(claim, stage, version=version)
        logger.debug("Stage entered", stage=stage)

    def _settle_failure(self, claim: Claim, error: EnergyForecastingError) -> None:
        try:
            if claim.retries < error.max_retries:
                self._retry(claim, error)
            else:
                self._store.fail(claim, error)
                logger.error(
                    "Training task failed", error_type=error.error_type, error=error.message
                )
        except TaskGone as gone:
            logger.info("Training abandoned", reason=gone.reason)

    def _retry(self, claim: Claim, error: EnergyForecastingError) -> None:
        delay = _retry_delay(claim.retries)
        seconds = round(delay.total_seconds(), 1)
        self._store.requeue(
            claim,
            message=f"{error.message} Trying again in {seconds} s "
            f"(retry {claim.retries + 1} of {error.max_retries})",
            delay=delay,
        )
        self._queue.send(claim.task_id, claim.lane, delay=delay)
        logger.warning(
            "Training task will be retried",
            error_type=error.error_type,
            error=error.message,
            in_s=seconds,
        )

    def _give_back(self, claim: Claim) -> None:
        try:
            self._store.requeue(
                claim,
                message="The worker was stopped; queued again",
                delay=timedelta(0),
                is_failure=False,
            )
        except TaskGone as gone:
            logger.info("Training abandoned", reason=gone.reason)
            return
        self._queue.send(claim.task_id, claim.lane)
        logger.info("Training returned to the queue: this worker stops")


def _retry_delay(retries: int) -> timedelta:
    """Return an exponential delay with jitter, so that many tasks do not return at once."""
    longest = min(FIRST_RETRY_DELAY_S * 2**retries, LONGEST_RETRY_DELAY_S)
    return timedelta(seconds=random.uniform(longest / 2, longest))  # noqa: S311 - jitter, no secret


def _shown_path(path: Path) -> str:
    """Return the path as the operator knows it: from the working folder where that is possible."""
    working_folder = Path.cwd()
    return (
        path.relative_to(working_folder) if path.is_relative_to(working_folder) else path
    ).as_posix()


def _outcome(card: ModelCard, path: str) -> str:
    if card.gate is None or card.gate.promoted:
        return f"Model trained and saved at {path}"
    return (
        f"Model trained and kept at {path}, but the champion keeps serving. {card.gate.reason} "
        f"To serve it all the same: POST /models/{card.meter_type}/{card.meter_id}/rollback with "
        f"version {card.version}."
    )


def _result_details(
    meter: Meter, card: ModelCard, fetched: Fetched, path: str, training_seconds: float
) -> dict[str, Any]:
    return {
        "meter_id": meter.meter_id,
        "meter_type": meter.meter_type,
        "data_points": len(fetched.history),
        "model_path": path,
        "training_completed": datetime.now(UTC).isoformat(),
        "data_fetch_time_seconds": round(fetched.seconds, 3),
        "training_time_seconds": round(training_seconds, 3),
        "model_version": card.version,
        "method": card.method,
        "skill": card.skill.model_dump() if card.skill else None,
        "promoted": card.passed_the_gate,
        "gate": card.gate.model_dump(mode="json") if card.gate else None,
        "quality": card.quality.model_dump(mode="json", include=_QUALITY_SHOWN)
        if card.quality
        else None,
        "base": card.base.model_dump() if card.base else None,
    }
