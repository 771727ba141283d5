"""What the trained models say of themselves; going back to an earlier one; deleting them."""

from fastapi import APIRouter, Response

from energy_forecasting.api.deps import (
    ForecastServiceDep,
    MeterDep,
    ModelRegistryDep,
    ServicesDep,
    base_of_type,
)
from energy_forecasting.api.schemas import (
    UNKNOWN,
    ErrorAnswer,
    ModelList,
    ModelVersions,
    MonitoringAnswer,
    RollbackRequest,
)
from energy_forecasting.domain.base_card import BaseCard
from energy_forecasting.domain.monitoring import advice

router = APIRouter(prefix="/models", tags=["models"])


@router.get("/", summary="List the champions")
def list_models(models: ModelRegistryDep) -> ModelList:
    """Return the card of every meter's champion."""
    return ModelList(models=models.champions())


@router.get("/base/{meter_type}", summary="Read the card of a type's base", responses=UNKNOWN)
def describe_base(meter_type: str, services: ServicesDep) -> BaseCard:
    """Return what the store's meters of a type taught for the young ones, and how good it is."""
    return services.bases.card(base_of_type(meter_type, services).meter_type)


@router.get("/{meter_type}/{meter_id}", summary="Read a meter's model cards", responses=UNKNOWN)
def describe_model(meter: MeterDep, models: ModelRegistryDep) -> ModelVersions:
    """Return a meter's champion and the versions kept for rollback."""
    return ModelVersions(champion=models.champion(meter), versions=models.versions(meter))


@router.get(
    "/{meter_type}/{meter_id}/monitoring",
    summary="Tell how a model has done since its training",
    responses=UNKNOWN,
)
def monitor_model(meter: MeterDep, forecasts: ForecastServiceDep) -> MonitoringAnswer:
    """Score the champion on the readings of the last 28 days that it has not learnt from.

    Forecasts from every midnight are made again, each from the readings before it, and compared
    with what followed and with last week's values.
    """
    result = forecasts.monitor(meter)
    card = result.card
    return MonitoringAnswer(
        meter_id=card.meter_id,
        meter_type=card.meter_type,
        version=card.version,
        method=card.method,
        unit=card.unit,
        trained_until=card.data.last_reading,
        last_reading=result.last_reading,
        calibration=result.record,
        calibration_known_temperature=result.record_known_temperature,
        advice=advice(result.record),
    )


@router.post(
    "/{meter_type}/{meter_id}/rollback",
    summary="Make an earlier version the champion",
    responses={**UNKNOWN, 409: {"model": ErrorAnswer, "description": "No earlier version"}},
)
def rollback(
    meter: MeterDep, models: ModelRegistryDep, request: RollbackRequest | None = None
) -> ModelVersions:
    """Serve forecasts from an earlier version; without a body, from the last one before it.

    Versions that were refused, because they were worse than the champion of their day, are passed
    over, but serve when they are named. A later training replaces the champion if it is not worse.
    """
    champion = models.rollback(meter, request.version if request else None)
    return ModelVersions(champion=champion, versions=models.versions(meter))


@router.delete(
    "/{meter_type}/{meter_id}",
    summary="Delete a meter's models",
    status_code=204,
    responses=UNKNOWN,
)
def delete_model(meter: MeterDep, models: ModelRegistryDep) -> Response:
    """Delete the champion and all versions; the readings stay."""
    models.delete(meter)
    return Response(status_code=204)
