"""Clients that stall: others are served meanwhile, and those that stall are let go.

On a real uvicorn, as the launcher starts it.
"""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.conftest import RealRedis, free_loopback_port, wait_until
from tests.integration.api.served_api import ServedApi, answer_on, served_api

pytestmark = pytest.mark.redis

STALLED = 300
BODY_TIMEOUT_S = 3
#: Of the head (10 s), on a busy machine.
LET_GO_WITHIN_S = 40

HEAD = b"POST /trainmodel/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
READINGS = b"POST /meters/water/m1/readings HTTP/1.1\r\nHost: a\r\nContent-Type: text/csv\r\n"


@pytest.fixture(scope="module")
def served(
    redis_server: RealRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedApi]:
    folder = tmp_path_factory.mktemp("slow")
    environment = {
        "REDIS_URL": redis_server.url,
        "METER_STORE": "sqlite",
        "SQLITE_PATH": str(folder / "meters.sqlite"),
        "MODEL_STORE": str(folder / "models"),
        "LOG_DIR": str(folder / "logs"),
        "REQUEST_BODY_TIMEOUT_S": str(BODY_TIMEOUT_S),
        "REQUEST_BODIES_MEMORY_MB": "16",
        "READINGS_BODY_LIMIT_MB": "16",
    }
    with served_api(environment, port=free_loopback_port()) as api:
        yield api


def has_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)  # noqa: FBT003 - the standard library's name
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.timeout(180)
@pytest.mark.parametrize("first", [b"", b"G", b"GET /health/ HTTP/1.1\r\nHost: a\r\nX-Slow: "])
def test_hundreds_that_send_no_head_hold_nobody_up_and_are_let_go(
    served: ServedApi, first: bytes
) -> None:
    with contextlib.ExitStack() as stack:
        # Given clients that say nothing, or a byte now and then
        stalled = [stack.enter_context(served.connect()) for _ in range(STALLED)]
        for connection in stalled:
            connection.sendall(first)
        # Then others are served
        assert served.is_healthy()
        # And however often a stalled one sends a byte, its time runs out
        deadline = time.monotonic() + LET_GO_WITHIN_S
        while open_ones := [each for each in stalled if not has_ended(each)]:
            assert time.monotonic() < deadline, len(open_ones)
            assert served.is_healthy()
            for connection in open_ones:
                if first:
                    with contextlib.suppress(OSError):
                        connection.send(b"a")
            time.sleep(0.5)


def test_a_body_that_does_not_arrive_in_time_is_told_so(served: ServedApi) -> None:
    with served.connect() as connection:
        # Given
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
        began = time.monotonic()
        # When it takes too long
        answer = answer_on(connection)
        # Then
        assert answer.status == 408
        assert answer.error["type"] == "TIMEOUT_ERROR"
        assert time.monotonic() - began > BODY_TIMEOUT_S - 0.5


def test_a_body_that_drips_is_measured_as_a_whole(served: ServedApi) -> None:
    with served.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        # When every part comes soon after the last, and there is no end of them
        deadline = time.monotonic() + LET_GO_WITHIN_S
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                connection.sendall(b"1\r\n \r\n")
                time.sleep(0.1)
        # Then
        assert time.monotonic() < deadline
        assert answer_on(connection).status == 408


def test_many_large_bodies_at_once_take_bounded_memory(served: ServedApi) -> None:
    # Given forty clients that begin to send 4 MB each, ten times what all may hold
    before_mb = served.memory_mb()
    part = b"x" * 2**20
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(served.connect()) for _ in range(40)]
        for client in clients:
            client.sendall(READINGS + b"Content-Length: 4200000\r\n\r\n")
        for client in clients:
            for _ in range(4):
                client.sendall(part)
        # Then memory stays near the limit of 16 MB, and the others are told to come again
        time.sleep(1)
        assert served.memory_mb() - before_mb < 80
        assert served.is_healthy()
        statuses = set()
        for client in clients:
            answer = answer_on(client)
            statuses.add((answer.status, answer.error["type"]))
        assert statuses == {(503, "OVERLOADED"), (408, "TIMEOUT_ERROR")}
    # And small bodies pass all the while, and large ones again afterwards
    wait_until(lambda: large_body_passes(served), within_s=30)


def large_body_passes(served: ServedApi) -> bool:
    lines = b"timestamp,consumption\n2026-01-01T00:00:00Z,1\n" + b"\n" * 2**21
    sent = READINGS + f"Content-Length: {len(lines)}\r\n\r\n".encode() + lines
    with served.connect() as connection:
        connection.sendall(sent)
        return answer_on(connection).status == 200


def test_a_client_that_does_not_take_its_answer_holds_nobody_up(served: ServedApi) -> None:
    with contextlib.ExitStack() as stack:
        # Given clients that ask for much, over and over, and read nothing
        # The largest answer that costs the server next to nothing.
        script = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n"
        many = script * 50
        for _ in range(20):
            connection = stack.enter_context(served.connect(receive_buffer=2048))
            connection.setblocking(False)  # noqa: FBT003 - the standard library's name
            with contextlib.suppress(BlockingIOError):
                connection.send(many)
        before_mb = served.memory_mb()
        # Then others are served, and nothing piles up
        for _ in range(20):
            assert served.is_healthy()
        assert served.memory_mb() - before_mb < 50


@pytest.mark.timeout(180)
def test_a_body_that_nobody_reads_does_not_keep_its_connection(served: ServedApi) -> None:
    with served.connect() as connection:
        # Given a route that reads no body, and a body without end
        connection.sendall(
            b"GET /health/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        # When it goes on and on
        deadline = time.monotonic() + LET_GO_WITHIN_S
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                connection.sendall(b"1\r\n \r\n")
                time.sleep(0.1)
        # Then its time runs out
        assert time.monotonic() < deadline
