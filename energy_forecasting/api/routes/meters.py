"""What the meter store holds."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from energy_forecasting.api.deps import MeterDep, MeterStoreDep, ModelRegistryDep, ServicesDep
from energy_forecasting.api.schemas import UNKNOWN, MeterAnswer, MeterList, QualityAnswer
from energy_forecasting.domain.meters import METER_TYPE_PATTERN, MeterSummary
from energy_forecasting.domain.resolutions import FINE_READINGS, found_resolution
from energy_forecasting.forecasting.quality.report import quality_report
from energy_forecasting.registry.model_registry import ModelRegistry

#: Readings so far back tell the step of a meter.
RESOLUTION_SEEN = timedelta(days=28)

router = APIRouter(prefix="/meters", tags=["meters"])


@router.get("/", summary="List the meters")
def list_meters(
    store: MeterStoreDep,
    models: ModelRegistryDep,
    meter_type: Annotated[str | None, Query(pattern=METER_TYPE_PATTERN)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> MeterList:
    """List the meters that have readings."""
    summaries = store.list_meters(meter_type)
    page = summaries[offset : offset + limit]
    return MeterList(meters=[_answer(each, models) for each in page], total=len(summaries))


@router.get("/{meter_type}/{meter_id}", summary="Describe a meter", responses=UNKNOWN)
def describe_meter(meter: MeterDep, store: MeterStoreDep, models: ModelRegistryDep) -> MeterAnswer:
    """Return what the store holds of one meter."""
    summary = store.describe(meter)
    start = summary.last_reading - RESOLUTION_SEEN if summary.last_reading else None
    found = found_resolution(store.read_history(meter, start=start).timestamps)
    return _answer(summary, models, found=found)


@router.get(
    "/{meter_type}/{meter_id}/quality", summary="Report on a meter's data", responses=UNKNOWN
)
def report_quality(meter: MeterDep, services: ServicesDep) -> QualityAnswer:
    """Report on the history that a training would read: what is missing or odd, what is repaired.

    Bad data is an answer, not an error: the verdict says whether a training would refuse it.
    """
    summary = services.meters.describe(meter, counted=False)
    last, span = summary.last_reading, timedelta(days=services.settings.history_days)
    history = services.meters.read_history(
        meter,
        start=last - span if last else None,
        whole_hours_before=last - FINE_READINGS if last else None,
    )
    report = quality_report(history, summary.profile, limits=services.limits)
    return QualityAnswer(
        meter_id=meter.meter_id,
        meter_type=meter.meter_type,
        unit=summary.profile.unit,
        timezone=summary.profile.timezone,
        **dict(report),
    )


def _answer(
    summary: MeterSummary, models: ModelRegistry, *, found: timedelta | None = None
) -> MeterAnswer:
    resolution = summary.profile.resolution or found
    return MeterAnswer(
        meter_id=summary.meter.meter_id,
        meter_type=summary.meter.meter_type,
        unit=summary.profile.unit,
        timezone=summary.profile.timezone,
        country=summary.profile.country,
        reading_kind=summary.profile.reading_kind,
        resolution_minutes=resolution.total_seconds() / 60 if resolution else None,
        readings=summary.readings,
        first_reading=summary.first_reading,
        last_reading=summary.last_reading,
        has_temperature=summary.has_temperature,
        has_model=models.champion_path(summary.meter).is_file(),
    )
