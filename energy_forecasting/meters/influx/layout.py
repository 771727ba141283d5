"""Where the readings of a meter lie, worked out from the configuration: no connection, no text.

A place is a measurement of a bucket (2.x) or database (1.x, 3.x) and the tags that select series
in it. What a configuration does not name has no place: such a meter has no data.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from energy_forecasting.domain.errors import InvalidRequest, NoDataFound
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.schema import InfluxMeter, InfluxSchema, InfluxSeries


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Some series of one measurement."""

    container: str  #: bucket or database
    retention_policy: str | None = None  #: None for the default one, and for a bucket
    measurement: str
    tags: tuple[tuple[str, str], ...] = ()  #: each must have its value

    def narrowed(self, tag: str, value: str) -> "Place":
        """Return the part of it where a tag has a value."""
        return replace(self, tags=(*self.tags, (tag, value)))


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterPlace:
    """Where one meter's readings lie."""

    meter: Meter
    profile: MeterProfile
    readings: Place
    consumption: str  #: field
    temperature: str | None  #: field beside it; None when there is none
    temperature_apart: "SeriesPlace | None"  #: temperatures that lie elsewhere
    temperature_forecast: "SeriesPlace | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesPlace:
    """Where one field of some series lies."""

    place: Place
    field: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MeterGroup:
    """Meters that one question lists: each value of a tag is one."""

    place: Place
    consumption: str
    profile: MeterProfile
    id_tag: str
    type_tag: str | None  #: None when all are of ``meter_type``
    meter_type: str | None = None
    ids: dict[str, str] | None = field(default=None)  #: tag's value to id; None: they are the same
    other_types: frozenset[str] = frozenset()  #: named by the type's tag, but placed elsewhere

    def meter(self, type_value: str | None, id_value: str) -> Meter | None:
        """Return the meter that the values of two tags name; None when they name none."""
        meter_type = self.meter_type if type_value is None else type_value
        meter_id = id_value if self.ids is None else self.ids.get(id_value)
        if meter_id is None or meter_type is None or meter_type in self.other_types:
            return None
        try:
            return Meter(meter_type=meter_type, meter_id=meter_id)
        except InvalidRequest:
            return None


class Layout:
    """The configured places."""

    def __init__(self, config: InfluxConfig) -> None:
        self._config = config

    def of(self, meter: Meter) -> MeterPlace:
        """Return where a meter's readings lie.

        Raises:
            NoDataFound: the configuration has no place for such a meter.
        """
        schema = self._schema(meter.meter_type)
        if schema is None:
            raise self._no_place(meter, f"types names {', '.join(sorted(self._config.types))} only")
        named = None if schema.meters is None else schema.meters.get(meter.meter_id)
        if schema.meters is not None and named is None:
            raise self._no_place(meter, "it is not among the meters of its type")
        return self._place(schema, meter, named)

    def groups(self, meter_type: str | None = None) -> Iterator[MeterGroup]:
        """Yield what has to be asked to list the meters that one tag names."""
        for name, schema in self._schemas(meter_type):
            if any(not isinstance(each, str) for each in (schema.meters or {}).values()):
                continue
            place, type_tag = self._container(schema), schema.tags.meter_type
            if type_tag is not None and name is not None:
                place, type_tag = place.narrowed(type_tag, name), None
            assert schema.tags.meter_id is not None, "the validator saw to it"  # noqa: S101
            yield MeterGroup(
                place=place,
                consumption=schema.fields.consumption,
                profile=schema.profile,
                id_tag=schema.tags.meter_id,
                type_tag=type_tag,
                meter_type=name,
                ids=None
                if schema.meters is None
                else {str(value): meter_id for meter_id, value in schema.meters.items()},
                other_types=frozenset(self._config.types) if name is None else frozenset(),
            )

    def single_meters(self, meter_type: str | None = None) -> Iterator[MeterPlace]:
        """Yield the meters that have tags or a field of their own and are asked one by one."""
        for name, schema in self._schemas(meter_type):
            meters = schema.meters or {}
            if name is not None and any(not isinstance(each, str) for each in meters.values()):
                for meter_id in sorted(meters):
                    meter = Meter(meter_type=name, meter_id=meter_id)
                    yield self._place(schema, meter, meters[meter_id])

    def anywhere(self) -> Place:
        """Return one of the places, to see whether the server may be asked."""
        _, schema = next(self._schemas(None))
        return self._container(schema)

    def _schemas(self, meter_type: str | None) -> Iterator[tuple[str | None, InfluxSchema]]:
        """Yield the schemas that may hold a type, with the one type that they are for."""
        types = self._config.types
        if meter_type is None:
            yield from types.items()
            if self._config.tags.meter_type is not None:
                yield None, self._config
        else:
            schema = self._schema(meter_type)
            if schema is not None:
                yield meter_type, schema

    def _schema(self, meter_type: str) -> InfluxSchema | None:
        if meter_type in self._config.types:
            return self._config.types[meter_type]
        return self._config if self._config.tags.meter_type is not None else None

    def _container(self, schema: InfluxSchema) -> Place:
        return Place(
            container=self._config.container,
            retention_policy=self._config.retention_policy,
            measurement=schema.measurement,
            tags=tuple(schema.where.items()),
        )

    def _place(
        self, schema: InfluxSchema, meter: Meter, named: str | InfluxMeter | None
    ) -> MeterPlace:
        place, consumption = self._container(schema), schema.fields.consumption
        if isinstance(named, InfluxMeter):
            own = tuple(named.tags.items())
            measurement = named.measurement or place.measurement
            place = replace(place, measurement=measurement, tags=(*place.tags, *own))
            consumption = named.consumption or consumption
        else:
            if schema.tags.meter_type is not None:
                place = place.narrowed(schema.tags.meter_type, meter.meter_type)
            if schema.tags.meter_id is not None:
                place = place.narrowed(schema.tags.meter_id, named or meter.meter_id)
        return MeterPlace(
            meter=meter,
            profile=schema.profile,
            readings=place,
            consumption=consumption,
            temperature=None if schema.temperature else schema.fields.temperature,
            temperature_apart=self._series(schema.temperature, meter),
            temperature_forecast=self._series(schema.temperature_forecast, meter),
        )

    def _series(self, source: InfluxSeries | None, meter: Meter) -> SeriesPlace | None:
        if source is None:
            return None
        named = {source.tags.meter_type: meter.meter_type, source.tags.meter_id: meter.meter_id}
        tags = {tag: value for tag, value in named.items() if tag is not None} | source.where
        elsewhere = source.bucket is not None
        place = Place(
            container=source.bucket or self._config.container,
            retention_policy=None if elsewhere else self._config.retention_policy,
            measurement=source.measurement,
            tags=tuple(tags.items()),
        )
        return SeriesPlace(place=place, field=source.field)

    def _no_place(self, meter: Meter, why: str) -> NoDataFound:
        return NoDataFound(
            f"Meter {meter} has no place in the InfluxDB configuration: {why}; add it there, or "
            "run python -m energy_forecasting doctor to see what the database holds.",
            meter_type=meter.meter_type,
            meter_id=meter.meter_id,
        )
