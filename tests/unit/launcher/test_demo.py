import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from energy_forecasting.domain.meters import Meter
from energy_forecasting.launcher.demo import KEY_VARIABLE, DemoOptions, show_demo
from energy_forecasting.launcher.failures import StartFailed
from energy_forecasting.launcher.screen import Screen

GOOD = Meter(meter_type="water", meter_id="good")
FAILING = Meter(meter_type="gas", meter_id="failing")
REFUSED = Meter(meter_type="heat", meter_id="refused")
ERROR = "gas/failing has 3 days of readings; 14 are needed."


class FakeApi(BaseHTTPRequestHandler):
    """Answers as the API does: one meter trains, one fails, one is refused."""

    key: str | None = None  #: the one that every call must bring; None: none

    def parse_request(self) -> bool:
        is_good = super().parse_request()
        if is_good and self.key and self.headers["Authorization"] != f"Bearer {self.key}":
            self._answer(401, {"error": {"message": "This call needs an API key."}})
            return False
        return is_good

    def do_GET(self) -> None:
        meter_id = self.path.rsplit("/", 1)[-1]
        if meter_id == "good":
            self._answer(200, record("SUCCESS", result={"details": {"training_time_seconds": 2.0}}))
        else:
            self._answer(200, record("FAILED", error=ERROR))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/forecast/":
            self._answer(200, forecast())
        elif body["meter_id"] == "refused":
            message = "heat is not a configured meter type."
            self._answer(422, {"error": {"message": message}, "detail": message})
        else:
            self._answer(200, record("PENDING") | {"task_id": body["meter_id"]})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


def record(status: str, **fields: object) -> dict[str, Any]:
    task = {"task_id": "good", "status": status, "progress": 50, "message": f"now {status}"}
    return task | fields


def forecast() -> dict[str, Any]:
    return {
        "meter_id": "good",
        "meter_type": "water",
        "unit": "m3/h",
        "timezone": "Europe/Rome",
        "model": {
            "method": "quantile_network",
            "skill": {"skill": 0.2, "coverage80": 0.81, "mase": 0.8, "naive_mase": 1.0},
        },
        "history": [],
        "forecast": [
            {
                "timestamp": f"2023-01-01T{hour:02}:00:00Z",
                "consumption": 2.0,
                "quantiles": {"0.1": 1.0, "0.9": 3.0},
            }
            for hour in range(24)
        ],
    }


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeApi) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def run_demo(url: str, tmp_path: Path) -> Callable[..., bool]:
    def run(*meters: Meter, picture: Path = tmp_path / "forecast.png") -> bool:
        options = DemoOptions(meters=list(meters), picture=picture, log_dir=tmp_path / "logs")
        return show_demo(url, options, screen=Screen(), tend=lambda: None)

    return run


def test_a_good_demo_shows_skill_coverage_plot_and_a_line_to_paste(
    run_demo: Callable[..., bool], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_demo(GOOD)

    text = capsys.readouterr().out
    assert "-20 %" in text
    assert "81 %" in text
    assert "water/good in m3/h, Europe/Rome" in text
    assert f"curl -s -X POST {url}/forecast/" in text
    assert (tmp_path / "forecast.png").stat().st_size > 1000


def test_a_failed_training_is_told_with_its_sentence_and_the_others_go_on(
    run_demo: Callable[..., bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not run_demo(FAILING, GOOD)

    text = capsys.readouterr().out
    assert f"{ERROR} The log is in {tmp_path}" in text
    assert "water/good" in text
    assert '"meter_id": "good"' in text


def test_a_refused_training_is_told_with_its_sentence(
    run_demo: Callable[..., bool], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not run_demo(REFUSED)

    assert "heat/refused: heat is not a configured meter type." in capsys.readouterr().out


def test_where_the_api_asks_for_a_key_it_comes_from_the_environment(
    run_demo: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(FakeApi, "key", "ef_0a1b2c3d_of-the-demo")
    with pytest.raises(StartFailed) as asked_for:
        run_demo(GOOD)
    monkeypatch.setenv(KEY_VARIABLE, "ef_0a1b2c3d_of-the-demo")

    assert run_demo(GOOD)
    assert "This call needs an API key. Put one with the scope train" in asked_for.value.sentence
    shown = capsys.readouterr().out
    assert f'-H "Authorization: Bearer ${KEY_VARIABLE}"' in shown
    assert "of-the-demo" not in shown


def test_a_picture_that_cannot_be_written_is_told_and_fails_the_demo(
    run_demo: Callable[..., bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    assert not run_demo(GOOD, picture=tmp_path / "file" / "forecast.png")

    assert "forecast.png cannot be written: File exists." in capsys.readouterr().out
