"""Models and meters that cannot be read or written: typed answers, and the service lives on."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.settings import Settings
from tests.integration.api.conftest import WATER

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]

FORECAST = {"meter_id": WATER.meter_id, "meter_type": WATER.meter_type, "horizon_hours": 24}
MODEL = f"/models/{WATER}"
METER = f"/meters/{WATER}"


@pytest.fixture
def spoilt(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings over copies, which a test may spoil."""
    models, meters = tmp_path / "models", tmp_path / "meters.sqlite"
    shutil.copytree(settings.model_store, models)
    shutil.copyfile(settings.sqlite_path, meters)
    return settings.model_copy(update={"model_store": models, "sqlite_path": meters})


@pytest.fixture
def api(spoilt: Settings) -> Iterator[TestClient]:
    with TestClient(
        create_app(bootstrap.api_services(spoilt)), raise_server_exceptions=False
    ) as client:
        yield client


def champion(settings: Settings) -> Path:
    return settings.model_store / WATER.meter_type / f"{WATER.meter_id}.h5"


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000])


def scribbled(path: Path) -> None:
    """Damage the middle, where the weights and their headers are."""
    content = bytearray(path.read_bytes())
    content[2_000:-2_000:7] = b"\xff" * len(content[2_000:-2_000:7])
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [truncated, scribbled, emptied, replaced_by_a_folder])
def test_a_damaged_model_is_told_as_such(
    api: TestClient, spoilt: Settings, spoil: Callable[[Path], None]
) -> None:
    # Given
    path = champion(spoilt)
    path = path.resolve()
    content = path.read_bytes()
    path.unlink()  # the champion shares its bytes with a version
    path.write_bytes(content)
    spoil(path)
    # Then what needs it says so, and what does not goes on
    for answer in (api.post("/forecast/", json=FORECAST), api.get(MODEL)):
        assert answer.status_code in {404, 507}, answer.text
        assert answer.json()["error"]["type"] in {"STORAGE_ERROR", "NOT_FOUND"}
    assert api.get(METER).status_code == 200
    assert api.get("/health/").status_code == 200


@pytest.mark.parametrize("spoil", [truncated, scribbled, emptied])
def test_one_damaged_model_does_not_hide_the_others_from_the_list(
    api: TestClient, spoilt: Settings, spoil: Callable[[Path], None]
) -> None:
    other = spoilt.model_store / WATER.meter_type / "other.h5"
    shutil.copyfile(champion(spoilt), other)
    spoil(other)
    answer = api.get("/models/")
    assert answer.status_code == 200, answer.text
    assert [card["meter_id"] for card in answer.json()["models"]] == [WATER.meter_id]


def test_a_model_store_that_is_a_file_is_a_storage_error(api: TestClient, spoilt: Settings) -> None:
    shutil.rmtree(spoilt.model_store)
    spoilt.model_store.write_text("not a folder", encoding="utf-8")
    for answer in (
        api.post("/forecast/", json=FORECAST),
        api.get(MODEL),
        api.get("/models/"),
        api.delete(MODEL),
        api.get(METER),
    ):
        assert answer.status_code in {200, 404, 507}, answer.text


def test_a_locked_meter_store_still_serves_readers(api: TestClient, spoilt: Settings) -> None:
    with closing(sqlite3.connect(spoilt.sqlite_path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert api.get(METER).status_code == 200
        writer.execute("ROLLBACK")


@pytest.mark.parametrize("spoil", [truncated, scribbled, emptied, replaced_by_a_folder])
def test_a_damaged_meter_store_is_told_as_such(
    api: TestClient, spoilt: Settings, spoil: Callable[[Path], None]
) -> None:
    spoil(spoilt.sqlite_path)
    for answer in (
        api.get(METER),
        api.get(f"{METER}/quality"),
        api.get("/meters/"),
        api.post("/forecast/", json=FORECAST),
    ):
        assert answer.status_code in {200, 404, 507}, answer.text
        if answer.status_code != 200:
            assert answer.json()["error"]["type"] in {"STORAGE_ERROR", "NO_DATA_FOUND"}
    assert api.get("/health/").status_code == 200
