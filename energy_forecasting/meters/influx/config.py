"""Where InfluxDB is and how its data is named: ``config/influxdb_config.json``.

Two forms tell how to ask. ``url, token, org, bucket`` is InfluxDB 2.x by Flux. ``url, database``
with ``username, password`` or ``token`` is InfluxQL, which 1.x, 3.x and (with a DBRP mapping) 2.x
understand. The rest says how readings are named, for all meters and, under ``types``, for one meter
type: what stands there replaces what stands above (in ``tags`` and ``fields`` name by name).

INFLUXDB_URL, INFLUXDB_TOKEN, INFLUXDB_ORG, INFLUXDB_BUCKET, INFLUXDB_USERNAME, INFLUXDB_PASSWORD
and INFLUXDB_DATABASE override the file. Token and password may come from the files that
INFLUXDB_TOKEN_FILE and INFLUXDB_PASSWORD_FILE name; a secret that is given directly wins.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    FilePath,
    StringConstraints,
    ValidationError,
    model_validator,
)

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import (
    METER_TYPE_PATTERN,
)
from energy_forecasting.meters.influx.credentials import Address, Password, Token, Username
from energy_forecasting.meters.influx.names import Name
from energy_forecasting.meters.influx.schema import NO_KEYS, InfluxPart, InfluxSchema
from energy_forecasting.meters.influx.tls import checked_ca_file

_OVERRIDES = {
    f"INFLUXDB_{key.upper()}": key
    for key in ("url", "token", "org", "bucket", "username", "password", "database")
}
_SECRETS = ("token", "password")
_FAULTS_TOLD = 5
_SHOWN_CHARACTERS = 40


class Dialect(StrEnum):
    """The language that InfluxDB is asked in."""

    FLUX = "flux"  #: 2.x
    INFLUXQL = "influxql"  #: 1.x, 3.x, and 2.x with a DBRP mapping


_MeterType = Annotated[str, StringConstraints(pattern=METER_TYPE_PATTERN)]


class InfluxForecasts(InfluxPart):
    """Where published forecasts go."""

    measurement: Name = "energy_forecast"
    bucket: Name | None = Field(
        None,
        validation_alias=AliasChoices("bucket", "database"),
        description="Bucket or database; None for that of the readings",
    )


_SCHEMA_KEYS = set(InfluxSchema.model_fields)


class InfluxConfig(InfluxSchema):
    """One InfluxDB; secrets show in no representation."""

    url: Address = Field(description="Address, http://localhost:8086")
    token: Token | None = Field(None, description="API token that may read the bucket or database")
    org: Name | None = Field(None, description="2.x: organization that owns the bucket")
    bucket: Name | None = Field(None, description="2.x: bucket that holds the readings")
    username: Username | None = Field(None, description="1.x: user that may read the database")
    password: Password | None = None
    database: Name | None = Field(None, description="1.x and 3.x: database of the readings")
    retention_policy: Name | None = Field(
        None, description="1.x: of the readings; left out: the database's default"
    )
    types: dict[_MeterType, InfluxSchema] = Field(
        {}, description="Per meter type, what is different from the keys above"
    )
    forecasts: InfluxForecasts = InfluxForecasts()
    timeout_s: float = Field(30.0, gt=0, le=600, description="Deadline of one call, retries in it")
    verify_tls: bool = Field(default=True, description="Check the server's certificate")
    ca_file: Annotated[FilePath, AfterValidator(checked_ca_file)] | None = Field(
        None, description="Certificates to trust, PEM"
    )

    @property
    def dialect(self) -> Dialect:
        """The language that the form of the configuration asks for."""
        return Dialect.FLUX if self.database is None else Dialect.INFLUXQL

    @property
    def container(self) -> str:
        """The bucket or database of the readings."""
        name = self.bucket if self.database is None else self.database
        assert name is not None, "the validator saw to it"  # noqa: S101
        return name

    @model_validator(mode="before")
    @classmethod
    def _types_inherit(cls, values: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Give each type what stands above, but for what it says itself."""
        types = values.get("types") if isinstance(values, dict) else None
        if not isinstance(types, dict):
            return values
        shared = {key: value for key, value in values.items() if key in _SCHEMA_KEYS}
        merged = {
            name: _overridden(shared, own) if isinstance(own, dict) else own
            for name, own in types.items()
        }
        return {**values, "types": merged}

    @model_validator(mode="after")
    def _form_is_complete(self) -> Self:
        given = self.model_dump(exclude_none=True, include=set(_OVERRIDES.values()))
        if "database" in given:
            odd = sorted({"org", "bucket"} & given.keys())
            if odd:
                raise ValueError(
                    f"{' and '.join(odd)} belong to InfluxDB 2.x by Flux, database to InfluxQL "
                    "(1.x, 3.x); give one of the two"
                )
            if ("username" in given) != ("password" in given):
                raise ValueError("username and password go together")
            if {"username", "token"} <= given.keys():
                raise ValueError("give either username and password or a token")
        elif {"username", "password"} & given.keys():
            raise ValueError("database is missing (username and password are for 1.x and 3.x)")
        else:
            missing = [key for key in ("token", "org", "bucket") if key not in given]
            if missing:
                hint = " (or, for 1.x and 3.x, database)" if "bucket" in missing else ""
                raise ValueError("; ".join(f"{key} is missing" for key in missing) + hint)
            if self.retention_policy is not None:
                raise ValueError("retention_policy belongs to a database, not to a bucket")
        return self

    @model_validator(mode="after")
    def _meters_can_be_told_apart(self) -> Self:
        if self.tags.meter_type is None and not self.types:
            raise ValueError(
                "without tags.meter_type say under types which meters there are: "
                '{"types": {"electricity": {}}}'
            )
        used = dict(self.types.items())
        if self.tags.meter_type is not None:
            used["the keys above"] = self
            if self.placed_meters:
                raise ValueError(
                    "meters with measurement, tags or field of their own stand under types"
                )
        for name, schema in used.items():
            meters = (schema.meters or {}).values()
            if schema.tags.meter_id is None and (
                not meters or any(isinstance(each, str) for each in meters)
            ):
                raise ValueError(
                    f"{name}: without tags.meter_id each meter needs measurement, tags or field of "
                    'its own under meters: {"main": {"consumption": "energy_total"}}'
                )
        return self

    @model_validator(mode="after")
    def _tags_and_fields_differ(self) -> Self:
        if self.dialect is Dialect.INFLUXQL:  # which takes the field where both have a name
            schemas: list[InfluxSchema] = [self, *self.types.values()]
            named = [each.column_names for each in schemas]
            named += [apart.column_names for each in schemas for apart in each.series_apart]
            for tags, fields in named:
                if tags & fields:
                    raise ValueError(f"{min(tags & fields)!a} is a tag and a field at once")
        return self


def _overridden(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = {**shared, **own}
    for key in ("tags", "fields"):
        if isinstance(shared.get(key), dict) and isinstance(own.get(key), dict):
            merged[key] = {**shared[key], **own[key]}
    return merged


def load_influx_config(path: Path, environment: Mapping[str, str]) -> InfluxConfig | None:
    """Read the file and the variables; None when neither says anything.

    Raises:
        InvalidRequest: the file or a variable cannot be used; the message names the keys and
            the file, never a value.
    """
    values = read_influx_values(path, environment)
    return None if values is None else check_influx_values(values, path)


def read_influx_values(path: Path, environment: Mapping[str, str]) -> dict[str, object] | None:
    """Read what file and variables give, unchecked; None when neither says anything.

    Raises:
        InvalidRequest: the file, or that of a secret, cannot be read or is no JSON object.
    """
    overrides = influx_variables(path, environment)
    if not path.exists() and not overrides:
        return None
    return {**(_read_json(path) if path.exists() else {}), **overrides}


def influx_variables(path: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Read what the variables give, by key; the path is for the message of an error.

    Raises:
        InvalidRequest: the file of a secret cannot be read.
    """
    values: dict[str, object] = {
        key: environment[name] for name, key in _OVERRIDES.items() if environment.get(name)
    }
    for key in _SECRETS:
        variable = f"INFLUXDB_{key.upper()}_FILE"
        secret_file = environment.get(variable)
        if secret_file and key not in values:
            what = f"the file that {variable} names"
            values[key] = _read(path, Path(secret_file), what).strip()
    return values


def check_influx_values(values: Mapping[str, object], path: Path) -> InfluxConfig:
    """Make a configuration of what was given.

    Raises:
        InvalidRequest: a key is missing, unknown or wrong; the message never holds a value.
    """
    if not _is_unicode(values):
        raise _invalid(path, "it holds half a character, such as \\ud800 alone")
    try:
        return InfluxConfig.model_validate(values)
    except ValidationError as error:
        # The cause is left out on purpose: it may hold the values.
        raise _invalid(path, _what_is_wrong(error)) from None


def _is_unicode(values: Mapping[str, object]) -> bool:
    try:
        json.dumps(values, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def _what_is_wrong(error: ValidationError) -> str:
    """Say of each key what is wrong with it, without its value."""
    sentences = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(_shown(part) for part in problem["loc"] if part not in NO_KEYS)
        match problem["type"]:
            case "missing":
                sentences.append(f"{key} is missing")
            case "extra_forbidden":
                sentences.append(f"{key} is not a known key")
            case _:
                told = problem["msg"].removeprefix("Value error, ")
                sentences.append(f"{key}: {told}" if key else told)
    more = len(sentences) - _FAULTS_TOLD
    return "; ".join(sentences[:_FAULTS_TOLD] + ([f"and {more} more"] if more > 0 else []))


def _shown(key: object) -> str:
    text = str(key)
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    return cut if cut.isprintable() and cut.isascii() else ascii(cut)


def _read_json(path: Path) -> dict[str, object]:
    try:
        values = json.loads(_read(path, path, "the file"))
    except json.JSONDecodeError as error:
        raise _invalid(
            path, f"line {error.lineno}, column {error.colno} is not JSON ({error.msg})"
        ) from None
    except (ValueError, RecursionError):  # a number of thousands of digits
        raise _invalid(path, "it is nested too deeply, or a number in it is too long") from None
    if not isinstance(values, dict):
        raise _invalid(path, "it must hold one JSON object")
    return values


def _read(config: Path, path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise _invalid(config, f"{what} is not UTF-8") from None
    except OSError as error:
        raise _invalid(config, f"{what} cannot be read ({error.strerror})") from error


def _invalid(path: Path, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The InfluxDB configuration {path} (with INFLUXDB_* variables) cannot be used: {what}.",
        field="influxdb_config",
        path=str(path),
        reason=what,
    )
