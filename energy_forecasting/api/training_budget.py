"""What one request may start: the allowance of its key, or without keys of its address.

A limit by address is one for a client behind a proxy only where uvicorn trusts that proxy's
``X-Forwarded-For``; else all of them share the proxy's.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from energy_forecasting.access.api_key import ApiKey
from energy_forecasting.api.deps import KeyDep, ServicesDep
from energy_forecasting.api.services import ApiServices
from energy_forecasting.domain.errors import RateLimited
from energy_forecasting.domain.meters import Meter
from energy_forecasting.tasks.admission import BatchAdmission
from energy_forecasting.tasks.task_store import Admission
from energy_forecasting.tasks.training_allowance import Reservation

UNLIMITED = 0

Asked = TypeVar("Asked")


class TrainingBudget:
    """The trainings that the caller of one request may start."""

    def __init__(self, services: ApiServices, key: ApiKey | None, *, address: str) -> None:
        own = key.trainings_per_hour if key else None
        self._per_hour = services.settings.trainings_per_hour if own is None else own
        self._caller = f"key:{key.id}" if key else f"address:{address}"
        self._services = services

    def spend(
        self, meter: Meter, admit: Callable[[], Admission], *, force: bool = False
    ) -> Admission:
        """Admit a training, if there is one left; one that was open already costs nothing.

        Raises:
            RateLimited: there is none left, and the meter has no open task to come back.
        """
        reservation = self._reserve(1)
        if not reservation.granted and (force or not self._services.tasks.has_open_task(meter)):
            raise self._exhausted(reservation)
        started = 0
        try:
            admission = admit()
            started = 0 if admission.deduplicated else 1
        finally:
            self._settle(reservation, started=started)
        return admission

    def spend_batch(
        self, asked: Sequence[Asked], admit: Callable[[Sequence[Asked]], BatchAdmission]
    ) -> tuple[BatchAdmission, RateLimited | None]:
        """Admit the first of the trainings asked for, as many as there are left.

        Returns:
            What was admitted, and why the others, behind it in the order asked for, were not.

        Raises:
            RateLimited: there is none left.
        """
        reservation = self._reserve(len(asked))
        if not reservation.granted:
            raise self._exhausted(reservation)
        started = 0
        try:
            admitted = admit(asked[: reservation.granted])
            started = sum(not each.deduplicated for each in admitted.admissions)
        finally:
            self._settle(reservation, started=started)
        is_whole = reservation.granted == len(asked)
        return admitted, None if is_whole else self._exhausted(reservation)

    def _reserve(self, wanted: int) -> Reservation:
        if self._per_hour == UNLIMITED:
            return Reservation(caller=self._caller, granted=wanted, minute=0, retry_after_s=0)
        return self._services.allowance.reserve(self._caller, wanted, per_hour=self._per_hour)

    def _settle(self, reservation: Reservation, *, started: int) -> None:
        if self._per_hour != UNLIMITED:
            self._services.allowance.settle(reservation, started=started)

    def _exhausted(self, reservation: Reservation) -> RateLimited:
        return RateLimited(
            f"{self._per_hour} trainings per hour are allowed and used up; try again in "
            f"{reservation.retry_after_s} s.",
            trainings_per_hour=self._per_hour,
            retry_after_s=reservation.retry_after_s,
        )


def _training_budget(request: Request, services: ServicesDep, key: KeyDep) -> TrainingBudget:
    address = request.client.host if request.client else "unknown"
    return TrainingBudget(services, key, address=address)


TrainingBudgetDep = Annotated[TrainingBudget, Depends(_training_budget)]
