"""Every error as ``{"error": {"type", "message", "details"}, "detail": message}``."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from energy_forecasting.api.security_headers import SECURITY_HEADERS
from energy_forecasting.domain.errors import (
    EnergyForecastingError,
    Forbidden,
    RateLimited,
    Unauthenticated,
)

RETRY_AFTER_S = 1

logger = structlog.get_logger("api.error")

_HTTP_ERROR_TYPES = {400: "INVALID_REQUEST", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
_BAD_REQUEST = 400  # a body that is not text, or nested beyond reason
_UNAVAILABLE = 503
_CHALLENGE = 'Bearer realm="energy-forecasting"'  # RFC 6750


def add_error_handlers(app: FastAPI) -> None:
    """Make the application answer every error in the one form."""
    app.add_exception_handler(EnergyForecastingError, _on_our_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_invalid_request)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _on_http_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _on_bug)


def error_response(
    status: int,
    error_type: str,
    message: str,
    details: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return an error in the one form."""
    body = {
        "error": {"type": error_type, "message": message, "details": dict(details)},
        "detail": message,
    }
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


def error_answer(error: EnergyForecastingError) -> JSONResponse:
    """Return one of our errors in the one form, with the headers that go with it."""
    headers = {}
    if error.http_status == _UNAVAILABLE:
        logger.warning("Request refused", error_type=error.error_type, error=error.message)
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.details["retry_after_s"])
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = _CHALLENGE
    if isinstance(error, Forbidden):
        scope = error.details["scope"]
        headers["WWW-Authenticate"] = f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
    details = {"retryable": error.retryable, **_plain(error.details)}
    return error_response(error.http_status, error.error_type, error.message, details, headers)


async def _on_our_error(_request: Request, error: EnergyForecastingError) -> JSONResponse:
    return error_answer(error)


async def _on_invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
    faults = [
        {"field": _field_name(fault["loc"]), "problem": _problem(fault)} for fault in error.errors()
    ]
    first = faults[0]
    message = f"{first['field']}: {first['problem']}"
    details = {"field": first["field"], "faults": faults}
    return error_response(422, "INVALID_REQUEST", message, details)


async def _on_http_error(_request: Request, error: HTTPException) -> JSONResponse:
    error_type = _HTTP_ERROR_TYPES.get(error.status_code, "HTTP_ERROR")
    details = {"field": "body"} if error.status_code == _BAD_REQUEST else {}
    return error_response(error.status_code, error_type, str(error.detail), details, error.headers)


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    logger.error("Request met an unexpected error", path=request.url.path, exc_info=error)
    message = "The server met an unexpected error; its log has the traceback."
    # Starlette answers a bug outside of every middleware.
    return error_response(500, "INTERNAL_ERROR", message, {}, SECURITY_HEADERS)


def _field_name(location: tuple[int | str, ...]) -> str:
    """Name the field as the client wrote it.

    >>> _field_name(("body", "tuning", "max_trials"))
    'tuning.max_trials'
    """
    # A body that is not JSON is located by the number of a character.
    inner = [
        str(part) for part in location[1:] if location[1:2] != (part,) or isinstance(part, str)
    ]
    return ".".join(inner) or str(location[0] if location else "body")


def _problem(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "json_invalid":
        return f"not valid JSON at character {fault['loc'][-1]}: {fault['ctx']['error']}"
    return str(fault["msg"])


def _plain(details: Mapping[str, object]) -> dict[str, object]:
    """Keep what JSON knows; show the rest as text."""
    plain = (str, int, float, bool, list, dict, type(None))
    return {
        key: value if isinstance(value, plain) else str(value) for key, value in details.items()
    }
