"""The API is told to stop while clients hold it: it ends in time, and says nothing untrue."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import redis

from energy_forecasting.api.timely_end import GRACE_S, TEARDOWN_S
from tests.conftest import PROJECT_DIR, wait_until
from tests.e2e.conftest import Workplace

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

#: Starting and ending a process on a busy machine.
SLACK_S = 5.0
STOPS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
BODY = b'{"meter_id": "m1", "meter_type": "water"}'


@contextmanager
def api(workplace: Workplace, port: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the API as documented, with an endless answer beside its own."""
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "tests.e2e.endless_api:make",
        "--port",
        str(port),
    ]
    with subprocess.Popen(
        [*command, *arguments], cwd=PROJECT_DIR, env=workplace.environment
    ) as process:
        try:
            wait_until(lambda: answers(port), within_s=60)
            yield process
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def ended_after_s(process: subprocess.Popen[bytes], number: int) -> float:
    told = time.monotonic()
    process.send_signal(number)
    process.wait(60)
    return time.monotonic() - told


def raw(port: int, text: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(text)
    return connection


def read_all(connection: socket.socket) -> bytes:
    received = b""
    with connection:
        while piece := connection.recv(65536):
            received += piece
    return received


@STOPS
def test_idle_keep_alive_clients_do_not_hold_it(
    number: int, workplace: Workplace, redis_url: str, free_port: int
) -> None:
    workplace.environment["REDIS_URL"] = redis_url
    with api(workplace, free_port) as process, ExitStack() as stack:
        for _ in range(5):
            client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{free_port}"))
            client.get("/health/").raise_for_status()
        assert ended_after_s(process, number) < SLACK_S


@STOPS
def test_an_answer_that_never_ends_is_cut_off_in_time(
    number: int, workplace: Workplace, redis_url: str, free_port: int
) -> None:
    workplace.environment["REDIS_URL"] = redis_url
    with (
        api(workplace, free_port) as process,
        httpx.stream("GET", f"http://127.0.0.1:{free_port}/endless", timeout=30) as answer,
    ):
        ticks = answer.iter_raw()  # kept: httpx closes an answer whose iterator is gone
        assert next(ticks) == b"tick\n"
        took_s = ended_after_s(process, number)
    assert GRACE_S - 1 < took_s < GRACE_S + SLACK_S


def test_a_request_that_hangs_in_a_store_is_cut_off_in_time(
    workplace: Workplace, redis_url: str, free_port: int
) -> None:
    # Given: an InfluxDB that accepts and never answers
    with socket.create_server(("127.0.0.1", 0)) as mute:
        workplace.environment.update(
            {
                "REDIS_URL": redis_url,
                "METER_STORE": "influxdb",
                "INFLUXDB_URL": f"http://127.0.0.1:{mute.getsockname()[1]}",
                "INFLUXDB_USERNAME": "u",
                "INFLUXDB_PASSWORD": "p",
                "INFLUXDB_DATABASE": "d",
            }
        )
        with api(workplace, free_port) as process:
            asked = raw(free_port, b"GET /meters/ HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.5)
            took_s = ended_after_s(process, signal.SIGINT)
            asked.close()
    assert took_s < GRACE_S + TEARDOWN_S + SLACK_S


def test_a_post_under_way_is_answered_and_a_half_sent_one_admits_nothing(
    workplace: Workplace, redis_url: str, free_port: int
) -> None:
    # Given: one client has sent half of its body; another sends the rest after the order to stop
    workplace.environment["REDIS_URL"] = redis_url
    head = (
        b"POST /trainmodel/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n"
    )
    other = BODY.replace(b"m1", b"m2")
    with api(workplace, free_port) as process:
        slow, silent = raw(free_port, head + BODY[:10]), raw(free_port, head + other[:10])
        time.sleep(0.5)
        # When
        process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
        slow.sendall(BODY[10:])
        answered = read_all(slow)
        process.wait(60)
        cut = read_all(silent)
    # Then
    assert answered.startswith(b"HTTP/1.1 200 OK"), answered
    assert b'"status":"PENDING"' in answered
    assert not cut.startswith(b"HTTP/1.1 200"), cut
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    assert client.exists("ef:live:water:m1")
    assert not client.exists("ef:live:water:m2")
    client.close()


def test_posts_while_it_stops_are_admitted_with_a_message_or_not_at_all(
    workplace: Workplace, redis_url: str, free_port: int
) -> None:
    # Given: four clients that post one training after another
    workplace.environment["REDIS_URL"] = redis_url
    accepted: list[str] = []
    has_ended = threading.Event()

    def post(name: str) -> None:
        number = 0
        while not has_ended.is_set():
            number += 1
            body = {"meter_id": f"{name}-{number}", "meter_type": "water"}
            try:
                answer = httpx.post(f"http://127.0.0.1:{free_port}/trainmodel/", json=body)
            except httpx.TransportError:
                continue
            if answer.status_code == httpx.codes.OK:
                accepted.append(answer.json()["task_id"])

    clients = [threading.Thread(target=post, args=(f"c{each}",)) for each in range(4)]
    with api(workplace, free_port) as process:
        for each in clients:
            each.start()
        wait_until(lambda: len(accepted) > 20, within_s=30)
        # When
        took_s = ended_after_s(process, signal.SIGTERM)
        has_ended.set()
        for each in clients:
            each.join(30)
    # Then: every record has its message, and every answer its record
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    recorded = set(client.zrange("ef:tasks", 0, -1))
    assert set(accepted) <= recorded
    assert client.llen("dramatiq:training") == len(recorded)
    assert took_s < SLACK_S
    client.close()


def test_two_processes_of_uvicorn_end_together(
    workplace: Workplace, redis_url: str, free_port: int
) -> None:
    workplace.environment["REDIS_URL"] = redis_url
    with (
        api(workplace, free_port, "--workers", "2") as process,
        httpx.stream("GET", f"http://127.0.0.1:{free_port}/endless", timeout=30) as answer,
    ):
        ticks = answer.iter_raw()  # kept: httpx closes an answer whose iterator is gone
        assert next(ticks) == b"tick\n"
        took_s = ended_after_s(process, signal.SIGTERM)
    assert took_s < GRACE_S + SLACK_S
    assert not [each for each in workplace.processes() if each.pid != os.getpid()]
