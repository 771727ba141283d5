"""Where InfluxDB is and how its data is named: ``config/influxdb_config.json``.

The variables INFLUXDB_URL, INFLUXDB_TOKEN, INFLUXDB_TOKEN_FILE, INFLUXDB_ORG and
INFLUXDB_BUCKET override the file; INFLUXDB_TOKEN wins over INFLUXDB_TOKEN_FILE. One profile
(unit, time zone, country, reading kind, resolution) serves all meters; per-type profiles are not
read yet, nor is the 1.x and 3.x form with a username, password and database.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import MeterProfile, ReadingKind

_OVERRIDES = {
    "INFLUXDB_URL": "url",
    "INFLUXDB_TOKEN": "token",
    "INFLUXDB_ORG": "org",
    "INFLUXDB_BUCKET": "bucket",
}
_TOKEN_FILE = "INFLUXDB_TOKEN_FILE"  # noqa: S105 - the variable's name, not a token
_FORM_OF_1X = {"username", "password", "database"}


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it must look like http://localhost:8086")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it must hold an address only; credentials belong into token")
    return url.rstrip("/")


def _checked_token(token: SecretStr) -> SecretStr:
    secret = token.get_secret_value()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError("it must be printable ASCII without spaces")
    return token


#: The name of a bucket, measurement, tag or field: not empty, no control character.
Name = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class InfluxTags(_Part):
    """Names of the tags that tell meters apart."""

    meter_id: Name = "meter_id"
    meter_type: Name = "meter_type"


class InfluxFields(_Part):
    """Names of the fields that hold readings."""

    consumption: Name = "consumption"
    temperature: Name | None = Field("temperature", description="None when there is none")


class InfluxForecastTags(_Part):
    """Names of the tags that say for which meter a temperature is forecast; None for all alike."""

    meter_id: Name | None = None
    meter_type: Name | None = None


class InfluxTemperatureForecast(_Part):
    """The measurement that holds forecasts of temperature, apart from measured ones."""

    measurement: Name
    field: Name = "temperature"
    bucket: Name | None = Field(None, description="None for the bucket of the readings")
    tags: InfluxForecastTags = Field(
        InfluxForecastTags(), description="Left out, one forecast serves every meter"
    )
    where: dict[Name, Name] = Field({}, description="Tags and the value that each must have")


class InfluxConfig(_Part):
    """One InfluxDB 2.x bucket; the token shows in no representation."""

    url: Annotated[str, AfterValidator(_checked_url)] = Field(
        description="Address, http://localhost:8086"
    )
    token: Annotated[SecretStr, AfterValidator(_checked_token)] = Field(
        description="API token that may read the bucket"
    )
    org: Name = Field(description="Organization that owns the bucket")
    bucket: Name = Field(description="Bucket that holds the readings")
    measurement: Name = "energy_consumption"
    tags: InfluxTags = InfluxTags()
    fields: InfluxFields = InfluxFields()
    temperature_forecast: InfluxTemperatureForecast | None = Field(
        None, description="None when the database holds no forecast of temperature"
    )
    reading_kind: ReadingKind = ReadingKind.INTERVAL
    unit: str = ""
    timezone: str = "UTC"
    country: str | None = None
    resolution: timedelta | None = Field(
        None, description="Step of the readings, ISO 8601: PT15M; left out: what is found"
    )
    timeout_s: float = Field(30.0, gt=0, le=600, description="Deadline of one call, retries in it")
    verify_tls: bool = Field(default=True, description="Check the server's certificate")
    ca_file: FilePath | None = Field(None, description="Certificates to trust, PEM")

    @property
    def profile(self) -> MeterProfile:
        """What is known of every meter of the bucket."""
        return MeterProfile(
            unit=self.unit,
            timezone=self.timezone,
            country=self.country,
            reading_kind=self.reading_kind,
            resolution=self.resolution,
        )

    @model_validator(mode="after")
    def _profile_is_valid(self) -> Self:
        try:
            _ = self.profile
        except InvalidRequest as error:
            raise ValueError(error.message) from error
        return self


def load_influx_config(path: Path, environment: Mapping[str, str]) -> InfluxConfig | None:
    """Read the file and the variables; None when neither says anything.

    Raises:
        InvalidRequest: the file or a variable cannot be used; the message names the keys and
            the file, never a value.
    """
    overrides = {
        key: environment[name] for name, key in _OVERRIDES.items() if environment.get(name)
    }
    token_file = environment.get(_TOKEN_FILE)
    if token_file and "token" not in overrides:
        overrides["token"] = _read(Path(token_file), f"the file that {_TOKEN_FILE} names").strip()
    if not path.exists() and not overrides:
        return None
    values = {**(_read_json(path) if path.exists() else {}), **overrides}
    if _FORM_OF_1X & values.keys():
        raise _invalid(
            path,
            "username, password and database are the form of InfluxDB 1.x and 3.x; only 2.x is "
            "supported so far: give url, token, org and bucket",
        )
    try:
        return InfluxConfig.model_validate(values)
    except ValidationError as error:
        # The cause is left out on purpose: it may hold the values.
        raise _invalid(path, _what_is_wrong(error)) from None


def _what_is_wrong(error: ValidationError) -> str:
    """Say of each key what is wrong with it, without its value."""
    sentences = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        key = ascii(".".join(map(str, problem["loc"])) or "file").strip("'")
        match problem["type"]:
            case "missing":
                sentences.append(f"{key} is missing")
            case "extra_forbidden":
                sentences.append(f"{key} is not a known key")
            case _:
                sentences.append(f"{key}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(sentences)


def _read_json(path: Path) -> dict[str, object]:
    try:
        values = json.loads(_read(path, "the file"))
    except json.JSONDecodeError as error:
        raise _invalid(
            path, f"line {error.lineno}, column {error.colno} is not JSON ({error.msg})"
        ) from None
    if not isinstance(values, dict):
        raise _invalid(path, "it must hold one JSON object")
    return values


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise _invalid(path, f"{what} is not UTF-8") from None
    except OSError as error:
        raise _invalid(path, f"{what} cannot be read ({error.strerror})") from error


def _invalid(path: Path, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The InfluxDB configuration {path} (with INFLUXDB_* variables) cannot be used: {what}.",
        field="influxdb_config",
        path=str(path),
    )
