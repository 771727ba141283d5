"""The application factory: routes, errors, middleware, and nothing that decides."""

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from energy_forecasting import __version__
from energy_forecasting.api.body_guard import BodyGuard
from energy_forecasting.api.body_limits import body_limits
from energy_forecasting.api.error_handlers import add_error_handlers
from energy_forecasting.api.middleware import OptionalTrailingSlash, RequestContext
from energy_forecasting.api.openapi_links import add_links
from energy_forecasting.api.readings_intake import ReadingsIntake
from energy_forecasting.api.routes import forecast, health, meters, models, readings, training
from energy_forecasting.api.schemas import ErrorAnswer
from energy_forecasting.api.services import ApiServices
from energy_forecasting.api.store_probe import StoreProbe
from energy_forecasting.serving.forecast_service import ForecastService

DESCRIPTION = """
Trains, tunes and calibrates a forecaster for every utility meter.

1. `POST /trainmodel/` queues a training and answers at once with a `task_id`.
2. `GET /trainmodel/status/{task_id}` tells stage and progress until `SUCCESS`, `FAILED` or
   `CANCELLED`.
3. `POST /forecast/` answers with the hours ahead: median and quantiles.

Readings come from the meter store; `POST /meters/{meter_type}/{meter_id}/readings` writes new ones
into it, as JSON or CSV.

A meter too young for a network of its own (two days to 32 weeks of history) gets a regression
learnt across meters; `POST /trainmodel/base` learns it from the store's own meters of a type.

Every error has the form `{"error": {"type", "message", "details"}, "detail": message}`.
"""

logger = structlog.get_logger("api")


def create_app(services: ApiServices) -> FastAPI:
    """Build the application over its collaborators."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        logger.info("API started", version=__version__)
        yield
        app.state.store_probe.close()
        services.meters.close()
        logger.info("API stopped")

    app: FastAPI = FastAPIOffline(
        title="Energy Forecasting System",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        responses={
            400: {"model": ErrorAnswer, "description": "The body is not text"},
            408: {"model": ErrorAnswer, "description": "The body took too long to arrive"},
            413: {"model": ErrorAnswer, "description": "The body is larger than the limit"},
            422: {"model": ErrorAnswer, "description": "The request is not valid"},
            502: {"model": ErrorAnswer, "description": "Redis or the meter store refuses us"},
            503: {"model": ErrorAnswer, "description": "Redis or the meter store is away"},
            504: {"model": ErrorAnswer, "description": "The meter store took too long"},
            507: {"model": ErrorAnswer, "description": "A model or meter file cannot be used"},
        },
    )
    app.state.services = services
    app.state.forecasts = ForecastService(services.models, services.meters)
    app.state.store_probe = StoreProbe(services.meters)
    app.state.readings_intake = ReadingsIntake(services.meters)
    add_error_handlers(app)
    for routes in (training, forecast, models, meters, readings, health):
        app.include_router(routes.router)

    @app.get("/", include_in_schema=False)
    def index() -> dict[str, str]:
        return {
            "service": "Energy Forecasting System",
            "version": __version__,
            "docs": "/docs",
            "health": "/health/",
        }

    app.openapi = _with_links(app.openapi)  # type: ignore[method-assign]  # as FastAPI documents
    app.add_middleware(
        BodyGuard,
        limit_of=body_limits(services.settings),
        timeout_s=services.settings.request_body_timeout_s,
        memory_mb=services.settings.request_bodies_memory_mb,
    )
    app.add_middleware(OptionalTrailingSlash)
    app.add_middleware(RequestContext)
    return app


def _with_links(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    @functools.cache
    def linked() -> dict[str, Any]:
        return add_links(make())

    return linked
