"""A measurement that may hold meters: which field, which tag, which type; told by names only."""

from dataclasses import dataclass

from energy_forecasting.doctor.sight import Measurement
from energy_forecasting.doctor.vocabulary import (
    consumption_score,
    id_tag_score,
    is_outdoors,
    is_rate,
    is_temperature,
    meter_type_in,
    unit_in,
)

_DEGREES = "°C"
_LONGEST_NAME = 256  #: that the configuration takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One measurement that may hold meters."""

    measurement: Measurement
    consumption: str
    score: float
    id_tag: str | None = None
    type_tag: str | None = None
    temperature: str | None = None
    meter_type: str | None = None  #: that its names tell

    @property
    def unit(self) -> str:
        """The unit that its names tell; empty when they tell none."""
        found = unit_in(self.consumption) or unit_in(self.measurement.name)
        return "" if found is None else found.label

    @property
    def is_rate(self) -> bool:
        """Whether its values are power or flow."""
        found = unit_in(self.consumption) or unit_in(self.measurement.name)
        return is_rate(self.consumption) if found is None else found.is_rate

    @property
    def ids(self) -> tuple[str, ...]:
        """The values of its id's tag."""
        return () if self.id_tag is None else self.measurement.values(self.id_tag)


def candidate_in(measurement: Measurement) -> Candidate | None:
    """Make of a measurement what may be made of it; None when it has no number to be read."""
    numbers = [name for name in measurement.numbers if is_usable(name)]
    fields = [name for name in numbers if consumption_score(name) > 0]
    if not fields or is_of_temperatures(measurement.name):
        return None
    consumption = max(fields, key=consumption_score)
    type_tag = next((tag for tag in measurement.tags if _tells_types(measurement, tag)), None)
    tags = [tag for tag in measurement.tags if tag != type_tag and is_usable(tag)]
    id_tag = max(tags, key=lambda tag: _id_score(measurement, tag), default=None)
    if id_tag is not None and not _id_score(measurement, id_tag):
        id_tag = None
    tells = unit_in(measurement.name) is not None
    return Candidate(
        measurement=measurement,
        consumption=consumption,
        score=consumption_score(consumption)
        + max(consumption_score(measurement.name), 0.0)
        + (4.0 if tells else 0.0)
        + (0.0 if id_tag is None else id_tag_score(id_tag) / 3)
        + (2.0 if type_tag is not None else 0.0)
        - (2.0 if is_rate(consumption) else 0.0),
        id_tag=id_tag,
        type_tag=type_tag,
        temperature=next((name for name in numbers if is_temperature(name)), None),
        meter_type=_type_told(measurement, consumption),
    )


def _id_score(measurement: Measurement, tag: str) -> float:
    score, values = id_tag_score(tag), measurement.tags[tag].names
    if len(values) == 1 and measurement.name.endswith(values[0]):
        return 0.0  # the measurement says it already, so there is one for each meter
    return score + (1.0 if len(values) > 1 else 0.0) if score and values else 0.0


def _tells_types(measurement: Measurement, tag: str) -> bool:
    """Tell whether every value of a tag names a meter type."""
    values = measurement.values(tag)
    return bool(values) and all(
        meter_type_in(value) is not None and value.isalpha() for value in values
    )


def _type_told(measurement: Measurement, consumption: str) -> str | None:
    told = meter_type_in(consumption) or meter_type_in(measurement.name)
    if told is None:
        unit = unit_in(consumption) or unit_in(measurement.name)
        told = None if unit is None else "water" if unit.is_volume else None
    return told


def is_of_temperatures(name: str) -> bool:
    """Tell whether a measurement's name speaks of temperatures."""
    return name == _DEGREES or is_temperature(name) or is_outdoors(name)


def is_usable(name: str) -> bool:
    """Tell whether the configuration may hold a name."""
    return name.isprintable() and 0 < len(name) <= _LONGEST_NAME
