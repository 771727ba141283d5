"""Readings that meters send in."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from energy_forecasting.api.deps import KnownMeterDep, ReadingsIntakeDep, ServicesDep
from energy_forecasting.api.readings_intake import CSV, JSON, MEDIA_TYPES
from energy_forecasting.api.received_body import ReceivedBody, receive_body
from energy_forecasting.api.schemas import ErrorAnswer, ReadingsAnswer

_NUMBER_OR_NULL = {"anyOf": [{"type": "number"}, {"type": "null"}]}

#: The route reads its body itself, so that one bad item cannot refuse the others.
REQUEST_BODY = {
    "required": True,
    "description": "Readings in any order, of which the later of two with the same moment counts. "
    "May be gzipped (`Content-Encoding: gzip`). Other columns and keys are ignored; `meter_type` "
    "and `meter_id` may be given again and must then be the path's.",
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["readings"],
                "properties": {
                    "readings": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["timestamp"],
                            "properties": {
                                "timestamp": {
                                    "type": "string",
                                    "format": "date-time",
                                    "description": "Start of the step, with an offset or Z",
                                },
                                "consumption": {
                                    **_NUMBER_OR_NULL,
                                    "description": "In the meter's unit; null or left out, with a "
                                    "temperature after the last reading: a temperature forecast",
                                },
                                "temperature": {
                                    **_NUMBER_OR_NULL,
                                    "description": "Degrees Celsius",
                                },
                            },
                        },
                    }
                },
            },
            "example": {
                "readings": [
                    {"timestamp": "2026-01-01T00:00:00Z", "consumption": 1.2, "temperature": 3.4},
                    {"timestamp": "2026-01-01T01:00:00Z", "consumption": 1.4},
                    {"timestamp": "2026-01-01T02:00:00Z", "consumption": None, "temperature": 3.1},
                ]
            },
        },
        CSV: {
            "schema": {
                "type": "string",
                "description": "Comma-separated, UTF-8, under a header with `timestamp`, "
                "`consumption` and perhaps `temperature`",
            },
            "example": "timestamp,consumption,temperature\n"
            "2026-01-01T00:00:00Z,1.2,3.4\n"
            "2026-01-01T01:00:00Z,1.4,\n"
            "2026-01-01T02:00:00Z,,3.1\n",
        },
    },
}

_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        413: "The body is larger than READINGS_BODY_LIMIT_MB, packed or unpacked",
        415: "The body is neither JSON nor CSV, or packed otherwise than with gzip",
        422: "The path or the body is not valid, or not one reading is usable; "
        "`details.rejections` tells why",
        502: "The meter store refuses the service's credentials",
        504: "The meter store took too long; send the same again",
        507: "The meter store cannot be written",
    }.items()
}

router = APIRouter(prefix="/meters", tags=["meters"])


async def _body(request: Request, services: ServicesDep) -> ReceivedBody:
    limit_mb = services.settings.readings_body_limit_mb
    return await receive_body(request, MEDIA_TYPES, limit_mb=limit_mb)


@router.post(
    "/{meter_type}/{meter_id}/readings",
    summary="Send readings of a meter",
    response_model_exclude_none=True,
    responses=_ANSWERS,
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def take_readings(
    meter: KnownMeterDep,
    body: Annotated[ReceivedBody, Depends(_body)],
    intake: ReadingsIntakeDep,
) -> ReadingsAnswer:
    """Write readings of one meter; its first ones create it.

    A bad line or item is left out and told; the others are written. Sending the same again
    changes nothing, so after an error or without an answer simply send again.
    """
    taken = await intake.take(meter, body)
    return ReadingsAnswer(
        meter_id=meter.meter_id,
        meter_type=meter.meter_type,
        accepted=taken.written.usable,
        written=taken.written.readings,
        duplicates=taken.written.duplicates,
        forecast_temperatures=taken.written.forecast_temperatures,
        rejected=taken.rejected,
        rejections=taken.rejections,
    )
