"""How the service and its workers are.

A caller without a key is told status and authentication only, where keys are asked for: enough
for a load balancer, nothing about the house.
"""

from typing import Literal

from fastapi import APIRouter, Response

from energy_forecasting import __version__
from energy_forecasting.api.deps import (
    KeyDep,
    KeyRingDep,
    ServicesDep,
    StoreProbeDep,
    TaskStoreDep,
)
from energy_forecasting.api.schemas import (
    HealthAnswer,
    HealthSummary,
    WorkerHealthAnswer,
    WorkerHealthSummary,
)
from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.tasks.lanes import Lane

router = APIRouter(prefix="/health", tags=["health"])

UNAVAILABLE = 503
NO_WORKER = "No worker lives; start one with: python dramatiq_worker.py"


@router.get(
    "/",
    summary="Is the service healthy?",
    responses={UNAVAILABLE: {"model": HealthAnswer | HealthSummary}},
)
def health(
    response: Response, tasks: TaskStoreDep, probe: StoreProbeDep, key: KeyDep, keys: KeyRingDep
) -> HealthAnswer | HealthSummary:
    """Tell whether Redis and the meter store can be reached."""
    store = probe.health()
    broker_error = _fault_of_redis(tasks)
    kind = probe.kind
    authentication = _authentication(keys)
    # Nobody gets in while the keys cannot be read, so the service is of no use to anybody.
    if broker_error or not keys.is_readable():
        response.status_code = UNAVAILABLE
    connection = "connected" if store.is_connected else "disconnected"
    status = "healthy" if store.is_connected else "degraded"
    if response.status_code == UNAVAILABLE:
        status = "unhealthy"
    if key is None and authentication == "on":
        return HealthSummary(status=status, authentication=authentication)
    return HealthAnswer(
        status=status,
        authentication=authentication,
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


@router.get(
    "/worker",
    summary="Who works?",
    responses={UNAVAILABLE: {"model": WorkerHealthAnswer | WorkerHealthSummary}},
)
def worker_health(
    response: Response, services: ServicesDep, key: KeyDep, keys: KeyRingDep
) -> WorkerHealthAnswer | WorkerHealthSummary:
    """List the living workers and count the tasks that wait for one."""
    authentication = _authentication(keys)
    try:
        workers = services.workers.living()
    except EnergyForecastingError:
        if key is None and authentication == "on":  # the error names the server
            response.status_code = UNAVAILABLE
            return WorkerHealthSummary(status="unhealthy", authentication=authentication)
        raise
    status = "healthy" if workers else "unhealthy"
    if not workers:
        response.status_code = UNAVAILABLE
    if key is None and authentication == "on":
        return WorkerHealthSummary(status=status, authentication=authentication)
    return WorkerHealthAnswer(
        status=status,
        authentication=authentication,
        broker_type="RedisBroker",
        workers=workers,
        queue_depth=services.tasks.waiting_count(),
        queue_depth_by_lane={lane: services.tasks.waiting_count(lane) for lane in Lane},
        dead_letters=services.dead_letters.count(),
        reconciled=services.mendings(),
        message=None if workers else NO_WORKER,
    )


def _authentication(keys: KeyRingDep) -> Literal["on", "off"]:
    return "on" if keys.is_closed() else "off"


def _fault_of_redis(tasks: TaskStoreDep) -> str | None:
    try:
        tasks.waiting_count()
    except EnergyForecastingError as error:
        return error.message
    return None
