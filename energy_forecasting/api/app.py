"""The application factory: routes, errors, middleware, and nothing that decides."""

import contextlib
from collections.abc import AsyncIterator

import structlog
from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from energy_forecasting import __version__
from energy_forecasting.api.documented_access import KEY_SCHEMES, document_scopes
from energy_forecasting.api.doorkeeper import API_KEY_HEADER, Doorkeeper
from energy_forecasting.api.error_handlers import add_error_handlers
from energy_forecasting.api.middleware import OptionalTrailingSlash, RequestContext
from energy_forecasting.api.readings_intake import ReadingsIntake
from energy_forecasting.api.routes import (
    batches,
    dead_letters,
    events,
    forecast,
    health,
    meters,
    models,
    readings,
    training,
)
from energy_forecasting.api.schemas import ErrorAnswer
from energy_forecasting.api.security_headers import SecurityHeaders
from energy_forecasting.api.services import ApiServices
from energy_forecasting.api.stop_signal import before_the_end
from energy_forecasting.api.store_probe import StoreProbe
from energy_forecasting.api.timely_end import timely_end
from energy_forecasting.serving.forecast_service import ForecastService

DESCRIPTION = """
Trains, tunes and calibrates a forecaster for every utility meter.

1. `POST /trainmodel/` queues a training and answers at once with a `task_id`.
2. `GET /trainmodel/status/{task_id}` tells stage and progress until `SUCCESS`, `FAILED` or
   `CANCELLED`; `GET /trainmodel/events/{task_id}` sends the same as it happens.
3. `POST /forecast/` answers with the hours ahead: median and quantiles.

`POST /trainmodel/batch` queues trainings of many meters at once; single requests do not wait behind
them. `GET /trainmodel/dead-letters` lists failed trainings, which can be tried again.

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
        with timely_end(), before_the_end(services.events.end):
            logger.info("API started", version=__version__)
            services.keys.announce()
            yield
            await services.events.aclose()
            services.reads.close()
            app.state.store_probe.close()
            services.meters.close()
        logger.info("API stopped")

    app: FastAPI = FastAPIOffline(
        title="Energy Forecasting System",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        dependencies=[Depends(scheme) for scheme in KEY_SCHEMES],
        responses={
            401: {
                "model": ErrorAnswer,
                "description": "A valid API key is asked for",
            },
            403: {"model": ErrorAnswer, "description": "The key's scope does not reach so far"},
            400: {"model": ErrorAnswer, "description": "The body is not text"},
            422: {"model": ErrorAnswer, "description": "The request is not valid"},
            503: {"model": ErrorAnswer, "description": "Redis or the meter store is away"},
        },
    )
    app.state.services = services
    app.state.forecasts = ForecastService(services.models, services.meters)
    app.state.store_probe = StoreProbe(services.meters)
    app.state.readings_intake = ReadingsIntake(services.meters)
    add_error_handlers(app)
    for routes in (
        training,
        events,
        batches,
        dead_letters,
        forecast,
        models,
        meters,
        readings,
        health,
    ):
        app.include_router(routes.router)

    @app.get("/", include_in_schema=False)
    def index() -> dict[str, str]:
        return {
            "service": "Energy Forecasting System",
            "version": __version__,
            "docs": "/docs",
            "health": "/health/",
        }

    document_scopes(app)
    # The last one added is the first that a request meets.
    app.add_middleware(Doorkeeper, keys=services.keys, router=app.router)
    app.add_middleware(OptionalTrailingSlash)
    if services.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=services.settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", API_KEY_HEADER, "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestContext)
    return app
