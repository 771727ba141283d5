"""Whatever a client calls a meter, in any path, query or body: never a bug, never in a query.

The routes are those of the OpenAPI document, so a new one is asked as well.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.meters import Meter
from energy_forecasting.settings import Settings
from tests.integration.meters.flux_language import FluxParser
from tests.integration.meters.hostile_text import texts
from tests.integration.meters.influx_double import InfluxDouble

METER = Meter(meter_type="water", meter_id="dma.5")
MOST_SHOWN = 5_000
MOST_IN_URL = 2_000
CALLS = {"from", "range", "filter", "keep", "first", "last", "count", "aggregateWindow", "group"}

one_server = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
more = settings(one_server, max_examples=3 * one_server.max_examples)


@dataclass(frozen=True)
class Operation:
    """A route and what it takes."""

    method: str
    path: str
    in_path: tuple[str, ...]
    in_query: tuple[str, ...]
    has_body: bool
    needs_body: bool


@dataclass(frozen=True)
class Asked:
    """One request as it goes out."""

    method: str
    url: str
    body: bytes | None = None


@dataclass(repr=False)
class Service:
    """The API on a store of InfluxDB that knows one meter."""

    client: TestClient
    double: InfluxDouble
    operations: list[Operation]

    def __repr__(self) -> str:
        return "the service"


@pytest.fixture
def service(redis_url: str, tmp_path: Path) -> Iterator[Service]:
    with InfluxDouble() as double:
        double.add_points(METER, "consumption", [(0, 1.0)])
        config = tmp_path / "influxdb_config.json"
        connection = {
            "url": double.url,
            "token": double.token,
            "org": double.org,
            "bucket": double.bucket,
        }
        config.write_text(json.dumps(connection))
        current = Settings(
            redis_url=redis_url,
            meter_store="influxdb",
            influxdb_config=config,
            model_store=tmp_path / "models",
            log_dir=tmp_path,
        )
        app = create_app(bootstrap.api_services(current))
        with TestClient(app) as client:
            yield Service(client, double, operations(app.openapi()))
        assert double.complaints == []


def operations(document: dict[str, Any]) -> list[Operation]:
    found = []
    for path, methods in document["paths"].items():
        if path.startswith("/health"):
            continue  # takes nothing, and answers 503 in a form of its own
        for method, told in methods.items():
            places: dict[str, list[str]] = {"path": [], "query": [], "header": []}
            for parameter in told.get("parameters", []):
                places[parameter["in"]].append(parameter["name"])
            found.append(
                Operation(
                    method=method.upper(),
                    path=path,
                    in_path=tuple(places["path"]),
                    in_query=tuple(places["query"]),
                    has_body="requestBody" in told,
                    needs_body=told.get("requestBody", {}).get("required", False),
                )
            )
    return found


def often(right: str) -> st.SearchStrategy[str]:
    """Draw the right name every other time, so that another part of the request decides."""
    return st.booleans().flatmap(lambda is_right: st.just(right) if is_right else texts)


IDS = often(METER.meter_id)
TYPES = often(METER.meter_type)
VALUES = st.recursive(
    texts | st.integers() | st.none() | st.booleans() | st.floats(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "meter_id": IDS | VALUES,
        "meter_type": TYPES | VALUES,
        "horizon_hours": st.just(24) | VALUES,
        "start_date": texts,
        "version": texts,
        "readings": VALUES,
        "tuning": VALUES,
    },
) | st.dictionaries(texts, VALUES, max_size=2)


@st.composite
def requests(draw: st.DrawFn, of: list[Operation]) -> Asked:
    operation = draw(st.sampled_from(of))
    path = operation.path
    for name in operation.in_path:
        path = path.replace(f"{{{name}}}", escaped(draw(TYPES if "type" in name else IDS)))
    query = {
        name: draw(texts)[:MOST_IN_URL].encode("utf-8", "surrogatepass")
        for name in operation.in_query
    }
    body = json.dumps(draw(BODIES)).encode() if operation.has_body else None
    return Asked(operation.method, f"{path}?{urlencode(query)}" if query else path, body)


def escaped(text: str) -> str:
    # A client of its own mind could send more, but this one refuses to.
    return quote(text[:MOST_IN_URL].encode("utf-8", "surrogatepass"), safe="")


@more
@given(data=st.data())
def test_no_text_in_a_request_is_a_bug_or_reaches_a_query(
    service: Service, data: st.DataObject
) -> None:
    # Given
    asked = data.draw(requests(service.operations))
    service.double.queries.clear()
    # When
    answer = service.client.request(
        asked.method,
        asked.url,
        content=asked.body,
        headers={"Content-Type": "application/json"},
    )
    # Then
    event(f"{answer.status_code}")
    assert answer.status_code < 500 or answer.status_code == 503
    if answer.status_code >= 400:
        told = answer.json()
        assert told["detail"] == told["error"]["message"]
        assert told["detail"].isprintable()
        assert len(told["detail"]) < MOST_SHOWN
    assert service.double.token not in answer.text
    for query in service.double.queries:
        assert {call.name for call in FluxParser(query).pipeline()} <= CALLS


@one_server
@given(text=texts)
@example(text="\ud800")
@example(text="x" * 100_000)
def test_a_key_of_a_body_may_be_any_text(service: Service, text: str) -> None:
    for path in ("/trainmodel/", "/forecast/", "/trainmodel/base"):
        answer = service.client.post(path, content=json.dumps({text: text, "meter_type": text}))
        assert answer.status_code in {400, 422}
        assert answer.json()["detail"].isprintable()


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x00", b"[" * 100_000, b'{"meter_id": ', b"5"])
def test_a_body_that_is_no_json_is_refused(service: Service, body: bytes) -> None:
    for operation in service.operations:
        if operation.needs_body and not operation.in_path:
            answer = service.client.request(
                operation.method,
                operation.path,
                content=body,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code in {400, 422}
