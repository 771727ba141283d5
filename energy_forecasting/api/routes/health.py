"""How the service and its workers are."""

from fastapi import APIRouter, Response

from energy_forecasting import __version__
from energy_forecasting.api.deps import ServicesDep, StoreProbeDep, TaskStoreDep
from energy_forecasting.api.schemas import HealthAnswer, WorkerHealthAnswer
from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.tasks.lanes import Lane

router = APIRouter(prefix="/health", tags=["health"])

UNAVAILABLE = 503
NO_WORKER = "No worker lives; start one with: python dramatiq_worker.py"


@router.get(
    "/", summary="Is the service healthy?", responses={UNAVAILABLE: {"model": HealthAnswer}}
)
def health(response: Response, tasks: TaskStoreDep, probe: StoreProbeDep) -> HealthAnswer:
    """Tell whether Redis and the meter store can be reached."""
    store = probe.health()
    broker_error = _fault_of_redis(tasks)
    kind = probe.kind
    if broker_error:
        response.status_code = UNAVAILABLE
    connection = "connected" if store.is_connected else "disconnected"
    return HealthAnswer(
        status=("unhealthy" if broker_error else "healthy" if store.is_connected else "degraded"),
        broker="disconnected" if broker_error else "connected",
        influxdb=connection if kind.startswith("influxdb") else "embedded",
        meter_store={
            "kind": kind,
            "status": connection,
            "version": store.status.version if store.status else None,
            "error": store.error,
        },
        version=__version__,
    )


@router.get("/worker", summary="Who works?", responses={UNAVAILABLE: {"model": WorkerHealthAnswer}})
def worker_health(response: Response, services: ServicesDep) -> WorkerHealthAnswer:
    """List the living workers and count the tasks that wait for one."""
    workers = services.workers.living()
    if not workers:
        response.status_code = UNAVAILABLE
    return WorkerHealthAnswer(
        status="healthy" if workers else "unhealthy",
        broker_type="RedisBroker",
        workers=workers,
        queue_depth=services.tasks.waiting_count(),
        queue_depth_by_lane={lane: services.tasks.waiting_count(lane) for lane in Lane},
        dead_letters=services.dead_letters.count(),
        reconciled=services.mendings(),
        message=None if workers else NO_WORKER,
    )


def _fault_of_redis(tasks: TaskStoreDep) -> str | None:
    try:
        tasks.waiting_count()
    except EnergyForecastingError as error:
        return error.message
    return None
