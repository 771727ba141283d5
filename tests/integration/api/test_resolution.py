"""Forecasts at the meter's resolution and at the one asked for, over HTTP and SQLite."""

import csv
import io
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.aggregation import hours_inside, to_hourly
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.readings import HOUR, History, to_datetime, to_datetime64
from energy_forecasting.domain.resolutions import checked_resolution
from energy_forecasting.domain.trainings import TrainingOptions
from energy_forecasting.forecasting.training import train
from energy_forecasting.meters.ingestion.csv_import import import_csv
from energy_forecasting.meters.sqlite import SqliteMeterStore
from energy_forecasting.registry.artifact import write_card
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.settings import Settings
from tests.conftest import PROJECT_DIR

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]

OFFICE = Meter(meter_type="electricity", meter_id="ucam_b37_elec")
#: One building, read in three ways; all stop in the middle of an hour or day.
QUARTERS = Meter(meter_type="electricity", meter_id="quarters")
REGISTER = Meter(meter_type="electricity", meter_id="register")
DAILY = Meter(meter_type="electricity", meter_id="daily")
LAST_QUARTER = datetime(2022, 11, 16, 14, 15, tzinfo=UTC)
LAST_DAY = datetime(2022, 10, 27, 23, tzinfo=UTC)


def quarters_of(hourly: History) -> History:
    """Divide real hours into quarters: ramps to the neighbours and noise."""
    generator = np.random.default_rng(0)
    place = (np.arange(4) + 0.5) / 4 - 0.5
    slope = np.gradient(hourly.consumption) / hourly.consumption
    share = 1 + slope[:, None] * place + generator.normal(0, 0.1, (len(hourly), 4))
    amounts = hourly.consumption[:, None] * share / share.sum(axis=1, keepdims=True)
    stamps = hourly.timestamps[:, None] + np.arange(4) * np.timedelta64(15, "m")
    return History(
        timestamps=stamps.reshape(-1),
        consumption=amounts.reshape(-1),
        temperature=np.repeat(hourly.temperature, 4),
    )


def daily_of(hourly: History) -> History:
    """Add up the local days of London."""
    stamps = hourly.timestamps
    summer = (stamps >= np.datetime64("2022-03-27T01")) & (stamps < np.datetime64("2022-10-30T01"))
    days = (stamps + summer * HOUR).astype("datetime64[D]")
    _, first, place = np.unique(days, return_index=True, return_inverse=True)
    return History(
        timestamps=stamps[first],
        consumption=np.bincount(place, weights=hourly.consumption).astype(np.float64),
        temperature=np.bincount(place, weights=hourly.temperature) / np.bincount(place),
    )


@pytest.fixture(scope="module")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resolutions")
    source = SqliteMeterStore(folder / "sample.sqlite")
    import_csv(PROJECT_DIR / "data" / "sample.csv.gz", source)
    hourly = source.read_history(OFFICE)
    quarters = quarters_of(hourly).before(LAST_QUARTER + timedelta(seconds=1))
    counted = replace(quarters, consumption=1e5 + np.cumsum(quarters.consumption))
    daily = daily_of(hourly).before(LAST_DAY + timedelta(seconds=1))
    with (folder / "readings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["meter_type", "meter_id", "timestamp", "consumption", "temperature"])
        for meter, history in ((QUARTERS, quarters), (REGISTER, counted), (DAILY, daily)):
            writer.writerows(
                (meter.meter_type, meter.meter_id, f"{stamp}Z", value, degrees)
                for stamp, value, degrees in zip(
                    history.timestamps, history.consumption, history.temperature, strict=True
                )
            )
    (folder / "meters.csv").write_text(
        "meter_type,meter_id,unit,timezone,country,reading_kind,resolution_minutes\n"
        "electricity,quarters,kWh,Europe/London,GB,interval,15\n"
        "electricity,register,kWh,Europe/London,GB,cumulative,\n"
        "electricity,daily,kWh,Europe/London,GB,interval,\n"
    )
    path = folder / "meters.sqlite"
    import_csv(folder / "readings.csv", SqliteMeterStore(path), profiles=folder / "meters.csv")
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, store_path: Path) -> Path:
    """Return a registry with models of the three, trained as the pipeline does."""
    root = tmp_path_factory.mktemp("models")
    registry = ModelRegistry(root, versions_kept=3)
    store = SqliteMeterStore(store_path)
    for meter in (QUARTERS, REGISTER, DAILY):
        readings, profile = store.read_history(meter), store.describe(meter).profile
        found = checked_resolution(readings.timestamps, profile.resolution)
        kind = profile.reading_kind
        trained = train(
            to_hourly(readings, kind),
            meter,
            replace(profile, resolution=found),
            TrainingOptions(max_trials=0),
            lambda _: None,
            inside=hours_inside(readings, kind),
        )
        incoming = registry.incoming_path()
        trained.network.save(incoming)
        write_card(incoming, trained.card)
        registry.publish(incoming, trained.card)
    return root


@pytest.fixture
def client(redis_url: str, store_path: Path, models: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(
        redis_url=redis_url,
        meter_store="sqlite",
        sqlite_path=store_path,
        model_store=models,
        log_dir=tmp_path,
    )
    with TestClient(create_app(bootstrap.api_services(settings))) as api:
        yield api


def ask(client: TestClient, meter: Meter, **wishes: object) -> dict[str, Any]:
    named = {"meter_id": meter.meter_id, "meter_type": meter.meter_type}
    answer = client.post("/forecast/", json={**named, **wishes})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def stamps_of(points: list[dict[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(point["timestamp"]) for point in points]


def are_ordered(points: list[dict[str, Any]]) -> bool:
    each = [list(point["quantiles"].values()) for point in points]
    return all(low <= high for row in each for low, high in itertools.pairwise(row))


def test_a_quarter_hour_forecast_starts_where_the_readings_end(client: TestClient) -> None:
    # When readings cover the time until 14:30
    body = ask(client, QUARTERS, resolution_minutes=15, horizon_hours=24, history_hours=2)
    # Then
    stamps = stamps_of(body["forecast"])
    assert body["resolution_minutes"] == 15
    assert stamps[0] == LAST_QUARTER + timedelta(minutes=15)
    assert {later - earlier for earlier, later in itertools.pairwise(stamps)} == {
        timedelta(minutes=15)
    }
    assert len(stamps) == 96
    assert are_ordered(body["forecast"])
    past = stamps_of(body["history"])
    assert past[-1] == LAST_QUARTER
    assert len(past) == 8
    assert all(point["consumption"] is not None for point in body["history"])


def test_quarters_add_up_to_the_hours_of_the_hourly_answer(client: TestClient) -> None:
    fine = ask(client, QUARTERS, resolution_minutes=15, horizon_hours=168)
    hourly = ask(client, QUARTERS, horizon_hours=168)
    # The hour under way is forecast in whole, its quarters from the first unknown one on
    assert hourly["resolution_minutes"] == 60
    assert stamps_of(hourly["forecast"])[0] == LAST_QUARTER.replace(minute=0)
    assert len(fine["forecast"]) == 168 * 4 - 2
    by_hour = np.array([point["consumption"] for point in fine["forecast"][2:]]).reshape(-1, 4)
    hours = [point["consumption"] for point in hourly["forecast"][1:]]
    np.testing.assert_allclose(by_hour.sum(axis=1), hours, atol=1e-5)


def test_the_unseen_quarters_lie_mostly_within_their_interval(client: TestClient) -> None:
    # Given four days in the past, each forecast from what was known before it
    inside = []
    for day in ("2022-11-08", "2022-11-09", "2022-11-10", "2022-11-14"):
        body = ask(client, QUARTERS, resolution_minutes=15, start_date=day, end_date=day)
        later = ask(client, QUARTERS, resolution_minutes=15, history_hours=336)
        actual = {point["timestamp"]: point["consumption"] for point in later["history"]}
        assert len(body["forecast"]) == 96
        inside += [
            point["quantiles"]["0.1"] <= actual[point["timestamp"]] <= point["quantiles"]["0.9"]
            for point in body["forecast"]
        ]
    assert np.mean(inside) > 0.65


def test_a_moment_within_the_hour_may_be_asked_for(client: TestClient) -> None:
    body = ask(
        client,
        QUARTERS,
        resolution_minutes=30,
        start_date="2022-11-10T09:41:00Z",
        end_date="2022-11-10T12:10:00Z",
    )
    clock = [f"{stamp:%H:%M}" for stamp in stamps_of(body["forecast"])]
    assert clock == ["09:30", "10:00", "10:30", "11:00", "11:30", "12:00"]
    assert body["origin"] == "2022-11-10T09:00:00Z"


@pytest.mark.parametrize(("day", "steps"), [("2022-03-27", 92), ("2022-10-30", 100)])
def test_days_of_a_clock_change_have_their_quarters(
    client: TestClient, day: str, steps: int
) -> None:
    body = ask(client, QUARTERS, resolution_minutes=15, start_date=day, end_date=day)
    assert len(set(stamps_of(body["forecast"]))) == steps


def test_a_register_forecasts_what_is_used_and_starts_at_its_last_reading(
    client: TestClient,
) -> None:
    # Given a register read at 14:15, which closes the quarter before
    body = ask(client, REGISTER, resolution_minutes=15, horizon_hours=24, history_hours=24)
    same = ask(client, QUARTERS, resolution_minutes=15, horizon_hours=24, history_hours=24)
    # Then
    assert stamps_of(body["forecast"])[0] == LAST_QUARTER
    mine = {point["timestamp"]: point["consumption"] for point in body["history"]}
    # The register's readings are stamped where the interval's quarter begins: one step apart.
    for point in same["history"][8:-8]:
        earlier = datetime.fromisoformat(point["timestamp"]) - timedelta(minutes=15)
        stamp = earlier.isoformat().replace("+00:00", "Z")
        assert mine[stamp] == pytest.approx(point["consumption"], abs=1e-5)


def test_a_daily_meter_answers_in_days_over_the_autumn_change(client: TestClient) -> None:
    # When the last reading is the one of 28 October
    body = ask(client, DAILY, history_hours=24 * 7)
    # Then the week has the day of 25 hours and still seven days
    stamps = stamps_of(body["forecast"])
    assert body["resolution_minutes"] == 1440
    assert stamps[0] == datetime(2022, 10, 28, 23, tzinfo=UTC)
    assert [f"{stamp:%d %H}" for stamp in stamps] == [
        "28 23", "29 23", "31 00", "01 00", "02 00", "03 00", "04 00"
    ]  # fmt: skip
    assert are_ordered(body["forecast"])
    days = [point["consumption"] for point in body["history"]]
    assert len(days) == 7
    ahead = [point["consumption"] for point in body["forecast"]]
    assert 0.6 < np.mean(ahead) / np.mean(days) < 1.6


def test_a_daily_meter_in_the_past_knows_no_reading_of_the_day_asked(client: TestClient) -> None:
    body = ask(client, DAILY, start_date="2022-06-15T12:00:00Z", end_date="2022-06-17T12:00:00Z")
    assert [f"{stamp:%d %H}" for stamp in stamps_of(body["forecast"])] == [
        "14 23",
        "15 23",
        "16 23",
    ]
    assert body["origin"] == "2022-06-14T23:00:00Z"
    assert body["history"][-1]["timestamp"] == "2022-06-13T23:00:00Z"


def test_an_hourly_temperature_serves_a_daily_meter(client: TestClient) -> None:
    ramp = [5.0 + hour % 24 for hour in range(73)]  # one of the three days has 25 hours
    body = ask(client, DAILY, horizon_hours=72, temperature=ramp)
    assert body["temperature_source"] == "request"
    assert len(body["forecast"]) == 3


@pytest.mark.parametrize(
    ("meter", "minutes", "told"),
    [
        (QUARTERS, 10, "finer than they are"),
        (QUARTERS, 20, "no multiple of the 15 minutes"),
        (QUARTERS, 1440, "no sums of quantiles"),
        (QUARTERS, 7, "one of 5, 10, 12"),
        (QUARTERS, -60, "one of 5, 10, 12"),
        (DAILY, 60, "come every 24 hours"),
        (DAILY, 720, "come every 24 hours"),
    ],
)
def test_a_resolution_that_cannot_be_forecast_is_refused_with_the_reason(
    client: TestClient, meter: Meter, minutes: int, told: str
) -> None:
    named = {"meter_id": meter.meter_id, "meter_type": meter.meter_type}
    answer = client.post("/forecast/", json={**named, "resolution_minutes": minutes})
    error = answer.json()["error"]
    assert answer.status_code == 422
    assert error["details"]["field"] == "resolution_minutes"
    assert told in error["message"]


def test_a_table_tells_its_resolution(client: TestClient) -> None:
    named = {"meter_id": QUARTERS.meter_id, "meter_type": QUARTERS.meter_type}
    wish = {**named, "resolution_minutes": 30, "horizon_hours": 2}
    rows = list(csv.DictReader(io.StringIO(client.post("/forecast/?format=csv", json=wish).text)))
    assert [row["resolution_minutes"] for row in rows] == ["30"] * 4


def test_meters_show_their_step_declared_or_found(client: TestClient) -> None:
    shown = {
        meter: client.get(f"/meters/{meter}").json()["resolution_minutes"]
        for meter in (QUARTERS, REGISTER, DAILY)
    }
    assert shown == {QUARTERS: 15, REGISTER: 15, DAILY: 1440}
    listed = client.get("/meters/").json()["meters"]
    assert {each["meter_id"]: each["resolution_minutes"] for each in listed} == {
        "quarters": 15,
        "register": None,
        "daily": None,
    }


def test_a_wrong_declaration_is_told_by_report_and_forecast(
    store_path: Path, models: Path, redis_url: str, tmp_path: Path
) -> None:
    # Given readings every 15 minutes, declared to come every 5
    path = tmp_path / "meters.sqlite"
    shutil.copy(store_path, path)
    store = SqliteMeterStore(path)
    profile = store.describe(QUARTERS).profile
    store.write_profile(QUARTERS, replace(profile, resolution=timedelta(minutes=5)))
    settings = Settings(
        redis_url=redis_url,
        meter_store="sqlite",
        sqlite_path=path,
        model_store=models,
        log_dir=tmp_path,
    )
    with TestClient(create_app(bootstrap.api_services(settings))) as api:
        report = api.get(f"/meters/{QUARTERS}/quality").json()
        body = ask(api, QUARTERS, horizon_hours=1)
    # Then
    assert report["verdict"] == "unusable"
    assert "every 5 minutes" in report["verdict_reason"]
    assert "every 15 minutes" in report["verdict_reason"]
    assert body["degraded"] is True
    assert "every 15 minutes" in body["degraded_reason"]


def test_a_meter_with_hourly_readings_is_not_forecast_more_finely(
    store_path: Path, models: Path, redis_url: str, tmp_path: Path
) -> None:
    # Given a meter that was read every quarter when it was trained and every hour since
    path = tmp_path / "meters.sqlite"
    store = SqliteMeterStore(path)
    quarters = SqliteMeterStore(store_path).read_history(QUARTERS)
    hourly = to_hourly(quarters, MeterProfile().reading_kind)
    store.write_profile(QUARTERS, MeterProfile(unit="kWh", timezone="Europe/London"))
    store.write_readings(QUARTERS, iter([hourly]))
    settings = Settings(
        redis_url=redis_url,
        meter_store="sqlite",
        sqlite_path=path,
        model_store=models,
        log_dir=tmp_path,
    )
    with TestClient(create_app(bootstrap.api_services(settings))) as api:
        named = {"meter_id": QUARTERS.meter_id, "meter_type": QUARTERS.meter_type}
        answer = api.post("/forecast/", json={**named, "resolution_minutes": 15})
        body = ask(api, QUARTERS, horizon_hours=2)
    # Then
    assert answer.status_code == 422
    assert "come every 60 minutes" in answer.json()["error"]["message"]
    assert stamps_of(body["forecast"])[0] == to_datetime(
        to_datetime64(LAST_QUARTER.replace(minute=0)) + HOUR
    )
