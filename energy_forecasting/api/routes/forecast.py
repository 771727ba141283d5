"""A forecast with its uncertainty, as JSON or CSV."""

import csv
import io
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Response

from energy_forecasting.api.deps import ForecastServiceDep, ServicesDep, known_meter
from energy_forecasting.api.forecast_explanation import contributions_by_hour, explained
from energy_forecasting.api.schemas import (
    UNKNOWN,
    ExplainedForecastAnswer,
    ForecastAnswer,
    ForecastModel,
    ForecastPoint,
    ForecastRequest,
    HistoryPoint,
)
from energy_forecasting.domain.monitoring import advice
from energy_forecasting.domain.readings import Values, to_datetime
from energy_forecasting.serving.forecast_query import ForecastQuery
from energy_forecasting.serving.forecast_service import ForecastResult

router = APIRouter(prefix="/forecast", tags=["forecast"])

#: Below it a forecast rests more on filled-in hours than on readings.
LEAST_KNOWN_SHARE = 0.5

CSV_TYPE = "text/csv; charset=utf-8"


@router.post(
    "/",
    summary="Forecast up to a week ahead",
    response_model=ForecastAnswer | ExplainedForecastAnswer,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **UNKNOWN},
)
def forecast(
    request: ForecastRequest,
    services: ServicesDep,
    forecasts: ForecastServiceDep,
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the contract's name
) -> Response:
    """Forecast up to a week ahead: the median and calibrated quantiles for every step.

    It starts with the first step that the readings do not know, at any time of the day. Hours
    are the rule; a meter that is read more finely can be asked for 5 to 30 minutes, one that is
    read less often answers in its own steps. With ``explain`` it also tells what drives it; as
    CSV in columns named ``contribution_...``.
    """
    meter = known_meter(request.meter_type, request.meter_id, services)
    result = forecasts.forecast(meter, _as_query(request))
    if format == "csv":
        return Response(_as_csv(result), media_type=CSV_TYPE)
    answer = _as_answer(result, request.history_hours)
    if result.explanation is not None:
        answer = explained(answer, result.explanation)
    return Response(answer.model_dump_json(), media_type="application/json")


def _as_query(request: ForecastRequest) -> ForecastQuery:
    return ForecastQuery(
        horizon_hours=request.horizon_hours,
        start_date=request.start_date,
        end_date=request.end_date,
        quantiles=tuple(request.quantiles),
        temperature=None if request.temperature is None else tuple(request.temperature),
        resolution_minutes=request.resolution_minutes,
        explain=request.explain,
    )


def _as_answer(result: ForecastResult, history_hours: int) -> ForecastAnswer:
    card = result.card
    degraded_reason = _degraded_reason(result)
    return ForecastAnswer(
        meter_id=card.meter_id,
        meter_type=card.meter_type,
        unit=card.unit,
        timezone=card.timezone,
        resolution_minutes=_minutes(result),
        origin=result.horizon.origin,
        horizon_hours=result.horizon.hours,
        last_reading=result.last_reading,
        model=ForecastModel(
            version=card.version,
            method=card.method,
            method_reason=card.method_reason,
            trained_at=card.trained_at,
            skill=card.skill,
        ),
        temperature_source=result.forecast.temperature_source,
        temperature_hours=result.forecast.temperature_hours,
        degraded=degraded_reason is not None,
        degraded_reason=degraded_reason,
        calibration=result.forecast.live,
        quantile_levels=list(result.forecast.levels),
        history=_history_points(result, history_hours),
        forecast=_forecast_points(result),
    )


def _degraded_reason(result: ForecastResult) -> str | None:
    if result.forecast.is_baseline:
        return (
            "The model's forecast lay far outside of what this meter has ever shown; last week's "
            "values answer instead. Train the meter again."
        )
    if result.resolution_doubt is not None:
        return result.resolution_doubt
    if result.known_share < LEAST_KNOWN_SHARE:
        return (
            f"Only {result.known_share:.0%} of the hours in the four weeks before the origin were "
            "measured; the others were filled in."
        )
    return advice(result.forecast.live)


def _forecast_points(result: ForecastResult) -> list[ForecastPoint]:
    names = [f"{level:g}" for level in result.forecast.levels]
    values = _rounded(result.forecast.quantiles)
    medians = _rounded(result.forecast.median)
    return [
        ForecastPoint(
            timestamp=to_datetime(stamp),
            consumption=median,
            quantiles=dict(zip(names, row, strict=True)),
        )
        for stamp, median, row in zip(result.forecast.timestamps, medians, values, strict=True)
    ]


def _history_points(result: ForecastResult, hours: int) -> list[HistoryPoint]:
    """Return every step before the first unknown one, a missing one as null."""
    stamps = result.steps.starts(result.start - timedelta(hours=hours), result.start)
    known = dict(
        zip(result.history.timestamps.tolist(), _rounded(result.history.consumption), strict=True)
    )
    return [
        HistoryPoint(timestamp=to_datetime(stamp), consumption=_finite(known.get(stamp.tolist())))
        for stamp in stamps
    ]


def _minutes(result: ForecastResult) -> float:
    return result.steps.step.total_seconds() / 60


def _rounded(values: Values) -> list[Any]:
    """Six digits are more than any meter measures."""
    return list(np.round(values, 6).tolist())


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _as_csv(result: ForecastResult) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    levels = [f"q{level:g}" for level in result.forecast.levels]
    points = _forecast_points(result)
    parts: list[dict[str, float]] = [{}] * len(points)
    if result.explanation is not None:
        parts = contributions_by_hour(result.explanation)
    names = [f"contribution_{name}" for name in parts[0]]
    writer.writerow(["timestamp", "consumption", *levels, *names, "resolution_minutes"])
    minutes = f"{_minutes(result):g}"
    for point, part in zip(points, parts, strict=True):
        stamp = point.timestamp.isoformat()
        writer.writerow(
            [stamp, point.consumption, *point.quantiles.values(), *part.values(), minutes]
        )
    return text.getvalue()
