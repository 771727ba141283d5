"""The InfluxDB configuration: file, variables, and errors that help without telling secrets."""

import json
import os
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import MeterProfile, ReadingKind
from energy_forecasting.meters.influx.config import Dialect, InfluxConfig, load_influx_config
from energy_forecasting.meters.influx.schema import InfluxMeter

URL = "http://db:8086"
FLUX = {"url": URL, "token": "s3cret-token", "org": "o", "bucket": "b"}
INFLUXQL = {"url": URL, "username": "u", "password": "s3cret-word", "database": "d"}
EXAMPLE = Path(__file__).resolve().parents[4] / "config" / "influxdb_config.example.json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "influxdb_config.json"


def loaded(path: Path, environment: dict[str, str] | None = None) -> InfluxConfig:
    config = load_influx_config(path, environment or {})
    assert config is not None
    return config


def config_of(path: Path, values: dict[str, Any]) -> InfluxConfig:
    path.write_text(json.dumps(values))
    return loaded(path)


def refusal(path: Path, values: object, environment: dict[str, str] | None = None) -> str:
    """Return the message of a file that cannot be used; it must be fit to be shown."""
    path.write_text(json.dumps(values))
    with pytest.raises(InvalidRequest) as raised:
        load_influx_config(path, environment or {})
    message = raised.value.message
    assert str(path) in message
    assert message.isprintable()
    assert len(message) < 1500
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    assert "s3cret" not in str(raised.value.details)
    return message


def secret(config: InfluxConfig) -> str | None:
    given = config.token or config.password
    return None if given is None else given.get_secret_value()


class TestFlux:
    def test_four_keys_are_enough(self, path: Path) -> None:
        config = config_of(path, {**FLUX, "url": f"{URL}/"})
        assert (config.dialect, config.url, config.container) == (Dialect.FLUX, URL, "b")
        assert secret(config) == "s3cret-token"
        assert config.measurement == "energy_consumption"
        assert config.fields.temperature == "temperature"
        assert config.profile == MeterProfile()

    def test_the_example_is_valid(self) -> None:
        config = loaded(EXAMPLE)
        assert config.reading_kind is ReadingKind.INTERVAL
        assert config.profile.resolution == timedelta(hours=1)
        assert config.profile.country == "IT"

    @pytest.mark.parametrize("key", ["token", "org", "bucket"])
    def test_a_missing_key_is_named(self, path: Path, key: str) -> None:
        given = {name: value for name, value in FLUX.items() if name != key}
        assert f"{key} is missing" in refusal(path, given)

    def test_the_other_form_is_offered_where_the_bucket_is_missing(self, path: Path) -> None:
        message = refusal(path, {"url": URL})
        assert "token is missing; org is missing; bucket is missing (or, for 1.x and 3.x" in message

    def test_a_retention_policy_belongs_to_a_database(self, path: Path) -> None:
        assert "retention_policy" in refusal(path, {**FLUX, "retention_policy": "autogen"})


class TestInfluxql:
    def test_a_user_and_a_database_are_enough(self, path: Path) -> None:
        config = config_of(path, {**INFLUXQL, "retention_policy": "year"})
        assert (config.dialect, config.container) == (Dialect.INFLUXQL, "d")
        assert (config.username, secret(config)) == ("u", "s3cret-word")
        assert config.retention_policy == "year"

    def test_a_token_may_stand_for_the_user(self, path: Path) -> None:
        config = config_of(path, {"url": URL, "token": "s3cret-token", "database": "d"})
        assert (config.dialect, secret(config)) == (Dialect.INFLUXQL, "s3cret-token")

    def test_a_server_without_authentication_needs_neither(self, path: Path) -> None:
        config = config_of(path, {"url": URL, "database": "d"})
        assert (config.dialect, secret(config)) == (Dialect.INFLUXQL, None)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"password": None}, "username and password go together"),
            ({"username": None}, "username and password go together"),
            ({"token": "s3cret-token"}, "either username and password or a token"),
            ({"database": None}, "database is missing"),
            ({"org": "o"}, "org belong"),
            ({"org": "o", "bucket": "b"}, "bucket and org belong"),
            ({"username": "a:b"}, "username: it must not hold a colon"),
            ({"password": ""}, "password"),
            ({"password": "s3cret" * 100}, "password"),
            ({"database": ""}, "database: it must not be empty"),
        ],
    )
    def test_a_mixed_form_is_told(self, path: Path, change: dict[str, object], told: str) -> None:
        assert told in refusal(path, {**INFLUXQL, **change})


class TestVariables:
    def test_without_file_and_variables_influxdb_is_not_configured(self, path: Path) -> None:
        assert load_influx_config(path, {"PATH": "/bin", "INFLUXDB_URL": ""}) is None

    def test_the_real_environment_is_an_environment(self, path: Path) -> None:
        quiet = {name: value for name, value in os.environ.items() if "INFLUXDB" not in name}
        assert load_influx_config(path, quiet) is None

    def test_they_override_the_file(self, path: Path) -> None:
        # Given
        path.write_text(json.dumps(FLUX))
        environment = {
            "INFLUXDB_URL": "https://cloud",
            "INFLUXDB_TOKEN": "other",
            "INFLUXDB_ORG": "org2",
            "INFLUXDB_BUCKET": "bucket2",
        }
        # When
        config = loaded(path, environment)
        # Then
        shown = (config.url, secret(config), config.org, config.bucket)
        assert shown == ("https://cloud", "other", "org2", "bucket2")

    def test_an_empty_one_says_nothing(self, path: Path) -> None:
        path.write_text(json.dumps(FLUX))
        assert loaded(path, {"INFLUXDB_ORG": "", "INFLUXDB_DATABASE": ""}).org == "o"

    def test_they_are_enough_for_a_database(self, path: Path) -> None:
        environment = {
            "INFLUXDB_URL": URL,
            "INFLUXDB_USERNAME": "u",
            "INFLUXDB_PASSWORD": "s3cret word",
            "INFLUXDB_DATABASE": "d",
        }
        config = loaded(path, environment)
        assert (config.dialect, config.username, secret(config)) == (
            Dialect.INFLUXQL,
            "u",
            "s3cret word",
        )

    @pytest.mark.parametrize(
        ("key", "rest"),
        [
            ("TOKEN", {"INFLUXDB_ORG": "o", "INFLUXDB_BUCKET": "b"}),
            ("PASSWORD", {"INFLUXDB_USERNAME": "u", "INFLUXDB_DATABASE": "d"}),
        ],
    )
    def test_a_secret_may_come_from_a_file_and_one_given_directly_wins(
        self, path: Path, tmp_path: Path, key: str, rest: dict[str, str]
    ) -> None:
        # Given
        (tmp_path / "secret").write_text("from-file\n")
        environment = {
            "INFLUXDB_URL": URL,
            f"INFLUXDB_{key}_FILE": str(tmp_path / "secret"),
            **rest,
        }
        # When, Then
        assert secret(loaded(path, environment)) == "from-file"
        both = {**environment, f"INFLUXDB_{key}": "direct"}
        assert secret(loaded(path, both)) == "direct"

    @pytest.mark.parametrize("key", ["TOKEN", "PASSWORD"])
    def test_a_secret_file_wins_over_the_configuration(
        self, path: Path, tmp_path: Path, key: str
    ) -> None:
        (tmp_path / "secret").write_text("from-file")
        path.write_text(json.dumps(FLUX if key == "TOKEN" else INFLUXQL))
        variable = {f"INFLUXDB_{key}_FILE": str(tmp_path / "secret")}
        assert secret(loaded(path, variable)) == "from-file"

    @pytest.mark.parametrize("key", ["TOKEN", "PASSWORD"])
    @pytest.mark.parametrize(
        ("content", "told"),
        [(None, "cannot be read"), (b"s3cret\xff", "not UTF-8"), (b"\n", "{key}")],
    )
    def test_a_secret_file_of_no_use_names_the_variable(
        self, path: Path, tmp_path: Path, key: str, content: bytes | None, told: str
    ) -> None:
        # Given
        file = tmp_path / "secret"
        if content is not None:
            file.write_bytes(content)
        values = {"url": URL, **({"org": "o", "bucket": "b"} if key == "TOKEN" else {})}
        # When
        message = refusal(path, values, {f"INFLUXDB_{key}_FILE": str(file)})
        # Then
        assert told.format(key=key.lower()) in message
        assert f"INFLUXDB_{key}_FILE" in message or content == b"\n"

    def test_a_folder_is_no_secret_file(self, path: Path, tmp_path: Path) -> None:
        message = refusal(path, FLUX, {"INFLUXDB_TOKEN_FILE": str(tmp_path)})
        assert "INFLUXDB_TOKEN_FILE" in message

    def test_a_variable_that_makes_the_form_mixed_is_told(self, path: Path) -> None:
        assert "bucket and org belong" in refusal(path, FLUX, {"INFLUXDB_DATABASE": "d"})


class TestWrongValues:
    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"bucket": None}, "bucket is missing"),
            ({"buckt": "b"}, "buckt is not a known key"),
            ({"tags": {"meter": "m"}}, "tags.meter is not a known key"),
            ({"tags": ["meter"]}, "tags: "),
            ({"fields": {"consumption": ""}}, "fields.consumption: it must not be empty"),
            ({"measurement": "a\nb"}, "measurement: it must not hold line breaks"),
            ({"measurement": "a\u2028b"}, "measurement: it must not hold line breaks"),
            ({"measurement": "a\ud800b"}, "half a character"),
            ({"\udfff": "a"}, "half a character"),
            ({"unit": "\udfff"}, "half a character"),
            ({"measurement": "m" * 257}, "measurement: it is longer than 256 characters"),
            ({"measurement": 5}, "measurement: "),
            ({"token": "s3cret-token two"}, "token: "),
            ({"token": "s3cret-token\r\nX-Evil: 1"}, "token: "),
            ({"token": "s3cret-tök"}, "token: "),
            ({"token": ""}, "token: "),
            ({"token": ["s3cret"]}, "token: "),
            ({"reading_kind": "s3cret-token"}, "reading_kind: "),
            ({"timezone": "Europe/Rom"}, "Europe/Rom"),
            ({"timezone": "../../etc/passwd"}, "IANA"),
            ({"timezone": "a\nb" * 5000}, "IANA"),
            ({"country": "I" * 9}, "country: "),
            ({"timeout_s": 0}, "timeout_s: "),
            ({"timeout_s": float("nan")}, "timeout_s: "),
            ({"timeout_s": float("inf")}, "timeout_s: "),
            ({"timeout_s": "soon"}, "timeout_s: "),
            ({"resolution": "PT0S"}, "resolution"),
            ({"resolution": "PT7M"}, "resolution"),
            ({"verify_tls": "s3cret"}, "verify_tls: "),
            ({"ca_file": "/no/such/file.pem"}, "ca_file: "),
            ({"where": {"site": ""}}, "where.site: it must not be empty"),
            ({"where": {"": "x"}}, "it must not be empty"),
            ({"where": {"site": 1}}, "where.site: "),
            ({"temperature": {"field": "t2m"}}, "temperature.measurement is missing"),
            ({"temperature": {"measurement": "w", "where": {"a": "\x00"}}}, "temperature.where.a:"),
            ({"temperature_forecast": "weather"}, "temperature_forecast: "),
            ({"forecasts": {"measurement": ""}}, "forecasts.measurement: "),
        ],
    )
    def test_a_wrong_value_names_its_key(
        self, path: Path, change: dict[str, object], named: str
    ) -> None:
        assert named in refusal(path, {**FLUX, **change})

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "db:8086",
            "ftp://db",
            "http://",
            "http:///path",
            "http://u:s3cret@db",
            "http://s3cret@db",
            "http://:s3cret@db",
            "http://@db",
            "http://u:s3cret@[::1",
            "http://u:s3cret@ho\u2100st",
            "http://db?token=s3cret",
            "http://db#s3cret",
            "http://db:s3cret",
            "http://db:99999",
            "http://db\r\nX-Evil: s3cret",
            "http://d b",
            "http://döb",
        ],
    )
    def test_what_is_no_plain_address_is_refused(self, path: Path, url: str) -> None:
        assert "url: " in refusal(path, {**FLUX, "url": url})

    @pytest.mark.parametrize("url", ["http://db", "https://db:8086", "http://[::1]:8086/influx"])
    def test_a_plain_address_is_taken(self, path: Path, url: str) -> None:
        assert config_of(path, {**FLUX, "url": url}).url == url

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b'{"url": "http://db",\n "token" "x"}', "line 2, column 10"),
            (b"[]", "one JSON object"),
            (b"null", "one JSON object"),
            (b"", "line 1"),
            (b'{"url": "\xff"}', "UTF-8"),
            (b'{"a":' * 100_000, "nested too deeply"),
            (b'{"timeout_s": ' + b"1" * 5000 + b"}", "too long"),
        ],
    )
    def test_a_file_that_is_no_json_tells_where(
        self, path: Path, content: bytes, told: str
    ) -> None:
        path.write_bytes(content)
        with pytest.raises(InvalidRequest, match=told):
            load_influx_config(path, {})

    def test_a_folder_is_no_configuration(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequest, match="cannot be read"):
            load_influx_config(tmp_path, {})

    def test_a_byte_order_mark_does_no_harm(self, path: Path) -> None:
        path.write_text("\ufeff" + json.dumps(FLUX), encoding="utf-8")
        assert loaded(path).org == "o"

    @pytest.mark.parametrize("key", ["x" * 10_000, "a\nb", "\x1b[31m", "\u202e", ""])
    def test_a_strange_key_is_shown_escaped_and_cut(self, path: Path, key: str) -> None:
        assert "is not a known key" in refusal(path, {**FLUX, key: 1})

    def test_a_hundred_faults_are_counted(self, path: Path) -> None:
        message = refusal(path, {**FLUX, **{f"key{number}": 1 for number in range(100)}})
        assert "key4 is not a known key; and 95 more" in message


class TestNames:
    @pytest.mark.parametrize(
        "name", ["time", "Time", "TIME", "_time", "_field", "_tagKey", "_seriesKey", "_name"]
    )
    @pytest.mark.parametrize(
        "change",
        [
            lambda name: {"tags": {"meter_id": name}},
            lambda name: {"tags": {"meter_type": name}},
            lambda name: {"fields": {"consumption": name}},
            lambda name: {"fields": {"temperature": name}},
            lambda name: {"where": {name: "x"}},
            lambda name: {"temperature": {"measurement": "w", "field": name}},
            lambda name: {"temperature": {"measurement": "w", "tags": {"meter_id": name}}},
            lambda name: {"types": {"gas": {"meters": {"a": {"tags": {name: "x"}}}}}},
            lambda name: {"types": {"gas": {"meters": {"a": {"consumption": name}}}}},
        ],
    )
    def test_a_column_is_not_called_as_influxdb_calls_its_own(
        self, path: Path, change: Callable[[str], dict[str, object]], name: str
    ) -> None:
        assert "InfluxDB keeps this name for itself" in refusal(path, {**FLUX, **change(name)})

    def test_a_measurement_or_the_value_of_a_tag_may_be(self, path: Path) -> None:
        config = config_of(path, {**FLUX, "measurement": "time", "where": {"site": "_field"}})
        assert (config.measurement, config.where) == ("time", {"site": "_field"})

    @pytest.mark.parametrize(
        "change",
        [
            {"tags": {"meter_id": "m", "meter_type": "m"}},
            {"where": {"meter_id": "a"}},
            {"where": {"meter_type": "a"}},
            {"types": {"gas": {"where": {"meter_id": "a"}}}},
            {"where": {"s": "1"}, "types": {"gas": {"meters": {"a": {"tags": {"s": "2"}}}}}},
            {
                "temperature": {
                    "measurement": "w",
                    "tags": {"meter_id": "station"},
                    "where": {"station": "roof"},
                }
            },
        ],
    )
    def test_a_tag_has_one_value(self, path: Path, change: dict[str, object]) -> None:
        assert "is named twice" in refusal(path, {**FLUX, **change})

    @pytest.mark.parametrize(
        "change",
        [
            {"fields": {"consumption": "v", "temperature": "v"}},
            {"types": {"gas": {"meters": {"a": {"consumption": "temperature"}}}}},
        ],
    )
    def test_consumption_is_no_temperature(self, path: Path, change: dict[str, object]) -> None:
        assert "the same field" in refusal(path, {**FLUX, **change})

    @pytest.mark.parametrize(
        "change",
        [
            {"fields": {"consumption": "meter_id"}},
            {"where": {"consumption": "x"}},
            {"types": {"gas": {"where": {"consumption": "x"}}}},
            {"types": {"gas": {"meters": {"a": {"tags": {"t": "x"}, "consumption": "t"}}}}},
            {"temperature": {"measurement": "w", "field": "f", "where": {"f": "x"}}},
        ],
    )
    def test_in_influxql_one_name_is_not_a_tag_and_a_field(
        self, path: Path, change: dict[str, object]
    ) -> None:
        assert "a tag and a field at once" in refusal(path, {**INFLUXQL, **change})
        config_of(path, {**FLUX, **change})


class TestTypes:
    def test_a_type_replaces_what_stands_above(self, path: Path) -> None:
        # Given
        values = {
            **FLUX,
            "measurement": "all",
            "unit": "kWh",
            "tags": {"meter_id": "id", "meter_type": "kind"},
            "where": {"site": "rome"},
            "resolution": "PT1H",
            "types": {
                "water": {
                    "measurement": "wells",
                    "unit": "m3",
                    "tags": {"meter_id": "well"},
                    "fields": {"temperature": None},
                    "where": {},
                },
                "gas": {"reading_kind": "cumulative"},
            },
        }
        # When
        config = config_of(path, values)
        water, gas = config.types["water"], config.types["gas"]
        # Then
        assert (water.measurement, water.unit, water.where) == ("wells", "m3", {})
        assert (water.tags.meter_id, water.tags.meter_type) == ("well", "kind")
        assert (water.fields.consumption, water.fields.temperature) == ("consumption", None)
        assert water.profile.resolution == timedelta(hours=1)
        assert (gas.measurement, gas.unit, gas.where) == ("all", "kWh", {"site": "rome"})
        assert gas.reading_kind is ReadingKind.CUMULATIVE
        assert config.reading_kind is ReadingKind.INTERVAL

    @pytest.mark.parametrize(
        ("own", "told"),
        [
            ({"tags": {"meter": "x"}}, "types.water.tags.meter is not a known key"),
            ({"tags": {"meter_id": ""}}, "types.water.tags.meter_id: it must not be empty"),
            ({"tags": 5}, "types.water.tags: "),
            ({"fields": {"consumption": "a\nb"}}, "types.water.fields.consumption: "),
            ({"measurment": "x"}, "types.water.measurment is not a known key"),
            ({"url": "http://other"}, "types.water.url is not a known key"),
            ({"token": "s3cret"}, "types.water.token is not a known key"),
            ({"types": {}}, "types.water.types is not a known key"),
            ({"timezone": "Mars/Base"}, "types.water: timezone 'Mars/Base'"),
            ({"meters": {"a/b": "x"}}, "types.water.meters.a/b: "),
            ({"meters": {"a": ""}}, "types.water.meters.a: it must not be empty"),
            ({"meters": {"a": 5}}, "types.water.meters.a: "),
            ({"meters": {"a": {"tag": {}}}}, "types.water.meters.a.tag is not a known key"),
            ({"meters": {"a": {"tags": {"b": ""}}}}, "types.water.meters.a.tags.b: "),
            ({"meters": ["a/b"]}, "types.water.meters.a/b: "),
            ({"meters": [{"a": "b"}]}, "types.water.meters: in a list each meter is an id"),
            ({"meters": [["a"]]}, "types.water.meters: in a list each meter is an id"),
            ({"meters": "a"}, "types.water.meters: "),
            ({"meters": {"a": "x", "b": "x"}}, "types.water: two meters have the same value"),
            ("wells", "types.water: "),
        ],
    )
    def test_an_error_within_a_type_names_the_way_to_it(
        self, path: Path, own: object, told: str
    ) -> None:
        assert told in refusal(path, {**FLUX, "types": {"water": own}})

    @pytest.mark.parametrize("types", ["water", ["water"], {"Water!": {}}, {"": {}}])
    def test_types_are_a_mapping_from_types(self, path: Path, types: object) -> None:
        assert "types" in refusal(path, {**FLUX, "types": types})

    def test_meters_may_be_a_list_or_a_mapping(self, path: Path) -> None:
        # Given
        types = {
            "water": {"meters": ["a", "b"]},
            "gas": {"meters": {"a": "sensor.gas a"}},
            "heat": {"meters": {"main": {"tags": {"entity": "x"}, "consumption": "total"}}},
        }
        # When
        config = config_of(path, {**FLUX, "types": types})
        # Then
        assert config.types["water"].meters == {"a": "a", "b": "b"}
        assert config.types["gas"].meters == {"a": "sensor.gas a"}
        assert config.types["heat"].meters == {
            "main": InfluxMeter(tags={"entity": "x"}, consumption="total")
        }

    def test_without_a_tag_for_the_type_the_types_are_named(self, path: Path) -> None:
        values = {**FLUX, "tags": {"meter_type": None}}
        assert "without tags.meter_type say under types" in refusal(path, values)
        config_of(path, {**values, "types": {"electricity": {}}})

    def test_without_a_tag_for_the_id_each_meter_is_placed(self, path: Path) -> None:
        values = {**FLUX, "tags": {"meter_type": None, "meter_id": None}}
        incomplete: list[dict[str, object]] = [
            {},
            {"meters": ["main"]},
            {"meters": {}},
            {"meters": {"main": "x"}},
        ]
        for schema in incomplete:
            message = refusal(path, {**values, "types": {"electricity": schema}})
            assert "electricity: without tags.meter_id" in message
        placed = {"electricity": {"meters": {"main": {"consumption": "total"}}}}
        config_of(path, {**values, "types": placed})

    def test_without_a_tag_for_the_id_but_one_for_the_type_other_types_have_no_place(
        self, path: Path
    ) -> None:
        types = {"electricity": {"meters": {"main": {"consumption": "total"}}}}
        values = {**FLUX, "tags": {"meter_id": None}, "types": types}
        assert "the keys above: without tags.meter_id" in refusal(path, values)

    def test_placed_meters_stand_under_their_type(self, path: Path) -> None:
        values = {**FLUX, "meters": {"main": {"consumption": "total"}}}
        assert "stand under types" in refusal(path, values)


def test_no_secret_shows_in_a_representation(path: Path) -> None:
    for values in (FLUX, INFLUXQL):
        config = config_of(path, values)
        dumped = (config.model_dump(), config.model_dump_json(), config.types)
        for shown in (repr(config), str(config), *map(str, dumped)):
            assert "s3cret" not in shown


def test_a_file_without_certificates_is_no_ca_file(path: Path, tmp_path: Path) -> None:
    for content in ("", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        (tmp_path / "ca.pem").write_text(content)
        message = refusal(path, {**FLUX, "ca_file": str(tmp_path / "ca.pem")})
        assert "ca_file: it must hold certificates in PEM format" in message
