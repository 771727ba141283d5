"""Admission: from a client's wish to tasks that workers will run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from energy_forecasting.domain.errors import ConnectionFailed
from energy_forecasting.domain.meters import Meter
from energy_forecasting.tasks.batch_store import BatchStore
from energy_forecasting.tasks.dead_letters import DeadLetter, DeadLetters
from energy_forecasting.tasks.lanes import Lane
from energy_forecasting.tasks.queue import TrainingQueue
from energy_forecasting.tasks.task_store import Admission, TaskStore
from energy_forecasting.tasks.wish import Wish

logger = structlog.get_logger("task.admission")

SUPERSEDED = "Cancelled: a forced training of the same meter took its place"


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchAdmission:
    """The answer to a wish to train many meters."""

    batch_id: str
    admissions: list[Admission]  #: in the order asked for


class AdmissionDesk:
    """Writes the record first and sends the message after.

    Should the process die in between, or Redis refuse the message, the record waits as PENDING
    and the reconciler sends the message.
    """

    def __init__(
        self,
        store: TaskStore,
        queue: TrainingQueue,
        batches: BatchStore,
        dead_letters: DeadLetters,
    ) -> None:
        self._store = store
        self._queue = queue
        self._batches = batches
        self._dead_letters = dead_letters

    def admit(self, meter: Meter, wish: Wish, *, force: bool = False) -> Admission:
        """Queue a training, or return the meter's open task.

        Args:
            meter: the meter to train.
            wish: how to train it.
            force: cancel an open task of the meter and start anew.

        Raises:
            ConnectionFailed: Redis cannot be reached.
        """
        if force:
            self._store.cancel_open_tasks([meter], message=SUPERSEDED)
        admission = self._store.admit(meter, wish)
        if not admission.deduplicated:
            self._send([admission.task_id], Lane.SINGLE)
        # Ties the request's id, which the API has bound, to the task's.
        logger.info(
            "Training requested",
            task_id=admission.task_id,
            meter_id=meter.meter_id,
            meter_type=meter.meter_type,
            deduplicated=admission.deduplicated,
        )
        return admission

    def admit_batch(
        self,
        meters: Sequence[Meter],
        wish: Wish,
        *,
        meter_type: str | None = None,
        force: bool = False,
    ) -> BatchAdmission:
        """Queue a training of each meter in the lane of batches, few round trips for thousands.

        A meter with an open task keeps it; the task is counted in this batch, too. Should the
        process die midway, what is admitted by then will run.

        Args:
            meters: the meters to train.
            wish: how to train each of them.
            meter_type: what was asked for, where that was all meters of a type.
            force: cancel open tasks of the meters and start anew.

        Raises:
            ConnectionFailed: Redis cannot be reached.
        """
        if force:
            self._store.cancel_open_tasks(meters, message=SUPERSEDED)
        batch_id = self._batches.create(meter_type=meter_type)
        admissions = self._store.admit_many(meters, wish, lane=Lane.BATCH, batch_id=batch_id)
        self._send([each.task_id for each in admissions if not each.deduplicated], Lane.BATCH)
        logger.info(
            "Batch of trainings requested",
            batch_id=batch_id,
            meters=len(meters),
            deduplicated=sum(each.deduplicated for each in admissions),
        )
        return BatchAdmission(batch_id=batch_id, admissions=admissions)

    def replay(self, task_id: str) -> Admission:
        """Train a meter again whose last training failed, as it was asked for then.

        Raises:
            NotFound: there is no such task.
            Conflict: it is no dead letter: it did not fail, or the meter has been trained since.
        """
        failed = self._dead_letters.get(task_id)
        return self.admit(failed.meter, _again(failed))

    def replay_all(self, failed: Sequence[DeadLetter]) -> BatchAdmission:
        """Train again the meters of dead letters, as one batch."""
        batch_id = self._batches.create()
        admissions = [
            self._store.admit(each.meter, _again(each), lane=Lane.BATCH, batch_id=batch_id)
            for each in failed
        ]
        self._send([each.task_id for each in admissions if not each.deduplicated], Lane.BATCH)
        logger.info("Dead letters replayed", batch_id=batch_id, meters=len(failed))
        return BatchAdmission(batch_id=batch_id, admissions=admissions)

    def _send(self, task_ids: Sequence[str], lane: Lane) -> None:
        try:
            if len(task_ids) == 1:
                self._queue.send(task_ids[0], lane)
            else:
                self._queue.send_many(task_ids, lane)
        except ConnectionFailed as error:
            # The records stand, so the tasks are accepted; the reconciler sends what is missing.
            logger.warning("Message not sent yet", tasks=len(task_ids), error=error.message)


def _again(failed: DeadLetter) -> Wish:
    return replace(failed.wish, replay_of=failed.record.task_id)
