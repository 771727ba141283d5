"""Train many meters with one request, watch them added up, cancel them together."""

from typing import Annotated

from fastapi import APIRouter, Query

from energy_forecasting.api.deps import ServicesDep, check_type, known_meter
from energy_forecasting.api.routes.training import wish_in
from energy_forecasting.api.schemas import (
    LARGEST_BATCH,
    RATE_LIMITED,
    UNKNOWN,
    BatchAnswer,
    BatchCancelled,
    BatchRequest,
    BatchTask,
    BatchTasks,
    ErrorAnswer,
    ErrorBody,
    MeterRequest,
)
from energy_forecasting.api.services import ApiServices
from energy_forecasting.api.training_budget import TrainingBudgetDep
from energy_forecasting.domain.errors import EnergyForecastingError, InvalidRequest, NoDataFound
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import Stage
from energy_forecasting.tasks.admission import BatchAdmission
from energy_forecasting.tasks.batch_record import BatchRecord

router = APIRouter(prefix="/trainmodel/batch", tags=["batches"])


@router.post(
    "",
    summary="Queue trainings of many meters",
    response_model_exclude_none=True,
    responses={
        **RATE_LIMITED,
        404: {"model": ErrorAnswer, "description": "The store holds no meter of the type"},
    },
)
def train_batch(
    request: BatchRequest, services: ServicesDep, budget: TrainingBudgetDep
) -> BatchAnswer:
    """Queue a training of each meter listed, or of all meters of a type.

    Each meter is answered for: one that cannot be accepted does not stop the others. A meter with
    an open task keeps it. Single requests (`POST /trainmodel/`) do not wait behind batches.
    """
    rejected: dict[int, BatchTask] = {}
    meters = _meters_of(request, services, rejected)
    wish, meter_type, force = wish_in(request, services), request.meter_type, request.force
    admitted, refusal = budget.spend_batch(
        meters,
        lambda allowed: services.desk.admit_batch(
            allowed, wish, meter_type=meter_type, force=force
        ),
    )
    if refusal is not None:
        places = [place for place in range(len(meters) + len(rejected)) if place not in rejected]
        allowed = len(admitted.admissions)
        for place, meter in zip(places[allowed:], meters[allowed:], strict=True):
            rejected[place] = _rejected(meter, refusal)
    return batch_answer(admitted, rejected)


@router.get(
    "/{batch_id}", summary="Follow a batch", response_model_exclude_none=True, responses=UNKNOWN
)
def batch(batch_id: str, services: ServicesDep) -> BatchRecord:
    """Return how far a batch is, added up, with an estimate of its end."""
    return services.batches.get(batch_id)


@router.get(
    "/{batch_id}/tasks",
    summary="List a batch's tasks",
    response_model_exclude_none=True,
    responses=UNKNOWN,
)
def batch_tasks(
    batch_id: str,
    services: ServicesDep,
    status: Stage | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[int, Query(ge=0, le=LARGEST_BATCH)] = 0,
) -> BatchTasks:
    """List the tasks in the order asked for; with `?status=FAILED` those that failed, and why."""
    page = services.batches.tasks_of(batch_id, status=status, limit=limit, cursor=cursor)
    return BatchTasks(tasks=page.tasks, cursor=page.cursor)


@router.delete(
    "/{batch_id}", summary="Cancel a batch", response_model_exclude_none=True, responses=UNKNOWN
)
def cancel_batch(batch_id: str, services: ServicesDep) -> BatchCancelled:
    """Cancel the tasks of a batch, queued or running, and leave those that have ended.

    Tasks that another request had asked for before the batch did go on. Again changes nothing.
    """
    outcome = services.batches.cancel(batch_id)
    return BatchCancelled(
        batch=services.batches.get(batch_id),
        cancelled=outcome.cancelled,
        left_running=outcome.left_running,
    )


def batch_answer(
    admitted: BatchAdmission, rejected: dict[int, BatchTask] | None = None
) -> BatchAnswer:
    """Return what a client is told of a batch; rejected meters stand at their places."""
    rejected = rejected or {}
    accepted = iter(
        BatchTask(
            meter_id=each.meter.meter_id,
            meter_type=each.meter.meter_type,
            task_id=each.task_id,
            deduplicated=each.deduplicated,
        )
        for each in admitted.admissions
    )
    places = range(len(admitted.admissions) + len(rejected))
    return BatchAnswer(
        batch_id=admitted.batch_id,
        accepted=len(admitted.admissions),
        deduplicated=sum(each.deduplicated for each in admitted.admissions),
        rejected=len(rejected),
        tasks=[rejected[place] if place in rejected else next(accepted) for place in places],
    )


def _meters_of(
    request: BatchRequest, services: ApiServices, rejected: dict[int, BatchTask]
) -> list[Meter]:
    if request.meter_type is not None:
        return _meters_of_type(request.meter_type, services)
    meters = []
    for place, asked in enumerate(request.meters or []):
        try:
            meters.append(known_meter(asked.meter_type, asked.meter_id, services))
        except InvalidRequest as refusal:
            rejected[place] = _rejected(asked, refusal)
    if not meters:
        first = rejected[0].error
        raise InvalidRequest(
            f"None of the {len(rejected)} meters can be trained; the first: "
            f"{first.message if first else ''}",
            field="meters",
            rejected=len(rejected),
        )
    return meters


def _meters_of_type(meter_type: str, services: ApiServices) -> list[Meter]:
    # Any id will do to have the type checked.
    check_type(Meter(meter_type=meter_type, meter_id="any"), services)
    meters = [summary.meter for summary in services.meters.list_meters(meter_type)]
    if not meters:
        raise NoDataFound(
            f"The meter store holds no {meter_type} meters; GET /meters/ lists what it holds.",
            meter_type=meter_type,
        )
    if len(meters) > LARGEST_BATCH:
        raise InvalidRequest(
            f"The meter store holds {len(meters):,} {meter_type} meters; a batch takes "
            f"{LARGEST_BATCH:,}. List them in several batches.",
            field="meter_type",
            meters=len(meters),
        )
    return meters


def _rejected(asked: MeterRequest | Meter, refusal: EnergyForecastingError) -> BatchTask:
    details = {"retryable": refusal.retryable, **refusal.details}
    return BatchTask(
        meter_id=asked.meter_id,
        meter_type=asked.meter_type,
        error=ErrorBody(type=refusal.error_type, message=refusal.message, details=details),
    )
