import socket
import threading
from collections.abc import Iterator

import pytest

from energy_forecasting.launcher import redis_check
from energy_forecasting.launcher.ports import any_free_port


@pytest.fixture
def web_server() -> Iterator[int]:
    """Yield the port of something that answers, but is no Redis."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.redis
def test_a_redis_that_answers_is_good(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)

    assert redis_check.main() == 0
    assert "answers" in capsys.readouterr().out


def test_a_refused_connection_is_told_with_what_to_do_and_without_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = any_free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://:hunter2@127.0.0.1:{port}/0")

    assert redis_check.main() == 1

    told = capsys.readouterr().err
    assert f"Redis at 127.0.0.1:{port} cannot be reached" in told
    assert "docker run" in told
    assert "hunter2" not in told


def test_another_server_in_the_place_of_redis_is_told(
    web_server: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{web_server}/0")

    assert redis_check.main() == 1
    assert "is not a Redis" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost", "The setting REDIS_URL is wrong"),
        ("redis://localhost:99999/0", "REDIS_URL is not the address of a Redis"),
    ],
)
def test_an_address_that_is_none_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, told: str
) -> None:
    monkeypatch.setenv("REDIS_URL", url)

    assert redis_check.main() == 1
    assert told in capsys.readouterr().err
