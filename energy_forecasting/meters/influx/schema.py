"""How the readings of some meters are named in InfluxDB and what they mean: keys of the file.

What could be misread is refused here: a tag that would need two values, two meters under one value,
consumption and temperature in one field.
"""

from collections import Counter
from datetime import timedelta
from typing import Annotated, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import METER_ID_PATTERN, MeterProfile, ReadingKind
from energy_forecasting.meters.influx.names import ColumnName, Name

# How pydantic calls the two forms of a meter.
_TEXT, _OBJECT = "[text]", "[object]"

#: Parts of an error's place that are no keys of the file.
NO_KEYS = {_TEXT, _OBJECT, "[key]"}

_MeterId = Annotated[str, StringConstraints(pattern=METER_ID_PATTERN)]


class InfluxPart(BaseModel):
    """A part of the file: no key that is not known, no value in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class InfluxTags(InfluxPart):
    """Names of the tags that tell meters apart."""

    meter_id: ColumnName | None = Field(
        "meter_id", description="None when no tag tells: each meter then stands under meters"
    )
    meter_type: ColumnName | None = Field(
        "meter_type", description="None when no tag tells: each type then stands under types"
    )


class InfluxFields(InfluxPart):
    """Names of the fields that hold readings."""

    consumption: ColumnName = "consumption"
    temperature: ColumnName | None = Field("temperature", description="None when there is none")


class InfluxMeter(InfluxPart):
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


class InfluxSeriesTags(InfluxPart):
    """Names of the tags that say to which meter a series belongs; None for all alike."""

    meter_id: ColumnName | None = None
    meter_type: ColumnName | None = None


class InfluxSeries(InfluxPart):
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


class InfluxSchema(InfluxPart):
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


def _given(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]


def _refuse_repeated(tags: list[str]) -> None:
    """Raise ValueError when a tag would have to have two values at once."""
    repeated = [tag for tag, times in Counter(tags).items() if times > 1]
    if repeated:
        raise ValueError(f"the tag {repeated[0]!a} is named twice; name each once")
