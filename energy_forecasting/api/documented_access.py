"""How the OpenAPI document tells of keys: two ways to send one, and the scope of each route.

It only tells. What is enforced is the doorkeeper's, from the same table of scopes.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.security import APIKeyHeader, HTTPBearer

from energy_forecasting.access.scope import Scope
from energy_forecasting.api.doorkeeper import API_KEY_HEADER
from energy_forecasting.api.required_scopes import required_scope

_DESCRIPTION = "An API key, where the service asks for one (`GET /health/` tells)"

#: Dependencies that let every request pass.
KEY_SCHEMES = (
    HTTPBearer(scheme_name="bearer", description=_DESCRIPTION, auto_error=False),
    APIKeyHeader(
        name=API_KEY_HEADER, scheme_name="header", description=_DESCRIPTION, auto_error=False
    ),
)


def document_scopes(app: FastAPI) -> None:
    """Let the application's document tell the scope that each route needs."""
    make = app.openapi

    def documented() -> dict[str, Any]:
        if app.openapi_schema is None:
            for path, operations in make()["paths"].items():
                for method, operation in operations.items():
                    scope = required_scope(method.upper(), path) or Scope.ADMIN
                    sentence = f"Where keys are asked for, the key needs the scope `{scope}`."
                    operation["description"] = f"{operation.get('description', '')}\n\n{sentence}"
        return make()

    app.openapi = documented  # type: ignore[method-assign]  # as FastAPI documents it
