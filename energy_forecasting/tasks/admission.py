"""Admission: from a client's wish to a task that a worker will run."""

from contextlib import suppress

import structlog

from energy_forecasting.domain.errors import Conflict
from energy_forecasting.domain.meters import Meter
from energy_forecasting.tasks.queue import TrainingQueue
from energy_forecasting.tasks.task_store import Admission, TaskStore

logger = structlog.get_logger("task.admission")

SUPERSEDED = "Cancelled: a forced training of the same meter took its place"


class AdmissionDesk:
    """Writes the record first and sends the message after.

    Should the process die in between, or Redis refuse the message, the record waits as PENDING
    and the reconciler sends the message.
    """

    def __init__(self, store: TaskStore, queue: TrainingQueue) -> None:
        self._store = store
        self._queue = queue

    def admit(self, meter: Meter, *, max_trials: int, force: bool = False) -> Admission:
        """Queue a training, or return the meter's open task.

        Args:
            meter: the meter to train.
            max_trials: alternatives that tuning tries; 0 turns tuning off.
            force: cancel an open task of the meter and start anew.

        Raises:
            ConnectionFailed: Redis cannot be reached.
        """
        options = {"max_trials": max_trials}
        admission = self._store.admit(meter, options)
        if admission.deduplicated and force:
            with suppress(Conflict):  # it has ended meanwhile
                self._store.cancel(admission.task_id, message=SUPERSEDED)
            admission = self._store.admit(meter, options)
        if not admission.deduplicated:
            self._queue.send(admission.task_id)
        # Ties the request's id, which the API has bound, to the task's.
        logger.info(
            "Training requested",
            task_id=admission.task_id,
            meter_id=meter.meter_id,
            meter_type=meter.meter_type,
            deduplicated=admission.deduplicated,
        )
        return admission
