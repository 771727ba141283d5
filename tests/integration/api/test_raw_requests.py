"""Bytes that are no HTTP, or only nearly, over a real socket to a real uvicorn: it lives on.

Odd headers and bodies go the same way, as a client library would refuse to send them.
"""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conftest import RealRedis, free_loopback_port
from tests.integration.api.served_api import Answer, ServedApi, answer_on, served_api

pytestmark = pytest.mark.redis

BODY = b'{"meter_id": "m1", "meter_type": "water"}'
PATHS = [b"/trainmodel/", b"/forecast/", b"/meters/water/m1/readings", b"/health/", b"/nowhere"]

one_server = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def served(
    redis_server: RealRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedApi]:
    folder = tmp_path_factory.mktemp("raw")
    environment = {
        "REDIS_URL": redis_server.url,
        "METER_STORE": "sqlite",
        "SQLITE_PATH": str(folder / "meters.sqlite"),
        "MODEL_STORE": str(folder / "models"),
        "LOG_DIR": str(folder / "logs"),
        "REQUEST_BODY_LIMIT_MB": "1",
        "REQUEST_BODY_TIMEOUT_S": "1",
    }
    with served_api(environment, port=free_loopback_port()) as api:
        yield api


def asked(served: ServedApi, sent: bytes, *, patience_s: float = 10) -> Answer | None:
    """Send bytes and return the first answer; None when the connection ends without one."""
    with served.connect() as connection:
        connection.settimeout(patience_s)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        try:
            return answer_on(connection)
        except EOFError:
            return None


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 1000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # a browser that expects TLS
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /forecast/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=lambda sent: sent[:24],
)
def test_what_is_no_http_is_refused_and_others_are_served(served: ServedApi, sent: bytes) -> None:
    answer = asked(served, sent)
    assert answer is None or 400 <= answer.status < 500
    assert served.is_healthy()


@one_server
@given(sent=st.binary(min_size=1, max_size=300))
def test_any_bytes_leave_the_service_well(served: ServedApi, sent: bytes) -> None:
    answer = asked(served, sent + b"\r\n\r\n\r\n", patience_s=20)
    assert answer is None or answer.status < 500


NAMES = st.sampled_from(
    [
        b"Content-Type",
        b"Content-Encoding",
        b"Accept",
        b"X-Request-ID",
        b"Expect",
        b"Range",
        b"Cookie",
        b"Authorization",
        b"Upgrade",
        b"Connection",
        b"X-Forwarded-For",
        b"Content-Disposition",
    ]
)
VALUES = st.sampled_from(
    [
        b"application/json",
        b"application/json; charset=utf-16",
        b"text/csv",
        b"multipart/form-data; boundary=x",
        b"gzip",
        b"100-continue",
        b"websocket",
        b"close",
        b"\xff\xfe\xe9",
        b"",
        b"x" * 5_000,
    ]
) | st.binary(max_size=40).map(lambda value: value.translate(None, delete=b"\r\n\x00").strip())


@settings(one_server, max_examples=150)
@given(
    path=st.sampled_from(PATHS),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    body=st.sampled_from([BODY, b"", b"[" * 5_000, b"\xff" * 50, b'{"a": ' * 200, b"9" * 5_000]),
)
@example(
    path=b"/trainmodel/", headers=[(b"Content-Type", b"application/json")], body=b"[" * 500_000
)
def test_odd_headers_meet_the_one_form_of_errors(
    served: ServedApi, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    # Given
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    length = f"Content-Length: {len(body)}\r\n".encode()
    # When
    answer = asked(
        served, b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n" + lines + length + b"\r\n" + body
    )
    # Then what uvicorn itself does not refuse has the one form
    if answer is None or answer.body == b"Invalid HTTP request received.":
        return
    assert answer.status < 500
    if answer.status >= 400:
        assert answer.error["message"].isprintable()


@pytest.mark.parametrize("path", PATHS[:3])
def test_a_body_over_the_limit_is_told_so_whatever_its_length_says(
    served: ServedApi, path: bytes
) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    declared = head + b"Content-Length: 17000000\r\n\r\n"
    chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 17 + b"0\r\n\r\n"
    for sent in (declared, chunked):
        answer = asked(served, sent)
        assert answer is not None
        assert answer.status == 413
        assert answer.error["type"] == "INVALID_REQUEST"


def test_half_a_request_is_nobodys_trouble(served: ServedApi) -> None:
    whole = b"POST /trainmodel/ HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\n\r\n" + BODY
    for end in range(1, len(whole), 7):
        with served.connect() as connection:
            connection.sendall(whole[:end])
    assert served.is_healthy()


def test_requests_sent_ahead_are_answered_in_their_order(served: ServedApi) -> None:
    with served.connect() as connection:
        # Given
        connection.sendall(
            b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /health/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        got = bytearray()
        while part := connection.recv(65536):
            got += part
        # Then
        assert got.index(b"HTTP/1.1 404") < got.index(b"HTTP/1.1 200")
