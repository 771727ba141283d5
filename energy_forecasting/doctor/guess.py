"""From the names of a database to the layout of its meters: a guess to be tried, then corrected.

It looks at names and types of values only. Whether readings are amounts or those of a register
shows in the readings themselves, so who tries the guess says so afterwards
(``with_reading_kinds``). It cannot know time zone and country.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from energy_forecasting.doctor.candidate import (
    Candidate,
    candidate_in,
    is_of_temperatures,
    is_usable,
)
from energy_forecasting.doctor.clean_ids import clean_id, clean_ids
from energy_forecasting.doctor.sight import Measurement
from energy_forecasting.doctor.vocabulary import (
    consumption_score,
    is_about_something_else,
    is_outdoors,
    is_rate,
    is_temperature,
    meter_type_in,
    unit_in,
)
from energy_forecasting.doctor.wording import listed, named
from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import Meter

_FALLBACK_TYPE = "electricity"
_MOST_MAPPED = 50
_MOST_OF_TEMPERATURES = 3
_HOME_ASSISTANT = {"domain", "entity_id"}

Layout = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """A layout as the configuration writes it, and what is doubtful of it."""

    layout: Layout
    remarks: tuple[str, ...] = ()


def worth_looking_at(names: Sequence[str], most: int) -> list[str]:
    """Return the measurements whose names promise meters, those first, or temperatures."""
    usable = [name for name in names if is_usable(name)]
    promising = [name for name in usable if not is_about_something_else(name)]
    first = sorted(promising, key=_promise, reverse=True)[:most]
    temperatures = [name for name in usable if is_of_temperatures(name) and name not in first]
    return first + temperatures[:_MOST_OF_TEMPERATURES]


def guess(measurements: Sequence[Measurement], accepted_types: Sequence[str]) -> Guess | None:
    """Guess the layout; None when nothing looks like meters.

    Args:
        measurements: of the bucket or database, as far as they were looked at.
        accepted_types: meter types that the service takes.
    """
    candidates = sorted(
        (each for each in map(candidate_in, measurements) if each is not None),
        key=lambda candidate: candidate.score,
        reverse=True,
    )
    if not candidates:
        return None
    best = candidates[0]
    if _is_home_assistant(best):
        found = _of_home_assistant(candidates)
    elif best.type_tag is not None:
        found = _of_typed_meters(best, accepted_types)
        found = replace(found, remarks=(*found.remarks, *_others_worth_naming(candidates)))
    elif best.id_tag is None and len(candidates) > 1:
        found = _of_measurements(candidates)
    else:
        found = _of_separate_types(candidates)
    found = replace(found, remarks=(*found.remarks, *_about_ids(best)))
    return _with_temperature(found, measurements)


def with_reading_kinds(
    layout: Mapping[str, Any], kinds: Mapping[str, str], types: set[str]
) -> Layout:
    """Return a layout that declares other reading kinds.

    Args:
        layout: a configuration or the part that names readings.
        kinds: by meter type, where they differ from what is declared.
        types: all meter types that there are.

    >>> with_reading_kinds({"measurement": "m"}, {"gas": "cumulative"}, {"gas"})
    {'measurement': 'm', 'reading_kind': 'cumulative'}
    >>> with_reading_kinds({"types": {"gas": {}}}, {"gas": "power"}, {"gas", "heat"})
    {'types': {'gas': {'reading_kind': 'power'}}}
    """
    own = {name: dict(part) for name, part in layout.get("types", {}).items()}
    if kinds.keys() == types and len(set(kinds.values())) == 1:
        for part in own.values():
            part.pop("reading_kind", None)
        changed = {**layout, "reading_kind": next(iter(kinds.values()))}
    else:
        for name, kind in kinds.items():
            own[name] = {**own.get(name, {}), "reading_kind": kind}
        changed = dict(layout)
    return {**changed, "types": own} if own else changed


def _of_typed_meters(best: Candidate, accepted_types: Sequence[str]) -> Guess:
    """A measurement in which a tag tells the type: all meters in one group."""
    assert best.type_tag is not None, "it was chosen for that"  # noqa: S101
    values = best.measurement.values(best.type_tag)
    layout = _part(best)
    layout["tags"] = {**layout.get("tags", {}), "meter_type": best.type_tag}
    if all(value in accepted_types for value in values):
        return Guess(layout=layout)
    layout["tags"]["meter_type"] = None
    types: Layout = {}
    remarks = []
    for value in values:
        name = meter_type_in(value) or _FALLBACK_TYPE
        if name in types:
            remarks.append(f"{best.type_tag} = {named(value)} looks like {name}, too.")
        types.setdefault(name, {"where": {best.type_tag: value}})
    return Guess(layout={**layout, "types": types}, remarks=tuple(remarks))


def _others_worth_naming(candidates: Sequence[Candidate]) -> Iterator[str]:
    best = candidates[0]
    for each in candidates[1:]:
        if each.score >= best.score / 2:
            yield (
                f"Measurement {named(each.measurement.name)} may hold meters, too (field "
                f"{named(each.consumption)}): name them under types."
            )


def _of_separate_types(candidates: Sequence[Candidate]) -> Guess:
    """Types that their measurements or fields tell, the best candidate of each."""
    types: Layout = {}
    remarks = []
    for each in candidates:
        if types and each.score < candidates[0].score / 2:
            continue
        name = each.meter_type or _only_type(each) or _FALLBACK_TYPE
        if name in types:
            remarks.append(
                f"Measurement {named(each.measurement.name)}, field {named(each.consumption)}, "
                f"looks like {name}, too."
            )
            continue
        types[name] = _part(each)
        types[name].setdefault("tags", {})["meter_type"] = None
        if each.meter_type is None and _only_type(each) is None:
            remarks.append(
                f"No name tells which type the meters of {named(each.measurement.name)} have; "
                f"{name} is a guess."
            )
    if len(types) == 1:
        (name, part), *_ = types.items()
        return Guess(
            layout={**part, "types": {name: {}}} if "meters" not in part else {"types": types},
            remarks=tuple(remarks),
        )
    return Guess(layout={"types": types}, remarks=tuple(remarks))


def _of_measurements(candidates: Sequence[Candidate]) -> Guess:
    """A measurement for each meter, as openHAB and ioBroker write."""
    types: Layout = {}
    guessed = []
    for each in candidates:
        if each.id_tag is not None or is_rate(each.measurement.name):
            continue
        name = each.meter_type or meter_type_in(each.measurement.name)
        if name is None:
            name = _FALLBACK_TYPE
            guessed.append(each.measurement.name)
        part = types.setdefault(name, {"meters": {}, "fields": {"consumption": each.consumption}})
        meter: Layout = {"measurement": each.measurement.name}
        if each.consumption != part["fields"]["consumption"]:
            meter["consumption"] = each.consumption
        part["meters"][clean_id(each.measurement.name)] = meter
    remarks = ["Keep under meters those that you want forecasts of, and give them ids you like."]
    if guessed:
        remarks.append(f"No name tells the type of {listed(guessed)}; {_FALLBACK_TYPE} is a guess.")
    return Guess(layout={"types": types}, remarks=tuple(remarks))


def _of_home_assistant(candidates: Sequence[Candidate]) -> Guess:
    """Measurements that are units; the type is told by the names of the entities, if at all."""
    types: Layout = {}
    guessed: dict[str, list[str]] = {}
    for each in candidates:
        unit = unit_in(each.measurement.name)
        if unit is None or unit.is_rate or not _is_home_assistant(each):
            continue
        for entity in each.ids:
            told = meter_type_in(entity)
            name = told or ("water" if unit.is_volume else _FALLBACK_TYPE)
            if told is None:
                guessed.setdefault(name, []).append(entity)
            part = types.setdefault(
                name, {"measurement": each.measurement.name, "unit": unit.label, "meters": []}
            )
            if part["measurement"] == each.measurement.name:
                part["meters"].append(entity)
    advice = (
        "This looks like Home Assistant. Keep under meters the registers (state class "
        "total_increasing) that you want forecasts of."
    )
    remarks = [advice]
    remarks.extend(
        f"No name tells the type of {listed(entities)}; {name} is a guess."
        for name, entities in guessed.items()
    )
    layout: Layout = {
        "tags": {"meter_id": "entity_id", "meter_type": None},
        "fields": {"consumption": "value", "temperature": None},
        "where": {"domain": "sensor"},
        "reading_kind": "cumulative",
        "types": types,
    }
    return Guess(layout=layout, remarks=tuple(remarks))


def _is_home_assistant(candidate: Candidate) -> bool:
    named_by_unit = unit_in(candidate.measurement.name) is not None
    return named_by_unit and candidate.measurement.tags.keys() >= _HOME_ASSISTANT


def _part(candidate: Candidate) -> Layout:
    """Return measurement, fields and tags of a candidate in the words of the configuration."""
    fields: Layout = {"consumption": candidate.consumption}
    fields["temperature"] = candidate.temperature
    part: Layout = {"measurement": candidate.measurement.name, "fields": fields}
    if candidate.unit:
        part["unit"] = candidate.unit
    if candidate.is_rate:
        part["reading_kind"] = "power"
    if candidate.id_tag is None:
        own = {"consumption": candidate.consumption}
        part["meters"] = {clean_id(candidate.measurement.name): own}
        return part
    part["tags"] = {"meter_id": candidate.id_tag}
    if not all(map(_is_id, candidate.ids)):
        usable = tuple(each for each in candidate.ids if is_usable(each))
        part["meters"] = clean_ids(usable[:_MOST_MAPPED])
    return part


def _about_ids(candidate: Candidate) -> Iterator[str]:
    if all(map(_is_id, candidate.ids)):
        return
    yield "Some ids cannot be used as they are; those under meters you may change."
    if len(candidate.ids) > _MOST_MAPPED:
        yield f"Only the first {_MOST_MAPPED} meters are named; add those that you need."


def _with_temperature(found: Guess, measurements: Sequence[Measurement]) -> Guess:
    """Name a measurement of temperatures where none lie beside the readings."""
    if _has_temperature(found.layout):
        return found
    apart, remarks = _temperature_apart(measurements)
    if apart is None:
        return replace(found, remarks=(*found.remarks, *remarks))
    layout = {**found.layout, "temperature": apart}
    return Guess(layout=layout, remarks=(*found.remarks, *remarks))


def _has_temperature(layout: Layout) -> bool:
    parts = [layout, *layout.get("types", {}).values()]
    return any(part.get("fields", {}).get("temperature") for part in parts)


def _temperature_apart(
    measurements: Sequence[Measurement],
) -> tuple[Layout | None, tuple[str, ...]]:
    for each in measurements:
        fields = [name for name in each.numbers if is_temperature(name) or name == "value"]
        if not fields or not is_of_temperatures(each.name):
            continue
        where, remarks = {}, []
        for tag, values in each.tags.items():
            if tag in {"host", "country"} or tag.startswith("condition") or len(values.names) < 2:  # noqa: PLR2004
                continue
            outdoors = [value for value in values.names if is_outdoors(value) or value == "*"]
            if outdoors:
                where[tag] = outdoors[0]
            else:
                remarks.append(
                    f"{named(each.name)} holds {listed(values.names, complete=values.complete)} "
                    f"({tag}); name the outdoor one under temperature.where."
                )
        apart: Layout = {"measurement": each.name, "field": fields[0]}
        if where:
            apart["where"] = where
        return (None if remarks else apart), tuple(remarks)
    return None, ()


def _only_type(candidate: Candidate) -> str | None:
    told = {meter_type_in(each) for each in candidate.ids}
    return told.pop() if len(told) == 1 else None


def _promise(name: str) -> float:
    return (
        consumption_score(name)
        + (6.0 if unit_in(name) is not None else 0.0)
        + (3.0 if meter_type_in(name) else 0.0)
    )


def _is_id(text: str) -> bool:
    try:
        Meter(meter_type=_FALLBACK_TYPE, meter_id=text)
    except InvalidRequest:
        return False
    return True
