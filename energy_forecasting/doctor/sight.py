"""What a measurement holds, asked by name: a few questions each, no reading."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from energy_forecasting.doctor.access import Access
from energy_forecasting.meters.influx.catalog import FieldType, Names
from energy_forecasting.meters.influx.layout import Place

#: Tags and fields of a measurement beyond these are named but not looked at.
MOST_LOOKED_AT = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """The names of one measurement."""

    name: str
    tags: Mapping[str, Names] = field(default_factory=dict)  #: with their values
    fields: Mapping[str, FieldType] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether anything was found of it."""
        return bool(self.fields)

    @property
    def numbers(self) -> list[str]:
        """Its fields that hold numbers."""
        return [name for name, kind in self.fields.items() if kind is FieldType.NUMBER]

    def values(self, tag: str) -> tuple[str, ...]:
        """Return the known values of a tag."""
        return self.tags[tag].names if tag in self.tags else ()


def look_at(access: Access, place: Place, *wanted: str) -> Measurement:
    """Look at a measurement.

    Args:
        access: to ask.
        place: the measurement; its tags do not matter.
        wanted: tags and fields to look at in any case.
    """
    catalog = access.catalog
    tags = catalog.tags(place, access.deadline()).names
    fields = catalog.fields(place, access.deadline()).names
    looked_at = _first(fields, wanted)
    types = catalog.field_types(place, looked_at, access.deadline()) if looked_at else {}
    return Measurement(
        name=place.measurement,
        tags={
            tag: catalog.tag_values(place, tag, access.deadline()) for tag in _first(tags, wanted)
        }
        | {tag: Names(names=()) for tag in tags[MOST_LOOKED_AT:] if tag not in wanted},
        fields={name: types.get(name, FieldType.UNKNOWN) for name in fields},
    )


def _first(names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first names and, of the others, those that are wanted."""
    others = (name for name in names[MOST_LOOKED_AT:] if name in wanted)
    return (*names[:MOST_LOOKED_AT], *others)
