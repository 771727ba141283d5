"""However a server fails, and whatever it repeats, no secret of ours shows anywhere.

Where: logs at level DEBUG, those of the libraries included, what is printed, messages and details
of errors, tracebacks, representations, answers of the API and its OpenAPI document.
"""

import json
import logging
import threading
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.domain.temperature_forecast import TemperatureForecast
from energy_forecasting.meters.influx import http
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.store import InfluxMeterStore
from energy_forecasting.settings import Settings
from tests.integration.meters.conftest import FORECAST_SOURCE
from tests.integration.meters.echo_server import REPLIES, EchoServer, Reply, answer

METER = Meter(meter_type="water", meter_id="dma.5")
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)

# Made up for these tests; they open nothing.
TOKEN = "kX7-vQ2mZpR9_tLwYb4NcHs8JdFg6EuA3oKiV5xWqT0yMzBnCr1DlSePhGjUfI=="  # noqa: S105
PASSWORD = 'pa55 w0rd "& <quoted> %41\\'  # noqa: S105
SECRETS = (TOKEN, PASSWORD, b64encode(f"user:{PASSWORD}".encode()).decode())
_PIECE = 8

FORMS: dict[str, dict[str, object]] = {
    "flux": {"token": TOKEN, "org": "o", "bucket": "b"},
    "influxql with a user": {"username": "user", "password": PASSWORD, "database": "d"},
    "influxql with a token": {"token": TOKEN, "database": "d"},
}

Call = Callable[[InfluxMeterStore], object]
CALLS: tuple[Call, ...] = (
    lambda store: store.check(),
    lambda store: store.list_meters(),
    lambda store: store.describe(METER),
    lambda store: store.read_history(METER),
    lambda store: store.read_history(METER, start=MIDNIGHT, whole_hours_before=NOON),
    lambda store: store.read_temperature_forecast(METER, start=MIDNIGHT, end=NOON),
    lambda store: store.write_readings(METER, iter([a_reading()])),
    lambda store: store.write_temperature_forecast(METER, a_temperature()),
)


def a_reading() -> History:
    return History(
        timestamps=np.array(["2024-03-01"], dtype="datetime64[s]"),
        consumption=np.ones(1),
        temperature=np.ones(1),
    )


def a_temperature() -> TemperatureForecast:
    return TemperatureForecast(
        timestamps=np.array(["2024-03-01"], dtype="datetime64[s]"), degrees=np.ones(1)
    )


def config_of(form: dict[str, object], url: str, **changes: object) -> InfluxConfig:
    values = {"url": url, "timeout_s": 5.0, "temperature_forecast": FORECAST_SOURCE, **form}
    return InfluxConfig.model_validate({**values, **changes})


def leaked(text: str) -> list[str]:
    """Return the pieces of secrets that a text shows, as they are or escaped."""
    spelled = {spelling for secret in SECRETS for spelling in (secret, ascii(secret)[1:-1])}
    return [
        piece
        for spelling in spelled
        for at in range(len(spelling) - _PIECE + 1)
        if (piece := spelling[at : at + _PIECE]) in text
    ]


def told_by(error: EnergyForecastingError) -> str:
    """Return all that an error can show."""
    traces = traceback.format_exception(error)
    return "\n".join([*traces, repr(error), error.message, str(error.to_details())])


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer() as running:
        yield running


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("urllib3", "influxdb_client", "http")):
            caplog.set_level(logging.DEBUG, logger=name)
    return caplog


@pytest.fixture(params=[*FORMS.values()], ids=[*FORMS])
def form(request: pytest.FixtureRequest) -> dict[str, object]:
    values: dict[str, object] = request.param
    return values


def errors_of(config: InfluxConfig) -> Iterator[EnergyForecastingError]:
    """Make every call and yield its error; an error that is none of ours fails the test."""
    store = InfluxMeterStore(config)
    try:
        for call in CALLS:
            try:
                call(store)
            except EnergyForecastingError as error:
                yield error
    finally:
        store.close()


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_a_server_that_repeats_our_headers_makes_no_secret_show(
    echo: EchoServer,
    form: dict[str, object],
    reply: Reply,
    everything_logged: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Given
    echo.reply = reply
    # When
    errors = list(errors_of(config_of(form, echo.url)))
    # Then
    assert echo.requests >= len(CALLS) - 1
    assert errors
    for error in errors:
        assert leaked(told_by(error)) == []
        assert error.message.isprintable()
        assert len(error.message) < 800
    assert leaked("".join(capfd.readouterr())) == leaked(everything_logged.text) == []


def test_the_server_would_have_been_caught() -> None:
    for name in REPLIES.keys() - {"no answer", "gzip"}:
        assert leaked(REPLIES[name](f"Token {TOKEN}").decode("latin-1")) != []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_redirect_carries_no_secret_elsewhere(
    echo: EchoServer, form: dict[str, object], status: str
) -> None:
    with EchoServer() as elsewhere:
        echo.reply = lambda _told: answer(status, Location=f"{elsewhere.url}/query")
        errors = list(errors_of(config_of(form, echo.url)))
        assert elsewhere.requests == 0
        assert len(errors) >= len(CALLS) - 1
        assert f"it points to '{elsewhere.url}'" in errors[-1].message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_failed_handshake_makes_no_secret_show(
    echo: EchoServer,
    form: dict[str, object],
    host: str,
    everything_logged: pytest.LogCaptureFixture,
) -> None:
    config = config_of(form, f"https://{host}:{echo.port}")
    for error in errors_of(config):
        assert leaked(told_by(error)) == []
    assert leaked(everything_logged.text) == []


def test_an_unreachable_server_makes_no_secret_show(
    form: dict[str, object], free_port: int, everything_logged: pytest.LogCaptureFixture
) -> None:
    errors = list(errors_of(config_of(form, f"http://127.0.0.1:{free_port}")))
    assert len(errors) == len(CALLS)
    assert [leaked(told_by(error)) for error in errors] == [[]] * len(CALLS)
    assert leaked(everything_logged.text) == []


def test_no_object_shows_a_secret(echo: EchoServer, form: dict[str, object]) -> None:
    config = config_of(form, echo.url)
    store = InfluxMeterStore(config)
    shown = [config, store, store._http, store._http._pool, store._source, store._layout]
    shown += [store._http.faults, config.model_dump(), config.model_dump_json()]
    client = getattr(store._source, "_client", None)
    if client is not None:
        shown += [client, client.api_client, client.api_client.configuration]
    for each in shown:
        assert leaked(repr(each)) == leaked(str(each)) == []
    store.close()


@pytest.mark.parametrize("place", ["version", "version in body"])
def test_a_short_token_is_no_version(echo: EchoServer, place: str) -> None:
    # Given
    token = TOKEN[:20]
    echo.reply = lambda told: REPLIES[place](told.removeprefix("Token "))
    http_client = http.InfluxHttp(config_of({"token": token, "database": "d"}, echo.url))
    # When, Then
    assert http_client.ping(Deadline(5)) == "unknown"
    http_client.close()


def test_no_library_is_told_to_print_headers(echo: EchoServer) -> None:
    store = InfluxMeterStore(config_of(FORMS["flux"], echo.url))
    assert not store._source._client.api_client.configuration.debug  # type: ignore[attr-defined]
    assert HTTPConnection.debuglevel == 0
    store.close()


@pytest.fixture
def settings(redis_url: str, tmp_path: Path, echo: EchoServer, form: dict[str, object]) -> Settings:
    file = tmp_path / "influxdb_config.json"
    file.write_text(json.dumps({"url": echo.url, "timeout_s": 2, **form}))
    return Settings(
        redis_url=redis_url,
        meter_store="influxdb",
        influxdb_config=file,
        model_store=tmp_path / "models",
        log_dir=tmp_path,
    )


@pytest.mark.parametrize("reply", ["401 message", "500 page", "200 statement", "redirect"])
def test_neither_health_nor_any_answer_shows_a_secret(
    echo: EchoServer, settings: Settings, reply: str, everything_logged: pytest.LogCaptureFixture
) -> None:
    # Given
    echo.reply = REPLIES[reply]
    with TestClient(create_app(bootstrap.api_services(settings))) as client:
        # When
        answers = [
            client.get("/health/"),
            client.get("/meters/"),
            client.get(f"/meters/{METER}"),
            client.get(f"/meters/{METER}/quality"),
            client.get("/openapi.json"),
            client.get("/metrics"),
            client.get("/"),
        ]
    # Then
    assert answers[0].json()["influxdb"] == "disconnected"
    assert [leaked(each.text + str(each.headers)) for each in answers] == [[]] * len(answers)
    assert leaked(everything_logged.text) == []


def test_no_thread_is_called_after_a_secret(echo: EchoServer, form: dict[str, object]) -> None:
    list(errors_of(config_of(form, echo.url)))
    assert [leaked(thread.name) for thread in threading.enumerate() if leaked(thread.name)] == []
