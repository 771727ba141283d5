"""docs/influxdb.md says what the configuration takes: every key, and examples that load."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from energy_forecasting.meters.influx.config import (
    InfluxConfig,
    InfluxForecasts,
    check_influx_values,
)
from energy_forecasting.meters.influx.schema import (
    InfluxFields,
    InfluxMeter,
    InfluxSeries,
    InfluxTags,
)
from tests.conftest import PROJECT_DIR

TEXT = (PROJECT_DIR / "docs" / "influxdb.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize(
    "part",
    [InfluxConfig, InfluxTags, InfluxFields, InfluxMeter, InfluxSeries, InfluxForecasts],
)
def test_every_key_is_described(part: type[BaseModel]) -> None:
    described = {
        word for code in re.findall(r"`([^`\n]+)`", TEXT) for word in re.split(r"\W", code)
    }
    assert set(part.model_fields) <= described


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_configuration(example: str) -> None:
    check_influx_values(json.loads(example), Path("docs/influxdb.md"))


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", TEXT)
    assert len(links) > 5
    for link in links:
        assert (PROJECT_DIR / "docs" / link).exists(), link
