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
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    FilePath,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import (
    METER_ID_PATTERN,
    METER_TYPE_PATTERN,
    MeterProfile,
    ReadingKind,
)
from energy_forecasting.meters.influx.credentials import Address, Password, Token, Username
from energy_forecasting.meters.influx.names import ColumnName, Name
from energy_forecasting.meters.influx.tls import checked_ca_file

_OVERRIDES = {
    f"INFLUXDB_{key.upper()}": key
    for key in ("url", "token", "org", "bucket", "username", "password", "database")
}
_SECRETS = ("token", "password")
_FAULTS_TOLD = 5
_SHOWN_CHARACTERS = 40

# How pydantic calls the two forms of a meter, and a key rather than its value.
_TEXT, _OBJECT = "[text]", "[object]"
_NO_KEYS = {_TEXT, _OBJECT, "[key]"}


class Dialect(StrEnum):
    """The language that InfluxDB is asked in."""

    FLUX = "flux"  #: 2.x
    INFLUXQL = "influxql"  #: 1.x, 3.x, and 2.x with a DBRP mapping


_MeterId = Annotated[str, StringConstraints(pattern=METER_ID_PATTERN)]
_MeterType = Annotated[str, StringConstraints(pattern=METER_TYPE_PATTERN)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class InfluxTags(_Part):
    """Names of the tags that tell meters apart."""

    meter_id: ColumnName | None = Field(
        "meter_id", description="None when no tag tells: each meter then stands under meters"
    )
    meter_type: ColumnName | None = Field(
        "meter_type", description="None when no tag tells: each type then stands under types"
    )


class InfluxFields(_Part):
    """Names of the fields that hold readings."""

    consumption: ColumnName = "consumption"
    temperature: ColumnName | None = Field("temperature", description="None when there is none")


class InfluxMeter(_Part):
    """One meter that no single tag names; no tag but its own says where it lies."""

    measurement: Name | None = Field(None, description="None: the one of all meters")
    tags: dict[ColumnName, Name] = Field({}, description="Tags and the value that each must have")
    consumption: ColumnName | None = Field(
        None, description="Its field; None: the one of all meters"
    )


def _named(meters: object) -> object:
    """Read a list of ids, or a mapping from ids to values of the tag, as a mapping to meters."""
    if not isinstance(meters, list):
        return meters
    if not all(isinstance(name, str) for name in meters):
        raise ValueError("in a list each meter is an id; give a mapping to say more of one")
    return {name: name for name in meters}


def _form(meter: object) -> str:
    return _TEXT if isinstance(meter, str) else _OBJECT


_Named = Annotated[
    Annotated[Name, Tag(_TEXT)] | Annotated[InfluxMeter, Tag(_OBJECT)], Discriminator(_form)
]


class InfluxSeriesTags(_Part):
    """Names of the tags that say to which meter a series belongs; None for all alike."""

    meter_id: ColumnName | None = None
    meter_type: ColumnName | None = None


class InfluxSeries(_Part):
    """A series that lies elsewhere and serves all meters, or each meter where tags say so."""

    measurement: Name
    field: ColumnName = "temperature"
    bucket: Name | None = Field(
        None,
        validation_alias=AliasChoices("bucket", "database"),
        description="Bucket or database; None for that of the readings",
    )
    tags: InfluxSeriesTags = Field(
        InfluxSeriesTags(), description="Left out, one series serves every meter"
    )
    where: dict[ColumnName, Name] = Field({}, description="Tags and the value that each must have")

    @model_validator(mode="after")
    def _names_each_tag_once(self) -> Self:
        _refuse_repeated(_given(self.tags.meter_type, self.tags.meter_id, *self.where))
        return self

    @property
    def column_names(self) -> tuple[set[str], set[str]]:
        """The tags and the field that questions about it name."""
        return {*_given(self.tags.meter_type, self.tags.meter_id, *self.where)}, {self.field}


class InfluxSchema(_Part):
    """How the readings of some meters are named and what they mean."""

    measurement: Name = "energy_consumption"
    tags: InfluxTags = InfluxTags()
    fields: InfluxFields = InfluxFields()
    where: dict[ColumnName, Name] = Field(
        {}, description="Further tags and the value that each must have"
    )
    meters: Annotated[dict[_MeterId, _Named] | None, BeforeValidator(_named)] = Field(
        None,
        description="The meters, when not every value of the tag is one: a list of ids, or ids "
        "with the value of the tag, or with measurement, tags and field of their own",
    )
    temperature: InfluxSeries | None = Field(
        None, description="Measured temperatures that lie apart from the readings"
    )
    temperature_forecast: InfluxSeries | None = Field(
        None, description="None when the database holds no forecast of temperature"
    )
    reading_kind: ReadingKind = ReadingKind.INTERVAL
    unit: str = Field("", max_length=32)
    timezone: str = "UTC"
    country: str | None = Field(None, max_length=8)
    resolution: timedelta | None = Field(
        None, description="Step of the readings, ISO 8601: PT15M; left out: what is found"
    )

    @property
    def profile(self) -> MeterProfile:
        """What is known of each of these meters."""
        return MeterProfile(
            unit=self.unit,
            timezone=self.timezone,
            country=self.country,
            reading_kind=self.reading_kind,
            resolution=self.resolution,
        )

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        try:
            _ = self.profile
        except InvalidRequest as error:
            raise ValueError(error.message) from error
        return self

    @model_validator(mode="after")
    def _names_each_thing_once(self) -> Self:
        _refuse_repeated(_given(self.tags.meter_type, self.tags.meter_id, *self.where))
        values = [each for each in (self.meters or {}).values() if isinstance(each, str)]
        if len(set(values)) < len(values):
            raise ValueError("two meters have the same value of the tag")
        for meter in self.placed_meters:
            _refuse_repeated([*self.where, *meter.tags])
        if self.fields.temperature in {self.fields.consumption, *self._own_fields}:
            raise ValueError("consumption and temperature are the same field")
        return self

    @property
    def series_apart(self) -> list[InfluxSeries]:
        """The series that lie elsewhere."""
        return [each for each in (self.temperature, self.temperature_forecast) if each]

    @property
    def placed_meters(self) -> list[InfluxMeter]:
        """The meters that no single tag names."""
        return [each for each in (self.meters or {}).values() if isinstance(each, InfluxMeter)]

    @property
    def column_names(self) -> tuple[set[str], set[str]]:
        """The tags and the fields that questions about these meters name."""
        tags = _given(self.tags.meter_type, self.tags.meter_id, *self.where)
        tags += [tag for meter in self.placed_meters for tag in meter.tags]
        fields = _given(self.fields.consumption, self.fields.temperature, *self._own_fields)
        return set(tags), set(fields)

    @property
    def _own_fields(self) -> list[str]:
        return _given(*(meter.consumption for meter in self.placed_meters))


class InfluxForecasts(_Part):
    """Where published forecasts go."""

    measurement: Name = "energy_forecast"
    bucket: Name | None = Field(
        None,
        validation_alias=AliasChoices("bucket", "database"),
        description="Bucket or database; None for that of the readings",
    )


def _given(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]


def _refuse_repeated(tags: list[str]) -> None:
    """Raise ValueError when a tag would have to have two values at once."""
    repeated = [tag for tag, times in Counter(tags).items() if times > 1]
    if repeated:
        raise ValueError(f"the tag {repeated[0]!a} is named twice; name each once")


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
            if any(isinstance(each, InfluxMeter) for each in (self.meters or {}).values()):
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
        key = ".".join(_shown(part) for part in problem["loc"] if part not in _NO_KEYS)
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
