"""The InfluxDB configuration: file, variables, and errors that help without telling secrets."""

import json
import os
import traceback
from datetime import timedelta
from pathlib import Path

import pytest

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import MeterProfile, ReadingKind
from energy_forecasting.meters.influx.config import InfluxConfig, load_influx_config

MINIMAL = {"url": "http://db:8086", "token": "s3cret-token", "org": "o", "bucket": "b"}
EXAMPLE = Path(__file__).resolve().parents[3] / "config" / "influxdb_config.example.json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "influxdb_config.json"


def loaded(path: Path, environment: dict[str, str] | None = None) -> InfluxConfig:
    config = load_influx_config(path, environment or {})
    assert config is not None
    return config


def test_without_file_and_variables_influxdb_is_not_configured(path: Path) -> None:
    assert load_influx_config(path, {"PATH": "/bin", "INFLUXDB_URL": ""}) is None


def test_four_keys_are_enough(path: Path) -> None:
    # Given
    path.write_text(json.dumps({**MINIMAL, "url": "http://db:8086/"}))
    # When
    config = loaded(path)
    # Then
    assert config.url == "http://db:8086"
    assert config.token.get_secret_value() == "s3cret-token"
    assert config.measurement == "energy_consumption"
    assert config.fields.temperature == "temperature"
    assert config.profile == MeterProfile()


def test_the_example_is_valid() -> None:
    config = loaded(EXAMPLE)
    assert config.reading_kind is ReadingKind.INTERVAL
    assert config.profile.resolution == timedelta(hours=1)
    assert config.profile.country == "IT"


def test_variables_override_the_file(path: Path) -> None:
    # Given
    path.write_text(json.dumps(MINIMAL))
    environment = {
        "INFLUXDB_URL": "https://cloud",
        "INFLUXDB_TOKEN": "other",
        "INFLUXDB_ORG": "org2",
        "INFLUXDB_BUCKET": "bucket2",
    }
    # When
    config = loaded(path, environment)
    # Then
    shown = (config.url, config.token.get_secret_value(), config.org, config.bucket)
    assert shown == ("https://cloud", "other", "org2", "bucket2")


def test_variables_are_enough_and_the_token_may_come_from_a_file(
    path: Path, tmp_path: Path
) -> None:
    # Given
    (tmp_path / "token").write_text("from-file\n")
    environment = {
        "INFLUXDB_URL": "http://db",
        "INFLUXDB_TOKEN_FILE": str(tmp_path / "token"),
        "INFLUXDB_ORG": "o",
        "INFLUXDB_BUCKET": "b",
    }
    # When, Then
    assert loaded(path, environment).token.get_secret_value() == "from-file"
    both = {**environment, "INFLUXDB_TOKEN": "direct"}
    assert loaded(path, both).token.get_secret_value() == "direct"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bucket": None}, "bucket"),
        ({"buckt": "b"}, "buckt is not a known key"),
        ({"tags": {"meter": "m"}}, "tags.meter is not a known key"),
        ({"fields": {"consumption": ""}}, "fields.consumption"),
        ({"measurement": "a\nb"}, "measurement"),
        ({"url": "db:8086"}, "http://localhost:8086"),
        ({"url": "http://user:s3cret-token@db"}, "credentials"),
        ({"token": "s3cret-token two"}, "token"),
        ({"token": "s3cret-token\r\nX-Evil: 1"}, "token"),
        ({"token": ""}, "token"),
        ({"reading_kind": "s3cret-token"}, "reading_kind"),
        ({"timezone": "Europe/Rom"}, "Europe/Rom"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"resolution": "PT0S"}, "resolution"),
        ({"resolution": "PT7M"}, "resolution"),
        ({"ca_file": "/no/such/file.pem"}, "ca_file"),
    ],
)
def test_a_wrong_value_names_the_key_and_the_file_but_never_the_token(
    path: Path, change: dict[str, object], named: str
) -> None:
    # Given
    path.write_text(json.dumps({**MINIMAL, **change}))
    # When
    with pytest.raises(InvalidRequest) as raised:
        load_influx_config(path, {})
    # Then
    assert named in raised.value.message
    assert str(path) in raised.value.message
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    assert "\n" not in raised.value.message


def test_a_missing_key_is_named(path: Path) -> None:
    with pytest.raises(InvalidRequest, match="token is missing; org is missing; bucket is missing"):
        load_influx_config(path, {"INFLUXDB_URL": "http://db"})


@pytest.mark.parametrize("key", ["username", "password", "database"])
def test_the_form_of_1x_and_3x_is_told_apart(path: Path, key: str) -> None:
    path.write_text(json.dumps({"url": "http://db", key: "s3cret"}))
    with pytest.raises(InvalidRequest, match=r"only 2\.x is supported so far") as raised:
        load_influx_config(path, {})
    assert "s3cret" not in raised.value.message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"url": "http://db",\n "token" "x"}', "line 2, column 10"),
        (b"[]", "one JSON object"),
        (b"", "line 1"),
        (b'{"url": "\xff"}', "UTF-8"),
    ],
)
def test_a_file_that_is_no_json_tells_where(path: Path, content: bytes, told: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=told):
        load_influx_config(path, {})


def test_a_token_file_that_cannot_be_read_names_the_variable(path: Path, tmp_path: Path) -> None:
    environment = {"INFLUXDB_TOKEN_FILE": str(tmp_path / "nothing")}
    with pytest.raises(InvalidRequest, match="INFLUXDB_TOKEN_FILE"):
        load_influx_config(path, environment)


def test_the_token_shows_in_no_representation(path: Path) -> None:
    path.write_text(json.dumps(MINIMAL))
    config = loaded(path)
    for shown in (repr(config), str(config), str(config.model_dump()), config.model_dump_json()):
        assert "s3cret" not in shown


def test_a_byte_order_mark_does_no_harm(path: Path) -> None:
    path.write_text("\ufeff" + json.dumps(MINIMAL), encoding="utf-8")
    assert loaded(path).org == "o"


def test_the_real_environment_is_an_environment(path: Path) -> None:
    quiet = {name: value for name, value in os.environ.items() if "INFLUXDB" not in name}
    assert load_influx_config(path, quiet) is None
