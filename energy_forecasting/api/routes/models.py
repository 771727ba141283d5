"""What the trained models say of themselves."""

from fastapi import APIRouter

from energy_forecasting.api.deps import MeterDep, ModelRegistryDep
from energy_forecasting.api.schemas import UNKNOWN, ModelList, ModelVersions

router = APIRouter(prefix="/models", tags=["models"])


@router.get("/", summary="List the champions")
def list_models(models: ModelRegistryDep) -> ModelList:
    """Return the card of every meter's champion."""
    return ModelList(models=models.champions())


@router.get("/{meter_type}/{meter_id}", summary="Read a meter's model cards", responses=UNKNOWN)
def describe_model(meter: MeterDep, models: ModelRegistryDep) -> ModelVersions:
    """Return a meter's champion and the versions kept for rollback."""
    return ModelVersions(champion=models.champion(meter), versions=models.versions(meter))
