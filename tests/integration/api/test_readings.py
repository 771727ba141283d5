"""Readings sent to the API, over a real SQLite store; no Redis and no model is needed."""

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import History
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.store import InfluxMeterStore
from energy_forecasting.meters.memory import InMemoryMeterStore
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.settings import Settings
from tests.influx_server import InfluxServer

METER = Meter(meter_type="gas", meter_id="g1")
PATH = "/meters/gas/g1/readings"
CSV = {"Content-Type": "text/csv"}
JSON = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}
HOUR_0, HOUR_1, HOUR_2 = (f"2026-01-01T0{hour}:00:00Z" for hour in range(3))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        redis_url="redis://127.0.0.1:1/0",
        meter_store="sqlite",
        sqlite_path=tmp_path / "meters.sqlite",
        model_store=tmp_path / "models",
        log_dir=tmp_path,
        readings_body_limit_mb=1,
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(bootstrap.api_services(settings))) as client:
        yield client


@pytest.fixture
def store(settings: Settings) -> SqliteMeterStore:
    return SqliteMeterStore(settings.sqlite_path)


def reading(stamp: str, consumption: object = 1.0, **more: object) -> dict[str, object]:
    return {"timestamp": stamp, "consumption": consumption, **more}


def body(*readings: object) -> dict[str, object]:
    return {"readings": list(readings)}


def error_of(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's response
    told = answer.json()
    assert set(told) == {"error", "detail"}
    assert told["detail"] == told["error"]["message"]
    return dict(told["error"])


def post_raw(
    settings: Settings, receive: Callable[[], Awaitable[Message]]
) -> tuple[int, dict[str, Any]]:
    """Post CSV without a client in between, which would read the body first."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"text/csv")],
    }
    asyncio.run(create_app(bootstrap.api_services(settings))(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


class TestTakingIn:
    def test_the_first_readings_create_the_meter(
        self, api: TestClient, store: SqliteMeterStore
    ) -> None:
        # When
        sent = body(reading(HOUR_0, 1.2, temperature=3.4), reading(HOUR_1, 2))
        answer = api.post(PATH, json=sent, headers={"X-Request-ID": "mine"})
        # Then
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-Request-ID"] == "mine"
        assert answer.json() == {
            "meter_id": "g1",
            "meter_type": "gas",
            "accepted": 2,
            "written": 2,
            "duplicates": 0,
            "forecast_temperatures": 0,
            "rejected": 0,
            "rejections": [],
        }
        assert store.read_history(METER).consumption.tolist() == [1.2, 2.0]
        assert store.describe(METER).last_reading == datetime(2026, 1, 1, 1, tzinfo=UTC)

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize(
        ("text", "headers"),
        [
            (f"timestamp,consumption\n{HOUR_0},1.5\n", CSV),
            (f"meter_id,consumption,timestamp\ng1,1.5,{HOUR_0}", {"Content-Type": "TEXT/CSV; a=b"}),
            (json.dumps(body(reading(HOUR_0, 1.5))), JSON),
        ],
    )
    def test_csv_and_json_come_in_packed_or_not(
        self,
        api: TestClient,
        store: SqliteMeterStore,
        text: str,
        headers: dict[str, str],
        *,
        packed: bool,
    ) -> None:
        content = gzip.compress(text.encode()) if packed else text.encode()
        answer = api.post(PATH + "/", content=content, headers=headers | (GZIP if packed else {}))
        assert answer.status_code == 200, answer.text
        assert store.read_history(METER).consumption.tolist() == [1.5]

    def test_the_same_again_changes_nothing(self, api: TestClient, store: SqliteMeterStore) -> None:
        # Given readings of which two have the same moment, and a temperature ahead
        text = f"timestamp,consumption,temperature\n{HOUR_0},1,\n{HOUR_0},2,\n{HOUR_1},,4.5\n"
        # When
        answers = [api.post(PATH, content=text, headers=CSV).json() for _ in range(2)]
        # Then the later one counts
        assert answers[0] == answers[1]
        counts = {name: value for name, value in answers[0].items() if isinstance(value, int)}
        assert counts == {
            "accepted": 3,
            "written": 1,
            "duplicates": 1,
            "forecast_temperatures": 1,
            "rejected": 0,
        }
        assert store.read_history(METER).consumption.tolist() == [2.0]
        start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
        assert store.read_temperature_forecast(METER, start=start, end=end).degrees == [4.5]

    def test_bad_items_are_told_and_the_others_are_written(
        self, api: TestClient, store: SqliteMeterStore
    ) -> None:
        # Given what a schema would refuse as a whole
        sent = body(
            reading(HOUR_0),
            "nonsense",
            reading("2026-01-01T01:00:00"),
            reading(HOUR_1, None),
            reading(HOUR_2, [2]),
            reading(HOUR_2, None, temperature=5),
            reading(HOUR_0, None, temperature=5),
        )
        # When
        answer = api.post(PATH, json=sent)
        # Then
        assert answer.status_code == 200
        told = answer.json()
        assert (told["accepted"], told["rejected"]) == (2, 5)
        assert [bad["index"] for bad in told["rejections"]] == [1, 2, 3, 4, 6]
        assert "2026-01-01T00:00:00+00:00" in told["rejections"][-1]["reason"]
        assert store.describe(METER).readings == 1

    def test_bad_lines_are_told_by_number_and_only_the_first_hundred(self, api: TestClient) -> None:
        text = f"timestamp,consumption\n{HOUR_0},1\n" + f"{HOUR_1},x\n" * 150
        told = api.post(PATH, content=text, headers=CSV).json()
        assert told["rejected"] == 150
        assert [bad["line"] for bad in told["rejections"]] == list(range(3, 103))
        assert told["rejections"][0]["reason"] == "consumption 'x' is not a number"


class TestRefusing:
    @pytest.mark.parametrize(
        ("path", "field"),
        [
            ("/meters/sunshine/g1/readings", "meter_type"),
            ("/meters/Gas/g1/readings", "meter_type"),
            ("/meters/gas/_base/readings", "meter_id"),
            ("/meters/gas/.g1/readings", "meter_id"),
            ("/meters/gas/g%0a1/readings", "meter_id"),
        ],
    )
    def test_a_meter_that_cannot_be_is_refused(
        self, api: TestClient, path: str, field: str
    ) -> None:
        answer = api.post(path, json=body(reading(HOUR_0)))
        assert answer.status_code == 422
        assert error_of(answer)["details"]["field"] == field

    @pytest.mark.parametrize(
        ("headers", "field"),
        [
            ({}, "Content-Type"),
            ({"Content-Type": "text/plain"}, "Content-Type"),
            ({"Content-Type": "application/jsonl"}, "Content-Type"),
            ({**CSV, "Content-Encoding": "br"}, "Content-Encoding"),
            ({**CSV, "Content-Encoding": "gzip, gzip"}, "Content-Encoding"),
        ],
    )
    def test_another_kind_of_body_is_refused(
        self, api: TestClient, headers: dict[str, str], field: str
    ) -> None:
        answer = api.post(PATH, content=b"timestamp,consumption\n", headers=headers)
        assert answer.status_code == 415
        error = error_of(answer)
        assert error["type"] == "INVALID_REQUEST"
        assert error["details"]["field"] == field

    @pytest.mark.parametrize(
        ("headers", "content", "error_type"),
        [
            (JSON, b"", "INVALID_REQUEST"),
            (JSON, b'{"readings": [', "INVALID_REQUEST"),
            (JSON, b"[]", "INVALID_REQUEST"),
            (JSON, b'{"readings": ' + b"[" * 100_000, "INVALID_REQUEST"),
            (JSON | GZIP, b"{}", "INVALID_REQUEST"),
            (JSON | GZIP, gzip.compress(b"{}" * 500)[:20], "INVALID_REQUEST"),
            (CSV, b"", "DATA_QUALITY_ERROR"),
            (CSV, b"timestamp;consumption\n", "DATA_QUALITY_ERROR"),
            (CSV, b"timestamp,consumption\n", "DATA_QUALITY_ERROR"),
            (JSON, b'{"readings": []}', "DATA_QUALITY_ERROR"),
        ],
    )
    def test_a_body_without_readings_writes_nothing(
        self,
        api: TestClient,
        store: SqliteMeterStore,
        headers: dict[str, str],
        content: bytes,
        error_type: str,
    ) -> None:
        answer = api.post(PATH, content=content, headers=headers)
        assert answer.status_code == 422
        assert error_of(answer)["type"] == error_type
        assert store.list_meters() == []

    def test_when_nothing_is_usable_the_error_tells_why(
        self, api: TestClient, store: SqliteMeterStore
    ) -> None:
        answer = api.post(PATH, json=body(7, reading(HOUR_0, None, temperature=5)))
        assert answer.status_code == 422
        error = error_of(answer)
        assert "index 0: 7.0 is not an object" in error["message"]
        assert error["details"]["rejected"] == 2
        assert [bad["index"] for bad in error["details"]["rejections"]] == [0, 1]
        assert store.list_meters() == []

    def test_a_body_without_end_is_refused_at_the_limit(self, settings: Settings) -> None:
        # Given a client that says nothing of the length and never stops
        chunks: list[Message] = []

        async def endless() -> Message:
            chunks.append({"type": "http.request", "body": b"x" * 2**16, "more_body": True})
            return chunks[-1]

        # When
        status, answer = post_raw(settings, endless)
        # Then no more than the limit of 1 MiB was taken, and one chunk
        assert status == 413
        assert answer["error"]["type"] == "INVALID_REQUEST"
        assert answer["error"]["details"]["limit_bytes"] == 2**20
        assert len(chunks) == 2**20 // 2**16 + 1

    def test_a_client_that_leaves_is_no_bug_of_the_server(self, settings: Settings) -> None:
        async def leaving() -> Message:
            return {"type": "http.disconnect"}

        status, _ = post_raw(settings, leaving)
        assert status == 400

    def test_a_small_body_that_unpacks_to_a_large_one_is_refused(self, api: TestClient) -> None:
        content = gzip.compress(b" " * 2**24)
        assert len(content) < 2**15
        answer = api.post(PATH, content=content, headers=CSV | GZIP)
        assert answer.status_code == 413

    def test_a_store_that_cannot_be_written_is_said_so(self, settings: Settings) -> None:
        settings.sqlite_path.write_text("not a database, but long enough to be looked at " * 20)
        with TestClient(create_app(bootstrap.api_services(settings))) as api:
            answer = api.post(PATH, json=body(reading(HOUR_0)))
        assert answer.status_code == 507
        assert error_of(answer)["details"]["retryable"] is True


class WaitingStore(InMemoryMeterStore):
    """Writes only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = threading.Event()
        self.waiting = threading.Semaphore(0)

    def write_readings(self, meter: Meter, batches: Iterator[History]) -> int:
        self.waiting.release()
        assert self.may_write.wait(timeout=30)
        return super().write_readings(meter, batches)


def test_bodies_that_wait_for_the_store_leave_the_other_routes_alone(settings: Settings) -> None:
    # Given more bodies than the server has threads for its other routes
    store = WaitingStore()
    bodies = 50
    services = replace(bootstrap.api_services(settings), meters=store)
    with TestClient(create_app(services)) as api, ThreadPoolExecutor(bodies + 1) as clients:
        posted = [
            clients.submit(api.post, f"/meters/gas/g{number}/readings", json=body(reading(HOUR_0)))
            for number in range(bodies)
        ]
        assert store.waiting.acquire(timeout=30)
        time.sleep(0.5)  # the other bodies arrive
        # When
        listed = clients.submit(api.get, "/meters/")
        # Then
        try:
            assert listed.result(timeout=10).json()["total"] == 0
        finally:
            store.may_write.set()
        assert {answer.result(timeout=30).status_code for answer in posted} == {200}
    assert len(store.list_meters()) == bodies


def test_the_documents_own_examples_are_taken_in(api: TestClient) -> None:
    # Given
    operation = api.get("/openapi.json").json()["paths"]["/meters/{meter_type}/{meter_id}/readings"]
    kinds = operation["post"]["requestBody"]["content"]
    # When
    answers = {
        kind: api.post(
            PATH,
            content=example["example"] if kind == "text/csv" else json.dumps(example["example"]),
            headers={"Content-Type": kind},
        ).json()
        for kind, example in kinds.items()
    }
    # Then
    assert {(told["accepted"], told["rejected"]) for told in answers.values()} == {(3, 0)}
    assert set(answers) == {"text/csv", "application/json"}
    assert {"413", "415", "422", "503", "507"} <= set(operation["post"]["responses"])


@pytest.mark.influxdb
def test_a_store_on_influxdb_takes_the_same_in(
    settings: Settings, influx_server: InfluxServer, influx_database: str
) -> None:
    # Given
    store = InfluxMeterStore(
        InfluxConfig.model_validate(
            {
                "url": influx_server.url,
                "username": influx_server.member.name,
                "password": influx_server.member.password,
                "database": influx_database,
            }
        )
    )
    services = replace(bootstrap.api_services(settings), meters=store)
    readings = body(reading(HOUR_0, 1.5, temperature=3), reading(HOUR_1), reading(HOUR_1, 2))
    ahead = body(reading(HOUR_2, None, temperature=4))
    with TestClient(create_app(services)) as api:
        # When
        answers = [api.post(PATH, json=readings) for _ in range(2)]
        foreseen = api.post(PATH, json=ahead)
        influx_server.stop()
        away = api.post(PATH, json=readings)
        influx_server.start()
        history = store.read_history(METER)
    # Then
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json() == answers[1].json()
    assert (answers[0].json()["written"], answers[0].json()["duplicates"]) == (2, 1)
    assert history.consumption.tolist() == [1.5, 2.0]
    assert foreseen.status_code == 422
    assert "add temperature_forecast there" in error_of(foreseen)["message"]
    assert away.status_code == 503
    assert away.headers["Retry-After"] == "1"
