"""Whatever a request is made of, it does not get past the doorkeeper without a key."""

import asyncio

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from energy_forecasting.access.api_key import made_key
from energy_forecasting.access.key_file import KeyFile
from energy_forecasting.access.key_ring import KeyRing
from energy_forecasting.access.scope import Scope as KeyScope
from energy_forecasting.api.doorkeeper import ANSWERED_WITHOUT_KEY, Doorkeeper

HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"authorization", b"x-api-key", b"cookie", b"x-forwarded-for"]),
        st.binary(max_size=80)
        | st.binary(max_size=80).map(lambda text: b"Bearer " + text)
        | st.text("0123456789abcdef_", max_size=80).map(lambda text: b"ef_" + text.encode()),
    ),
    max_size=4,
)
PATHS = st.text(max_size=40).map(lambda text: f"/{text}") | st.sampled_from(
    ["/health/", "/health/worker", "/health//", "/health/worker/", "/HEALTH/", "/health/\n"]
)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "DELETE", "OPTIONS", "TRACE", "get", ""])


class Inside:
    """Notes who gets in."""

    def __init__(self) -> None:
        self.entered: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        self.entered.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Doorkeeper, Inside, str]:
    """Return a doorkeeper, what it guards, and the one valid key."""
    file = KeyFile(tmp_path_factory.mktemp("keys") / "api_keys.json")
    key, text = made_key(name="portal", scope=KeyScope.ADMIN)
    file.add(key)
    inside = Inside()
    keys = KeyRing(file, is_required=False)
    return Doorkeeper(inside, keys=keys, router=Router()), inside, text


def status_of(
    keeper: Doorkeeper, method: str, path: str, headers: list[tuple[bytes, bytes]]
) -> int:
    """Send a request and return the status of its answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def never_read() -> Message:
        raise AssertionError("the body was read")

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": headers,
        "state": {},
        "root_path": "",
    }
    asyncio.run(keeper(scope, never_read, send))
    return int(sent[0]["status"])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(method=METHODS, path=PATHS, headers=HEADERS)
@example(method="GET", path="/health/", headers=[])
@example(method="GET", path="/health/", headers=[(b"authorization", b"Bearer ")])
@example(method="GET", path="/x", headers=[(b"x-api-key", b"\xff\x00")])
def test_no_path_and_no_header_gets_past(
    shared: tuple[Doorkeeper, Inside, str],
    method: str,
    path: str,
    headers: list[tuple[bytes, bytes]],
) -> None:
    keeper, inside, _ = shared
    inside.entered.clear()

    status = status_of(keeper, method, path, headers)

    event(f"{status}")
    if status == 200:
        assert (method, path in ANSWERED_WITHOUT_KEY) == ("GET", True)
        assert [scope["state"]["api_key"] for scope in inside.entered] == [None]
    else:
        assert status == 401
        assert inside.entered == []


def test_the_one_key_gets_past(shared: tuple[Doorkeeper, Inside, str]) -> None:
    keeper, inside, text = shared
    inside.entered.clear()

    assert status_of(keeper, "GET", "/x", [(b"x-api-key", text.encode())]) == 200
    assert inside.entered[0]["state"]["api_key"].name == "portal"


def test_a_change_of_any_character_of_the_key_keeps_it_out(
    shared: tuple[Doorkeeper, Inside, str],
) -> None:
    keeper, _, text = shared
    for place in range(len(text)):
        changed = text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]
        assert status_of(keeper, "GET", "/x", [(b"x-api-key", changed.encode())]) == 401
