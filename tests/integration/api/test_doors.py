"""The doors of the API: who gets in, how far, and what those outside are told."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from energy_forecasting import bootstrap
from energy_forecasting.access.api_key import ApiKey, made_key
from energy_forecasting.access.key_file import KeyFile
from energy_forecasting.access.scope import Scope
from energy_forecasting.api.app import create_app
from energy_forecasting.api.required_scopes import REQUIRED_SCOPES
from energy_forecasting.settings import Settings

pytestmark = pytest.mark.redis

WRONG = f"ef_00000000_{'0' * 64}"
TRAINING = {"meter_id": "hall_7", "meter_type": "gas"}
#: Of paths that are there, that are not, and that only a library knows.
PATHS = (
    "/",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/docs/oauth2-redirect",
    "/static-offline-docs/swagger-ui.css",
    "/static-offline-docs/../app.py",
    "/trainmodel/",
    "/trainmodel/status/nope",
    "/models/water/a",
    "/meters",
    "/no/such/path",
    "/health/nothing",
    "/health/worker/more",
    "//health/",
    "/metrics",
)


@pytest.fixture
def current(redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=redis_url,
        meter_store="sqlite",
        sqlite_path=tmp_path / "meters.sqlite",
        model_store=tmp_path / "models",
        log_dir=tmp_path / "logs",
        api_keys=tmp_path / "api_keys.json",
    )


def app_of(current: Settings) -> FastAPI:
    return create_app(bootstrap.api_services(current))


@pytest.fixture
def app(current: Settings) -> FastAPI:
    return app_of(current)


@pytest.fixture
def api(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture
def key_file(current: Settings) -> KeyFile:
    return KeyFile(current.api_keys)


def added(file: KeyFile, scope: Scope, *, per_hour: int | None = None) -> tuple[ApiKey, str]:
    key, text = made_key(name=f"the {scope} key", scope=scope, trainings_per_hour=per_hour)
    file.add(key)
    return key, text


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def error_of(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's response
    body = answer.json()
    assert set(body) == {"error", "detail"}
    return dict(body["error"])


# Off ------------------------------------------------------------------------------------------


def test_without_keys_everything_is_as_it_was(api: TestClient) -> None:
    health = api.get("/health/").json()

    assert health["authentication"] == "off"
    assert health["broker"] == "connected"
    assert api.get("/health/worker").json()["authentication"] == "off"
    assert api.post("/trainmodel/", json=TRAINING).status_code == 200
    assert api.delete("/models/gas/hall_7").status_code == 404
    assert api.get("/docs").status_code == 200
    assert api.get("/no/such/path").status_code == 404


# On -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("headers", [{}, bearer(WRONG), {"X-API-Key": "hunter2"}])
def test_without_a_valid_key_every_path_answers_401_alike(
    api: TestClient, key_file: KeyFile, method: str, headers: dict[str, str]
) -> None:
    added(key_file, Scope.ADMIN)

    answers = [api.request(method, path, headers=headers) for path in PATHS]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {
        'Bearer realm="energy-forecasting"'
    }
    assert len({answer.content for answer in answers}) == 1
    if method != "HEAD":
        assert error_of(answers[0])["type"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "credentials",
    [
        lambda text: {"Authorization": f"Bearer {text}"},
        lambda text: {"Authorization": f"bearer   {text} "},
        lambda text: {"X-API-Key": text},
        lambda text: {"Authorization": "Basic dTpw", "X-API-Key": text},
        lambda text: {"Authorization": f"Bearer {text}", "X-API-Key": text},
    ],
)
def test_a_key_may_come_in_either_header(
    api: TestClient, key_file: KeyFile, credentials: Callable[[str], dict[str, str]]
) -> None:
    _, text = added(key_file, Scope.READ)

    assert api.get("/trainmodel/", headers=credentials(text)).status_code == 200
    assert api.get("/docs", headers=credentials(text)).status_code == 200
    assert api.get("/no/such/path", headers=credentials(text)).status_code == 404


@pytest.mark.parametrize(
    "credentials",
    [
        lambda text: {"Authorization": text},
        lambda text: {"Authorization": f"Basic {text}"},
        lambda text: {"Authorization": f"Bearer {text[:0]}"},
        lambda text: {"Authorization": f"Bearer{text}"},
        lambda text: {"Authorization": f"Bearer {text}x"},
        lambda text: {"Authorization": f"Bearer {text.upper()}"},
        lambda text: {"Authorization": f"Bearer {text}", "X-API-Key": WRONG},
        lambda text: {"X-API-Key": f"Bearer {text}"},
        lambda text: {"Cookie": f"X-API-Key={text}"},
    ],
)
def test_what_is_not_quite_a_key_is_refused(
    api: TestClient, key_file: KeyFile, credentials: Callable[[str], dict[str, str]]
) -> None:
    _, text = added(key_file, Scope.ADMIN)

    assert api.get("/trainmodel/", headers=credentials(text)).status_code == 401
    assert api.get("/trainmodel/", params={"api_key": text}).status_code == 401


def test_each_route_lets_in_the_scope_that_it_needs_and_no_lesser_one(
    api: TestClient, app: FastAPI, key_file: KeyFile
) -> None:
    # Given
    keys = {scope: added(key_file, scope)[1] for scope in Scope}
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            needed = REQUIRED_SCOPES[method.upper(), path]
            filled = path.replace("{meter_type}", "gas").replace("{", "").replace("}", "")
            for scope, text in keys.items():
                # When
                answer = api.request(method, filled, content=b"no json", headers=bearer(text))
                # Then
                is_refused = answer.status_code == 403
                assert is_refused == (not scope.includes(needed)), (method, path, scope)
                if is_refused:
                    error = error_of(answer)
                    assert error["type"] == "FORBIDDEN"
                    assert error["details"]["scope"] == needed
                    assert f"scope {needed}" in error["message"]
                    assert f'scope="{needed}"' in answer.headers["WWW-Authenticate"]


def test_a_route_that_nobody_wrote_down_needs_admin(current: Settings, key_file: KeyFile) -> None:
    app = app_of(current)
    app.add_api_route("/new", lambda: "secret", methods=["GET"])
    read, admin = added(key_file, Scope.READ)[1], added(key_file, Scope.ADMIN)[1]
    with TestClient(app) as api:
        assert api.get("/new").status_code == 401
        assert api.get("/new", headers=bearer(read)).status_code == 403
        assert api.get("/new", headers=bearer(admin)).status_code == 200


def test_a_body_is_not_looked_at_before_the_key(api: TestClient, key_file: KeyFile) -> None:
    _, text = added(key_file, Scope.READ)

    huge = b"[" * 2_000_000
    assert api.post("/trainmodel/", content=huge).status_code == 401
    assert api.post("/trainmodel/", content=huge, headers=bearer(text)).status_code == 403


def test_a_web_socket_is_turned_away(api: TestClient, key_file: KeyFile) -> None:
    added(key_file, Scope.READ)

    with pytest.raises(WebSocketDisconnect), api.websocket_connect("/anything"):
        pass


def test_behind_a_path_of_a_proxy_the_scopes_are_the_same(
    current: Settings, key_file: KeyFile
) -> None:
    read, train = added(key_file, Scope.READ)[1], added(key_file, Scope.TRAIN)[1]
    with TestClient(app_of(current), root_path="/energy") as api:
        url = "/energy/trainmodel/status/nope"
        assert api.get(url).status_code == 401
        assert api.get(url, headers=bearer(read)).status_code == 404
        url = "/energy/trainmodel/nope"
        assert api.delete(url, headers=bearer(read)).status_code == 403
        assert api.delete(url, headers=bearer(train)).status_code == 404


def test_a_revoked_key_is_refused_by_the_very_next_call(api: TestClient, key_file: KeyFile) -> None:
    key, text = added(key_file, Scope.READ)
    assert api.get("/trainmodel/", headers=bearer(text)).status_code == 200

    key_file.revoke(key.id)

    assert api.get("/trainmodel/", headers=bearer(text)).status_code == 401
    assert api.get("/trainmodel/").status_code == 401  # and the last one opens nothing


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("{")])
def test_without_its_file_or_with_a_damaged_one_the_api_is_closed_to_all(
    api: TestClient, key_file: KeyFile, spoil: Callable[[Path], None]
) -> None:
    _, text = added(key_file, Scope.ADMIN)
    assert api.get("/trainmodel/", headers=bearer(text)).status_code == 200

    spoil(key_file.path)

    answer = api.get("/trainmodel/", headers=bearer(text))
    assert answer.status_code == 503
    assert error_of(answer)["type"] == "KEYS_UNREADABLE"
    assert str(key_file.path) not in answer.text
    assert api.get("/trainmodel/").status_code == 401
    assert api.get("/health/").status_code == 503
    assert api.get("/health/").json() == {"status": "unhealthy", "authentication": "on"}


def test_a_required_key_closes_the_api_before_there_is_one(
    current: Settings, key_file: KeyFile
) -> None:
    closed = current.model_copy(update={"require_api_key": True})
    with TestClient(app_of(closed)) as api:
        assert api.get("/trainmodel/").status_code == 401
        _, text = added(key_file, Scope.READ)
        assert api.get("/trainmodel/", headers=bearer(text)).status_code == 200


# What those outside are told ------------------------------------------------------------------


@pytest.mark.parametrize("is_redis_there", [True, False])
def test_health_tells_a_stranger_the_status_alone(
    current: Settings, key_file: KeyFile, *, is_redis_there: bool
) -> None:
    # Given
    _, text = added(key_file, Scope.READ)
    if not is_redis_there:
        current = current.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with TestClient(app_of(current)) as api:
        # When
        strange = [api.get("/health/"), api.get("/health/worker"), api.get("/health")]
        known = [api.get(path, headers=bearer(text)) for path in ("/health/", "/health/worker")]
    # Then
    status = "healthy" if is_redis_there else "unhealthy"
    assert strange[0].json() == {"status": status, "authentication": "on"}
    assert strange[1].json() == {"status": "unhealthy", "authentication": "on"}
    assert strange[2].json() == strange[0].json()
    assert [answer.status_code for answer in strange[:2]] == [
        answer.status_code for answer in known
    ]
    assert "meter_store" in known[0].json()
    assert ("workers" in known[1].json()) == is_redis_there


def test_a_wrong_key_is_refused_by_health_too(api: TestClient, key_file: KeyFile) -> None:
    added(key_file, Scope.READ)

    assert api.get("/health/", headers=bearer(WRONG)).status_code == 401
    assert api.post("/health/").status_code == 401


def test_nothing_that_a_stranger_gets_tells_of_the_house(
    current: Settings, key_file: KeyFile
) -> None:
    added(key_file, Scope.READ)
    with TestClient(app_of(current), raise_server_exceptions=False) as api:
        answers = [api.get(path) for path in (*PATHS, "/health/", "/health/worker")]
        answers += [api.post("/trainmodel/", content=b"\xff"), api.get("/%00%ff")]
        answers += [api.get("/docs", headers=bearer(WRONG))]

    for answer in answers:
        told = answer.text.lower() + json.dumps(dict(answer.headers)).lower()
        for word in ("python", "uvicorn", "fastapi", "starlette", "redis", "sqlite", "0.1.0"):
            assert word not in told
        assert str(current.api_keys.parent) not in told
        assert "server" not in answer.headers


def test_every_answer_carries_the_security_headers(current: Settings, key_file: KeyFile) -> None:
    app = app_of(current)

    def bug() -> None:
        raise RuntimeError("unexpected")

    app.add_api_route("/bug", bug)
    with TestClient(app, raise_server_exceptions=False) as api:
        answers = [api.get(path) for path in ("/", "/health/", "/meters/", "/nope", "/docs")]
        answers += [api.get("/bug"), api.post("/forecast/", json={}), api.put("/")]
        static = api.get("/static-offline-docs/swagger-ui.css")
        _, text = added(key_file, Scope.READ)
        answers += [api.get("/"), api.post("/trainmodel/", headers=bearer(text))]

    assert {answer.status_code for answer in answers} >= {200, 401, 403, 404, 405, 422, 500}
    for answer in (*answers, static):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    assert "Cache-Control" not in static.headers


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_policy_lets_the_documentation_load_what_it_names(api: TestClient, path: str) -> None:
    page = api.get(path)

    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-inline'" in policy
    assert "connect-src 'self'" in policy
    named = [part.split('"')[1] for part in page.text.replace("'", '"').split("src=")[1:]]
    named += [part.split('"')[1] for part in page.text.split("href=")[1:]]
    assert named
    for address in named:
        assert address.startswith("/static-offline-docs/")
        assert api.get(address).status_code == 200


# Other origins --------------------------------------------------------------------------------


def preflight(api: TestClient, origin: str) -> Any:  # noqa: ANN401 - httpx's response
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-api-key",
    }
    return api.options("/trainmodel/", headers=asked)


def test_pages_of_other_origins_are_not_served_unless_named(
    current: Settings, key_file: KeyFile
) -> None:
    # Given
    _, text = added(key_file, Scope.READ)
    portal, stranger = "https://portal.example", "https://stranger.example"
    named = current.model_copy(update={"cors_origins": (portal,)})
    allow = "Access-Control-Allow-Origin"
    # Then
    with TestClient(app_of(current)) as api:
        assert preflight(api, portal).status_code == 401
        answer = api.get("/trainmodel/", headers={**bearer(text), "Origin": portal})
        assert allow not in answer.headers
    with TestClient(app_of(named)) as api:
        assert preflight(api, portal).status_code == 200
        assert preflight(api, portal).headers[allow] == portal
        assert allow not in preflight(api, stranger).headers
        answer = api.get("/trainmodel/", headers={**bearer(text), "Origin": portal})
        assert answer.headers[allow] == portal
        assert "Access-Control-Allow-Credentials" not in answer.headers
        refused = api.get("/trainmodel/", headers={"Origin": portal})
        assert (refused.status_code, refused.headers[allow]) == (401, portal)


# The rate of trainings ------------------------------------------------------------------------


def meter(number: int) -> dict[str, str]:
    return {"meter_id": f"hall_{number}", "meter_type": "gas"}


def test_a_key_starts_as_many_trainings_per_hour_as_it_may(
    api: TestClient, key_file: KeyFile
) -> None:
    # Given
    two, other = added(key_file, Scope.TRAIN, per_hour=2)[1], added(key_file, Scope.TRAIN)[1]
    # When
    accepted = [api.post("/trainmodel/", json=meter(n), headers=bearer(two)) for n in (1, 2)]
    refused = api.post("/trainmodel/", json=meter(3), headers=bearer(two))
    # Then
    assert [answer.status_code for answer in accepted] == [200, 200]
    assert refused.status_code == 429
    assert 3500 < int(refused.headers["Retry-After"]) <= 3660
    error = error_of(refused)
    assert error["type"] == "RATE_LIMITED"
    assert error["details"]["retryable"] is True
    assert error["details"]["trainings_per_hour"] == 2
    # And nobody else is in the way
    assert api.post("/trainmodel/", json=meter(3), headers=bearer(other)).status_code == 200
    assert api.get("/trainmodel/", headers=bearer(two)).status_code == 200


def test_what_starts_no_training_costs_nothing(api: TestClient, key_file: KeyFile) -> None:
    # Given
    text = added(key_file, Scope.TRAIN, per_hour=2)[1]
    first = api.post("/trainmodel/", json=meter(1), headers=bearer(text)).json()
    # When
    for _ in range(5):
        again = api.post("/trainmodel/", json=meter(1), headers=bearer(text))
        bad = api.post("/trainmodel/", json={"meter_id": "/"}, headers=bearer(text))
        assert (again.status_code, bad.status_code) == (200, 422)
        assert again.json()["task_id"] == first["task_id"]
    # Then
    assert api.post("/trainmodel/", json=meter(2), headers=bearer(text)).status_code == 200
    # And with nothing left the open task still comes back, but is not started anew
    assert api.post("/trainmodel/", json=meter(3), headers=bearer(text)).status_code == 429
    again = api.post("/trainmodel/", json=meter(1), headers=bearer(text))
    assert again.json()["deduplicated"] is True
    forced = api.post("/trainmodel/", json={**meter(1), "force": True}, headers=bearer(text))
    assert forced.status_code == 429


def test_a_base_costs_a_training_and_a_key_with_nought_has_no_limit(
    current: Settings, key_file: KeyFile
) -> None:
    limited = current.model_copy(update={"trainings_per_hour": 1})
    admin = added(key_file, Scope.ADMIN)[1]
    free = added(key_file, Scope.ADMIN, per_hour=0)[1]
    with TestClient(app_of(limited)) as api:
        for text, expected in ((admin, 429), (free, 200)):
            base = api.post("/trainmodel/base", json={"meter_type": "gas"}, headers=bearer(text))
            assert base.status_code == 200
            answer = api.post("/trainmodel/", json=meter(1), headers=bearer(text))
            assert answer.status_code == expected


def test_without_keys_the_limit_is_an_addresss(current: Settings) -> None:
    limited = current.model_copy(update={"trainings_per_hour": 1})
    app = app_of(limited)
    with (
        TestClient(app, client=("192.0.2.1", 5)) as one,
        TestClient(app, client=("192.0.2.2", 5)) as other,
    ):
        assert one.post("/trainmodel/", json=meter(1)).status_code == 200
        assert one.post("/trainmodel/", json=meter(2)).status_code == 429
        assert other.post("/trainmodel/", json=meter(2)).status_code == 200


def test_without_redis_a_limited_training_is_unavailable_and_a_wrong_key_still_401(
    current: Settings, key_file: KeyFile
) -> None:
    away = current.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    text = added(key_file, Scope.TRAIN, per_hour=1)[1]
    with TestClient(app_of(away)) as api:
        answer = api.post("/trainmodel/", json=meter(1), headers=bearer(text))
        assert answer.status_code == 503
        assert error_of(answer)["type"] == "CONNECTION_ERROR"
        assert api.get("/trainmodel/", headers=bearer(WRONG)).status_code == 401


def test_a_batch_starts_as_many_as_are_left_and_tells_of_the_others(
    api: TestClient, key_file: KeyFile
) -> None:
    # Given
    text = added(key_file, Scope.TRAIN, per_hour=3)[1]
    asked = {"meters": [meter(1), {"meter_id": "/", "meter_type": "gas"}, meter(2), meter(3)]}
    api.post("/trainmodel/", json=meter(1), headers=bearer(text))  # two are left
    # When
    batch = api.post("/trainmodel/batch", json=asked, headers=bearer(text)).json()
    # Then the open task was granted one of them and has given it back
    assert [(task["meter_id"], "task_id" in task) for task in batch["tasks"]] == [
        ("hall_1", True),
        ("/", False),
        ("hall_2", True),
        ("hall_3", False),
    ]
    assert (batch["accepted"], batch["deduplicated"], batch["rejected"]) == (2, 1, 2)
    assert batch["tasks"][3]["error"]["type"] == "RATE_LIMITED"
    assert batch["tasks"][3]["error"]["details"]["retry_after_s"] > 0
    again = api.post("/trainmodel/batch", json={"meters": [meter(3)]}, headers=bearer(text))
    assert again.json()["accepted"] == 1
    none_left = api.post("/trainmodel/batch", json={"meters": [meter(4)]}, headers=bearer(text))
    assert none_left.status_code == 429
