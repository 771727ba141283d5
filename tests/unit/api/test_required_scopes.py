"""The table of scopes against the routes that there are: a new one must be written down."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.routing import Route

from energy_forecasting import bootstrap
from energy_forecasting.access.scope import Scope
from energy_forecasting.api.app import create_app
from energy_forecasting.api.required_scopes import REQUIRED_SCOPES, required_scope
from energy_forecasting.settings import Settings

#: What starts, stops or writes for one meter; everything else that changes something needs admin.
TRAINS = {
    ("POST", "/trainmodel/"),
    ("DELETE", "/trainmodel/{task_id}"),
    ("POST", "/trainmodel/batch"),
    ("DELETE", "/trainmodel/batch/{batch_id}"),
    ("POST", "/trainmodel/dead-letters/{task_id}/replay"),
    ("POST", "/meters/{meter_type}/{meter_id}/readings"),
}


@pytest.fixture
def app() -> FastAPI:
    return create_app(
        bootstrap.api_services(Settings(redis_url="redis://127.0.0.1:1/0", meter_store="sqlite"))
    )


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            yield method.upper(), path
    for route in app.routes:  # the pages, which are not in the document
        if isinstance(route, Route):
            for method in route.methods or set():
                yield "GET" if method == "HEAD" else method, route.path


def test_every_route_has_a_scope(app: FastAPI) -> None:
    missing = sorted(set(routes(app)) - REQUIRED_SCOPES.keys())

    assert missing == []


def test_reading_needs_read_and_what_changes_something_needs_more() -> None:
    for (method, path), scope in REQUIRED_SCOPES.items():
        if method == "GET" or (method, path) == ("POST", "/forecast/"):
            assert scope is Scope.READ
        elif (method, path) in TRAINS:
            assert scope is Scope.TRAIN
        else:
            assert scope is Scope.ADMIN


def test_a_path_that_nobody_wrote_down_has_none() -> None:
    assert required_scope("GET", "/no/such/path") is None
    assert required_scope("PUT", "/trainmodel/") is None


def test_where_several_entries_fit_the_furthest_counts() -> None:
    assert required_scope("DELETE", "/models/water/a") is Scope.ADMIN
    assert required_scope("POST", "/trainmodel/dead-letters/replay") is Scope.ADMIN
    assert required_scope("HEAD", "/openapi.json") is Scope.READ


def test_the_document_tells_scope_keys_and_refusals(app: FastAPI) -> None:
    document = app.openapi()

    schemes = document["components"]["securitySchemes"]
    assert {(each["type"], each.get("name")) for each in schemes.values()} == {
        ("http", None),
        ("apiKey", "X-API-Key"),
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scope = REQUIRED_SCOPES[method.upper(), path]
            assert f"the scope `{scope}`" in operation["description"]
            assert {"401", "403"} <= operation["responses"].keys()
            assert len(operation["security"]) == 2
    assert "429" in document["paths"]["/trainmodel/"]["post"]["responses"]
