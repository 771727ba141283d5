"""Queue a training, watch it, cancel it."""

from typing import Annotated

from fastapi import APIRouter, Query

from energy_forecasting.api.deps import (
    CursorQuery,
    GatheredReadsDep,
    ServicesDep,
    TaskStoreDep,
    base_of_type,
    known_meter,
)
from energy_forecasting.api.schemas import (
    RATE_LIMITED,
    UNKNOWN,
    BaseRequest,
    ErrorAnswer,
    TaskList,
    TrainAnswer,
    TrainingChoices,
    TrainRequest,
)
from energy_forecasting.api.services import ApiServices
from energy_forecasting.api.training_budget import TrainingBudgetDep
from energy_forecasting.domain.stages import STAGE_MESSAGE, Stage
from energy_forecasting.tasks.record import TaskRecord
from energy_forecasting.tasks.task_keys import TASK_PREFIX
from energy_forecasting.tasks.task_store import Admission, record_of
from energy_forecasting.tasks.wish import Wish

router = APIRouter(prefix="/trainmodel", tags=["training"])


@router.post("/", summary="Queue a training", responses=RATE_LIMITED)
def train(request: TrainRequest, services: ServicesDep, budget: TrainingBudgetDep) -> TrainAnswer:
    """Queue a training of one meter.

    A meter has one open task at a time: while it is queued or running, the same task comes back
    with `deduplicated: true`.
    """
    meter = known_meter(request.meter_type, request.meter_id, services)
    wish, force = wish_in(request, services), request.force
    admission = budget.spend(
        meter, lambda: services.desk.admit(meter, wish, force=force), force=force
    )
    return train_answer(admission, services)


@router.post(
    "/base", summary="Queue the learning of a base for young meters", responses=RATE_LIMITED
)
def learn_base(
    request: BaseRequest, services: ServicesDep, budget: TrainingBudgetDep
) -> TrainAnswer:
    """Learn from the store's meters of a type what helps the young ones among them.

    At most BASE_MAX_METERS meters with at least eight weeks of history are read. Trainings of
    meters too young for the network use the base from then on. A type has one open task at a
    time; its record's `meter_id` is `_base`. Temperature is not used.
    """
    base = base_of_type(request.meter_type, services)
    admission = budget.spend(base, lambda: services.desk.admit(base, Wish()))
    return train_answer(admission, services)


def wish_in(request: TrainingChoices, services: ApiServices) -> Wish:
    """Return how the meters of a request are to be trained."""
    tuning = request.tuning
    return Wish(
        max_trials=tuning.max_trials if tuning else services.settings.tuning_max_trials,
        deadline_s=request.deadline_s,
    )


def train_answer(admission: Admission, services: ApiServices) -> TrainAnswer:
    """Return what a client is told of an admitted task."""
    record = services.tasks.get(admission.task_id) if admission.deduplicated else None
    return TrainAnswer(
        task_id=admission.task_id,
        status=record.status if record else Stage.PENDING,
        progress=record.progress if record else 0,
        message=record.message if record else STAGE_MESSAGE[Stage.PENDING],
        meter_id=admission.meter.meter_id,
        meter_type=admission.meter.meter_type,
        deduplicated=admission.deduplicated,
    )


@router.get(
    "/status/{task_id}",
    summary="Follow a task",
    response_model_exclude_none=True,
    responses=UNKNOWN,
)
async def status(task_id: str, reads: GatheredReadsDep) -> TaskRecord:
    """Return how far a task is; fields are absent until they are known."""
    return record_of(task_id, await reads.hash_of(TASK_PREFIX + task_id))


@router.get("/", summary="List tasks", response_model_exclude_none=True)
def find_tasks(
    tasks: TaskStoreDep,
    status: Stage | None = None,
    meter_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: CursorQuery = None,
) -> TaskList:
    """List tasks, newest first."""
    page = tasks.find(status=status, meter_id=meter_id, limit=limit, cursor=cursor)
    return TaskList(tasks=page.tasks, cursor=page.cursor)


@router.delete(
    "/{task_id}",
    summary="Cancel a task",
    response_model_exclude_none=True,
    responses={**UNKNOWN, 409: {"model": ErrorAnswer, "description": "It has already ended"}},
)
def cancel(task_id: str, tasks: TaskStoreDep) -> TaskRecord:
    """Cancel a queued or running task; its trainer is killed within two seconds."""
    return tasks.cancel(task_id)
