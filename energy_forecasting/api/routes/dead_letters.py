"""Failed trainings that nobody has mended yet: list them, try one or all again."""

from typing import Annotated

from fastapi import APIRouter, Query

from energy_forecasting.api.deps import CursorQuery, ServicesDep
from energy_forecasting.api.routes.batches import batch_answer
from energy_forecasting.api.routes.training import train_answer
from energy_forecasting.api.schemas import (
    LARGEST_BATCH,
    RATE_LIMITED,
    UNKNOWN,
    BatchAnswer,
    DeadLetterList,
    ErrorAnswer,
    ReplayRequest,
    TrainAnswer,
)
from energy_forecasting.api.training_budget import TrainingBudgetDep
from energy_forecasting.domain.errors import NotFound

router = APIRouter(prefix="/trainmodel/dead-letters", tags=["dead letters"])


@router.get("", summary="List failed trainings", response_model_exclude_none=True)
def dead_letters(
    services: ServicesDep,
    error_type: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: CursorQuery = None,
) -> DeadLetterList:
    """List the trainings that failed for good, the latest first, one per meter.

    A later success of the meter takes it off the list, as the end of its record's retention does.
    """
    page = services.dead_letters.page(error_type=error_type, limit=limit, cursor=cursor)
    return DeadLetterList(tasks=page.tasks, total=page.total, cursor=page.cursor)


@router.post(
    "/replay",
    summary="Try failed trainings again",
    response_model_exclude_none=True,
    responses={
        **RATE_LIMITED,
        404: {"model": ErrorAnswer, "description": "No dead letter is as asked for"},
    },
)
def replay_all(
    services: ServicesDep, budget: TrainingBudgetDep, request: ReplayRequest | None = None
) -> BatchAnswer:
    """Queue a training, as one batch, for every dead letter or for those of one kind.

    Each is trained as it was asked for then; its new record names it in `replay_of`.
    """
    asked = request or ReplayRequest(error_type=None, meter_type=None)
    letters = services.dead_letters.all(
        error_type=asked.error_type, meter_type=asked.meter_type, limit=LARGEST_BATCH
    )
    if not letters:
        raise NotFound("There is no such dead letter; GET /trainmodel/dead-letters lists all.")
    # What the caller's hour leaves no room for stays in the list.
    admitted, _ = budget.spend_batch(letters, services.desk.replay_all)
    return batch_answer(admitted)


@router.post(
    "/{task_id}/replay",
    summary="Try a failed training again",
    responses={
        **UNKNOWN,
        **RATE_LIMITED,
        409: {"model": ErrorAnswer, "description": "It is no dead letter"},
    },
)
def replay(task_id: str, services: ServicesDep, budget: TrainingBudgetDep) -> TrainAnswer:
    """Queue a training of the meter as it was asked for then; the failed record stays as it is."""
    meter = services.dead_letters.get(task_id).meter
    admission = budget.spend(meter, lambda: services.desk.replay(task_id))
    return train_answer(admission, services)
