"""The data report over HTTP, from a real meter store."""

import pytest
from fastapi.testclient import TestClient

from energy_forecasting import bootstrap
from energy_forecasting.api.app import create_app
from energy_forecasting.domain.meters import Meter
from energy_forecasting.settings import Settings

pytestmark = [pytest.mark.redis, pytest.mark.tensorflow]


def test_a_real_meter_has_a_report_with_measures_and_findings(api: TestClient) -> None:
    answer = api.get("/meters/water/bwdf_dma_05/quality")

    assert answer.status_code == 200
    body = answer.json()
    assert body["meter_id"] == "bwdf_dma_05"
    assert body["unit"] == "m3/h"
    assert body["verdict"] == "usable"
    assert body["readings"] == 8694
    assert body["missing_hours"] == 66
    assert body["longest_gap"] == {"start": "2022-09-07T20:00:00Z", "hours": 20}
    assert body["clock_change_days"] == ["2022-03-27", "2022-10-30"]
    assert body["repairs"]["week_ago_hours"] == 66
    assert [finding["code"] for finding in body["findings"]] == [
        "OUTLIERS",
        "MISSING_HOURS",
        "REPAIRS",
    ]


def test_a_meter_that_cannot_be_trained_has_a_report_too(
    api: TestClient, silent_meter: Meter
) -> None:
    answer = api.get(f"/meters/{silent_meter.meter_type}/{silent_meter.meter_id}/quality")

    assert answer.status_code == 200
    assert answer.json()["verdict"] == "unusable"
    assert answer.json()["findings"][0]["code"] == "INSUFFICIENT_DATA"


def test_the_verdict_follows_the_limits_that_were_set(settings: Settings) -> None:
    strict = settings.model_copy(update={"quality_max_missing_share": 0.005})
    with TestClient(create_app(bootstrap.api_services(strict))) as api:
        body = api.get("/meters/water/bwdf_dma_05/quality").json()

    assert body["verdict"] == "unusable"
    assert body["findings"][0]["code"] == "DATA_QUALITY_ERROR"
    assert "QUALITY_MAX_MISSING_SHARE" in body["verdict_reason"]


def test_an_unknown_meter_has_none(api: TestClient) -> None:
    answer = api.get("/meters/water/nobody/quality")

    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "NO_DATA_FOUND"


def test_the_report_covers_what_a_training_would_read(settings: Settings) -> None:
    # Given trainings that read thirty days
    short = settings.model_copy(update={"history_days": 30})
    # When
    with TestClient(create_app(bootstrap.api_services(short))) as api:
        body = api.get("/meters/electricity/ucam_b37_elec/quality").json()
    # Then
    assert body["first_reading"] == "2022-12-01T23:00:00Z"
    assert body["readings"] == 30 * 24 + 1


def test_the_openapi_document_describes_every_measure(api: TestClient) -> None:
    document = api.get("/openapi.json").json()

    route = document["paths"]["/meters/{meter_type}/{meter_id}/quality"]["get"]
    assert route["summary"] == "Report on a meter's data"
    assert "404" in route["responses"]
    measures = document["components"]["schemas"]["QualityAnswer"]["properties"]
    plain = {name for name, field in measures.items() if not field.get("description")}
    assert plain <= {"meter_id", "meter_type", "verdict", "longest_gap", "flat", "clock_jumps"} | {
        "repairs"
    }
