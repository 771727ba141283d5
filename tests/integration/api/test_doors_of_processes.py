"""Two API processes on one Redis and one key file, as an operator starts them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import PROJECT_DIR, free_loopback_port, wait_until

pytestmark = pytest.mark.redis

START_LIMIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class House:
    """API processes that share Redis and keys."""

    apis: list[httpx.Client]
    environment: dict[str, str]
    folder: Path

    def keys(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "energy_forecasting", "keys", *arguments],
            cwd=PROJECT_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def created(self, *arguments: str) -> str:
        return self.keys("create", *arguments).splitlines()[0]

    def logged(self) -> str:
        files = list((self.folder / "logs").glob("*.log"))
        return "".join(file.read_text(encoding="utf-8") for file in files)


@contextmanager
def running_api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    port = free_loopback_port()
    command = [sys.executable, "-m", "uvicorn", "main_dramatiq:app", "--port", str(port)]
    with (
        subprocess.Popen([*command, "--no-server-header"], cwd=PROJECT_DIR, env=environment) as api,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
    ):
        try:
            wait_until(lambda: answers(client), within_s=START_LIMIT_S)
            yield client
        finally:
            api.terminate()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.fixture
def house(redis_url: str, tmp_path: Path) -> Iterator[House]:
    environment = {
        "PATH": "",
        "REDIS_URL": redis_url,
        "METER_STORE": "sqlite",
        "SQLITE_PATH": str(tmp_path / "meters.sqlite"),
        "MODEL_STORE": str(tmp_path / "models"),
        "LOG_DIR": str(tmp_path / "logs"),
        "API_KEYS": str(tmp_path / "api_keys.json"),
        "DEBUG": "true",
    }
    with ExitStack() as exits:
        apis = [exits.enter_context(running_api(environment)) for _ in range(2)]
        yield House(apis=apis, environment=environment, folder=tmp_path)


def statuses(house: House, text: str | None = None) -> list[int]:
    headers = {"Authorization": f"Bearer {text}"} if text else {}
    return [api.get("/trainmodel/", headers=headers).status_code for api in house.apis]


def test_keys_work_and_end_at_once_in_every_running_process(house: House) -> None:
    # Given
    assert "The API asks nobody for a key" in house.logged()
    assert statuses(house) == [200, 200]
    # When the first key is made
    text = house.created("portal")
    # Then
    assert statuses(house) == [401, 401]
    assert statuses(house, text) == [200, 200]
    # When it is revoked
    house.keys("revoke", text.split("_")[1])
    # Then
    assert statuses(house, text) == [401, 401]
    assert statuses(house) == [401, 401]
    # When the file is taken away
    (house.folder / "api_keys.json").unlink()
    # Then
    assert statuses(house) == [401, 401]
    assert statuses(house, text) == [503, 503]
    # And a process that starts then without the file has no way to know, unless it is told
    with running_api(house.environment) as fresh:
        assert fresh.get("/trainmodel/").status_code == 200
    with running_api({**house.environment, "REQUIRE_API_KEY": "true"}) as fresh:
        assert fresh.get("/trainmodel/").status_code == 401


def test_two_processes_grant_no_more_trainings_than_one_would(house: House) -> None:
    # Given
    text = house.created("loader", "--scope", "train", "--trainings-per-hour", "5")
    headers = {"X-API-Key": text}
    # When
    taken = [
        house.apis[number % 2].post(
            "/trainmodel/",
            json={"meter_id": f"hall_{number // 2}", "meter_type": "gas"},
            headers=headers,
        )
        for number in range(14)
    ]
    # Then
    started = [each for each in taken if each.is_success and not each.json()["deduplicated"]]
    again = [each for each in taken if each.is_success and each.json()["deduplicated"]]
    assert len(started) == 5
    assert len(again) == 5
    assert {each.status_code for each in taken[10:]} == {429}


def test_no_key_reaches_a_log_an_answer_or_the_disk(house: House) -> None:
    # Given
    text = house.created("loader", "--scope", "train")
    key_id, secret = text.split("_")[1:]
    api = house.apis[0]
    bearer = {"Authorization": f"Bearer {text}"}
    meter = {"meter_id": "hall_7", "meter_type": "gas"}
    # When
    told = []
    for path in ("/trainmodel/", f"/{text}", f"/trainmodel/status/{text}", f"/?key={text}"):
        told.append(api.get(path))
        api.get(path, headers=bearer)
        told.append(api.post(path, headers={"X-API-Key": f"{text}0"}))
        api.post(path, headers={**bearer, "X-Request-ID": text})
    told.append(api.post("/trainmodel/", headers=bearer, json=meter))
    api.post("/trainmodel/", headers=bearer, json={**meter, "meter_id": text})
    api.post("/trainmodel/", headers=bearer, json={"meter_type": text, text: text})
    api.get("/", headers={"X-API-Key": text[:-1] + ("0" if text[-1] != "0" else "1")})
    # Then
    assert all(secret not in answer.text for answer in told)
    logged = house.logged()
    assert secret[:16] not in logged
    assert f"ef_{key_id}_***" in logged
    assert f"API key refused | key_id={key_id} reason=wrong secret" in logged
    requested = next(line for line in logged.splitlines() if "Training requested" in line)
    assert f"key_id={key_id} key_name=loader" in requested
    kept = (house.folder / "api_keys.json").read_text(encoding="utf-8")
    assert secret not in kept


def test_a_stranger_does_not_learn_what_serves(house: House) -> None:
    house.created("portal")
    for path in ("/health/", "/health/worker", "/docs", "/nope"):
        answer = house.apis[0].get(path)
        assert "server" not in answer.headers
        told = f"{answer.text}{dict(answer.headers)}".lower()
        for word in ("uvicorn", "python", "redis", "sqlite", str(house.folder)):
            assert word not in told
