"""The names of a configuration held against those of the database: no question is asked here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from energy_forecasting.doctor.finding import Finding, Step, bad, care, good
from energy_forecasting.doctor.sight import Measurement
from energy_forecasting.doctor.wording import begun, joined, listed, named
from energy_forecasting.meters.influx.catalog import FieldType, Names
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.layout import Place
from energy_forecasting.meters.influx.schema import InfluxMeter, InfluxSchema, InfluxSeries

_TEXT_ADVICE = (
    "Only numbers can be learnt. Let what writes them write numbers (Telegraf: "
    "processors.converter), under a new name of the field, as a field keeps its type."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Some names that the configuration expects together."""

    what: str  #: for sentences: ``readings of gas``
    place: Place  #: its tags are those that must have a value
    field: str
    tags: tuple[str, ...] = ()  #: that may have any value
    step: Step = Step.LAYOUT
    is_needed: bool = True  #: whether meters are lost without
    is_remainder: bool = False  #: for types that none of ``types`` names; perhaps there are none

    @property
    def names(self) -> tuple[str, ...]:
        """Every tag and field."""
        return (*self.tags, *(tag for tag, _ in self.place.tags), self.field)


def wanted_names(config: InfluxConfig) -> Iterator[Wanted]:
    """Yield what a configuration expects, once each."""
    told: set[tuple[Place, str]] = set()
    for each in _wanted(config):
        if (each.place, each.field) not in told:
            told.add((each.place, each.field))
            yield each


def judge(wanted: Wanted, found: Measurement, measurements: Names) -> Finding:
    """Say whether a measurement has what is expected of it.

    Args:
        wanted: what is expected.
        found: the measurement.
        measurements: all that the bucket or database has, for a hint.
    """
    if not found.exists:
        return _no_measurement(wanted, measurements)
    tags = [*wanted.tags, *(tag for tag, _ in wanted.place.tags)]
    for tag in tags:
        if tag not in found.tags:
            return _no_tag(wanted, found, tag)
    for tag, value in wanted.place.tags:
        values = found.tags[tag]
        if values.names and value not in values.names and values.complete:
            return _wrong(
                wanted,
                f"No series of {named(found.name)} has {tag} = {named(value)}",
                f"Values of this tag are {listed(_close_first(value, values.names))}.",
            )
    return _of_field(wanted, found)


def _of_field(wanted: Wanted, found: Measurement) -> Finding:
    kind = found.fields.get(wanted.field)
    if kind is None:
        return _wrong(
            wanted,
            f"Measurement {named(found.name)} has no field {named(wanted.field)}",
            f"Fields with numbers are {listed(_close_first(wanted.field, found.numbers))}.",
        )
    if kind in {FieldType.TEXT, FieldType.BOOLEAN}:
        return _wrong(
            wanted,
            f"Field {named(wanted.field)} of {named(found.name)} holds {kind}, no numbers",
            f"{_TEXT_ADVICE} Fields with numbers are {listed(found.numbers)}.",
        )
    has = [f"the field {named(wanted.field)}"]
    if wanted.tags or wanted.place.tags:
        tags = [named(tag) for tag in (*wanted.tags, *(tag for tag, _ in wanted.place.tags))]
        has.insert(0, f"the tag{'' if len(tags) == 1 else 's'} {joined(tags)}")
    if kind is FieldType.MIXED:
        return care(
            wanted.step,
            f"{begun(wanted.what)}: field {named(wanted.field)} of {named(found.name)} holds "
            "numbers at one time and something else at another.",
            f"Reading the other times fails. {_TEXT_ADVICE}",
        )
    return good(
        wanted.step, f"{begun(wanted.what)}: measurement {named(found.name)} has {joined(has)}."
    )


def _no_measurement(wanted: Wanted, measurements: Names) -> Finding:
    name = wanted.place.measurement
    container = named(wanted.place.container)
    if not measurements.names:
        return _wrong(
            wanted,
            f"{container} holds no measurement at all, so none named {named(name)}",
            "Check that the program which writes the readings writes them here.",
        )
    close = _close_first(name, measurements.names)
    return _wrong(
        wanted,
        f"{container} has no measurement {named(name)}",
        f"It has {listed(close, complete=measurements.complete)}.",
    )


def _no_tag(wanted: Wanted, found: Measurement, tag: str) -> Finding:
    if tag in found.fields:
        return _wrong(
            wanted,
            f"{named(tag)} is a field of {named(found.name)}, not a tag",
            "Series are told apart by tags only; let what writes the readings write it as a tag.",
        )
    return _wrong(
        wanted,
        f"Measurement {named(found.name)} has no tag {named(tag)}",
        f"Its tags are {listed(_close_first(tag, found.tags))}.",
    )


def _wrong(wanted: Wanted, sentence: str, advice: str) -> Finding:
    tell = bad if wanted.is_needed else care
    return tell(wanted.step, f"{sentence} ({wanted.what}).", advice)


def _close_first(name: str, names: Mapping[str, object] | tuple[str, ...] | list[str]) -> list[str]:
    """Put the names first that may have been meant."""
    close = get_close_matches(name, list(names), n=3)
    return [*close, *(other for other in names if other not in close)]


def _wanted(config: InfluxConfig) -> Iterator[Wanted]:
    schemas: dict[str, InfluxSchema] = dict(config.types.items())
    if config.tags.meter_type is not None:
        schemas["other types" if config.types else "all meters"] = config
    for name, schema in schemas.items():
        is_remainder = schema is config and bool(config.types)
        for place, consumption, tags in _places(config, schema):
            yield Wanted(
                what=f"readings of {name}",
                place=place,
                field=consumption,
                tags=tags,
                is_needed=not is_remainder,
                is_remainder=is_remainder,
            )
            if schema.temperature is None and schema.fields.temperature is not None:
                beside = Place(
                    container=place.container,
                    retention_policy=place.retention_policy,
                    measurement=place.measurement,
                )
                yield Wanted(
                    what="temperatures beside the readings",
                    place=beside,
                    field=schema.fields.temperature,
                    step=Step.TEMPERATURE,
                    is_needed=False,
                    is_remainder=is_remainder,
                )
        for what, series in (
            ("measured temperatures", schema.temperature),
            ("forecast temperatures", schema.temperature_forecast),
        ):
            if series is not None:
                yield _series(config, what, series)


def _places(
    config: InfluxConfig, schema: InfluxSchema
) -> Iterator[tuple[Place, str, tuple[str, ...]]]:
    """Yield where readings lie, their field, and the tags that tell meters apart there."""
    place = Place(
        container=config.container,
        retention_policy=config.retention_policy,
        measurement=schema.measurement,
        tags=tuple(schema.where.items()),
    )
    meters = (schema.meters or {}).values()
    for meter in meters:
        if isinstance(meter, InfluxMeter):
            own = Place(
                container=place.container,
                retention_policy=place.retention_policy,
                measurement=meter.measurement or place.measurement,
                tags=(*place.tags, *meter.tags.items()),
            )
            yield own, meter.consumption or schema.fields.consumption, ()
    if schema.meters is None or any(isinstance(each, str) for each in meters):
        tags = (schema.tags.meter_id, schema.tags.meter_type)
        yield place, schema.fields.consumption, tuple(tag for tag in tags if tag is not None)


def _series(config: InfluxConfig, what: str, series: InfluxSeries) -> Wanted:
    tags = (series.tags.meter_id, series.tags.meter_type)
    return Wanted(
        what=what,
        place=Place(
            container=series.bucket or config.container,
            retention_policy=None if series.bucket else config.retention_policy,
            measurement=series.measurement,
            tags=tuple(series.where.items()),
        ),
        field=series.field,
        tags=tuple(tag for tag in tags if tag is not None),
        step=Step.TEMPERATURE,
        is_needed=False,
    )
