"""What routes depend on, as annotated aliases.

Dependencies are ``async`` although they wait for nothing: each plain function would cost a turn in
the pool of threads, which slow requests may have filled.
"""

from typing import Annotated, cast

from fastapi import Depends, Path, Query, Request

from energy_forecasting.access.api_key import ApiKey
from energy_forecasting.access.key_ring import KeyRing
from energy_forecasting.api.middleware import KEY_STATE
from energy_forecasting.api.readings_intake import ReadingsIntake
from energy_forecasting.api.services import ApiServices
from energy_forecasting.api.store_probe import StoreProbe
from energy_forecasting.domain.base_card import BASE_METER_ID, base_task_of
from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import Meter
from energy_forecasting.meters.store import MeterStore
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.serving.forecast_service import ForecastService
from energy_forecasting.tasks.gathered_reads import GatheredReads
from energy_forecasting.tasks.task_events import TaskEvents
from energy_forecasting.tasks.task_store import TaskStore


async def _services(request: Request) -> ApiServices:
    return cast("ApiServices", request.app.state.services)


ServicesDep = Annotated[ApiServices, Depends(_services)]


async def _tasks(services: ServicesDep) -> TaskStore:
    return services.tasks


async def _reads(request: Request) -> GatheredReads:
    return (await _services(request)).reads


async def _events(request: Request) -> TaskEvents:
    return (await _services(request)).events


async def _meters(services: ServicesDep) -> MeterStore:
    return services.meters


async def _models(services: ServicesDep) -> ModelRegistry:
    return services.models


async def _forecasts(request: Request) -> ForecastService:
    return cast("ForecastService", request.app.state.forecasts)


async def _store_probe(request: Request) -> StoreProbe:
    return cast("StoreProbe", request.app.state.store_probe)


async def _meter(
    meter_type: Annotated[str, Path(examples=["electricity"])],
    meter_id: Annotated[str, Path(examples=["ucam_b37_elec"])],
) -> Meter:
    return Meter(meter_type=meter_type, meter_id=meter_id)


async def _keys(services: ServicesDep) -> KeyRing:
    return services.keys


async def _key(request: Request) -> ApiKey | None:
    return cast("ApiKey | None", getattr(request.state, KEY_STATE, None))


TaskStoreDep = Annotated[TaskStore, Depends(_tasks)]
GatheredReadsDep = Annotated[GatheredReads, Depends(_reads)]
TaskEventsDep = Annotated[TaskEvents, Depends(_events)]
MeterStoreDep = Annotated[MeterStore, Depends(_meters)]
ModelRegistryDep = Annotated[ModelRegistry, Depends(_models)]
ForecastServiceDep = Annotated[ForecastService, Depends(_forecasts)]
StoreProbeDep = Annotated[StoreProbe, Depends(_store_probe)]
KeyRingDep = Annotated[KeyRing, Depends(_keys)]
#: The key that the request came with; None where none was asked for.
KeyDep = Annotated[ApiKey | None, Depends(_key)]
#: The meter that the path names.
MeterDep = Annotated[Meter, Depends(_meter)]


async def _readings_intake(request: Request) -> ReadingsIntake:
    return cast("ReadingsIntake", request.app.state.readings_intake)


ReadingsIntakeDep = Annotated[ReadingsIntake, Depends(_readings_intake)]


def known_meter(meter_type: str, meter_id: str, services: ApiServices) -> Meter:
    """Return the meter of a request that changes what is known of it.

    Raises:
        InvalidRequest: its type is not among METER_TYPES, a character is not allowed, or the id
            is reserved.
    """
    meter = Meter(meter_type=meter_type, meter_id=meter_id)
    if meter.meter_id == BASE_METER_ID:
        raise InvalidRequest(
            f"meter_id {BASE_METER_ID} is reserved; a base is learnt with POST /trainmodel/base.",
            field="meter_id",
        )
    check_type(meter, services)
    return meter


async def _known_meter(
    meter_type: Annotated[str, Path(examples=["electricity"])],
    meter_id: Annotated[str, Path(examples=["hall_7"])],
    services: ServicesDep,
) -> Meter:
    return known_meter(meter_type, meter_id, services)


#: The meter that the path names, of a type that the settings allow.
KnownMeterDep = Annotated[Meter, Depends(_known_meter)]


def base_of_type(meter_type: str, services: ApiServices) -> Meter:
    """Return what stands for the base of a type in its task.

    Raises:
        InvalidRequest: as ``known_meter`` does.
    """
    base = base_task_of(meter_type)
    check_type(base, services)
    return base


def check_type(meter: Meter, services: ApiServices) -> None:
    """Raise InvalidRequest when a meter's type is not among METER_TYPES."""
    allowed = services.settings.meter_types
    if meter.meter_type not in allowed:
        raise InvalidRequest(
            f"meter_type {meter.meter_type} is not known; use one of {', '.join(allowed)}.",
            field="meter_type",
            allowed=list(allowed),
        )


#: Where the next page of a listing begins: the last task of the page before.
CursorQuery = Annotated[
    str | None,
    Query(pattern=r"^[0-9a-f-]{1,64}$", description="The `cursor` of the page before"),
]
