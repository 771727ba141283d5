"""Which meters a configuration finds, and which ids of the database cannot be meters here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from energy_forecasting.doctor.access import Access
from energy_forecasting.doctor.clean_ids import clean_id
from energy_forecasting.doctor.finding import Finding, Step, bad, care, good
from energy_forecasting.doctor.wording import count, joined, listed, named
from energy_forecasting.domain.errors import InvalidRequest
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.readings import to_datetime
from energy_forecasting.meters.influx.catalog import MOST_NAMES
from energy_forecasting.meters.influx.layout import Layout, MeterGroup
from energy_forecasting.meters.spans import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundMeters:
    """Meters with their last reading, and what is no meter."""

    newest: Mapping[Meter, datetime]
    silent: tuple[str, ...] = ()  #: meters that the configuration names but that have no reading
    wrong_ids: tuple[str, ...] = ()  #: values of the id's tag that break the rules
    wrong_types: tuple[str, ...] = ()  #: values of the type's tag that break the rules
    complete: bool = True  #: False when only the first ids were looked at

    @property
    def first(self) -> list[Meter]:
        """Its first meter, if it has one."""
        return list(self.newest)[:1]

    @property
    def by_type(self) -> dict[str, int]:
        """How many there are of each type."""
        return dict(sorted(Counter(meter.meter_type for meter in self.newest).items()))


@dataclass
class _Collected:
    newest: dict[Meter, datetime] = field(default_factory=dict)
    named: list[Meter] = field(default_factory=list)
    wrong_ids: dict[str, None] = field(default_factory=dict)
    wrong_types: dict[str, None] = field(default_factory=dict)
    complete: bool = True


def find_meters(access: Access) -> FoundMeters:
    """List the meters as the service does, but not more than the first 1,000 ids of a place."""
    layout, collected = Layout(access.config), _Collected()
    for group in layout.groups():
        ids = access.catalog.tag_values(group.place, group.id_tag, access.deadline())
        if ids.complete or group.ids is not None:
            _collect(access, group, collected)
        else:
            collected.complete = False
            for id_value in ids.names[:: MOST_NAMES // 20]:
                narrowed = group.place.narrowed(group.id_tag, id_value)
                _collect(access, replace(group, place=narrowed), collected)
            for id_value in ids.names:
                _check_id(group, id_value, collected)
        if group.meter_type is not None and group.ids is not None:
            named = group.ids.values()
            collected.named += [Meter(meter_type=group.meter_type, meter_id=each) for each in named]
    for place in layout.single_meters():
        collected.named.append(place.meter)
        last = access.source.edge(
            place.readings, place.consumption, Span(), "last", access.deadline()
        )
        if last is not None:
            collected.newest[place.meter] = to_datetime(last)
    return FoundMeters(
        newest=dict(sorted(collected.newest.items(), key=lambda item: item[0])),
        silent=tuple(str(each) for each in collected.named if each not in collected.newest)
        if collected.complete
        else (),
        wrong_ids=tuple(collected.wrong_ids),
        wrong_types=tuple(collected.wrong_types),
        complete=collected.complete,
    )


def judge_meters(found: FoundMeters, accepted_types: Sequence[str]) -> list[Finding]:
    """Say what the meters found mean.

    Args:
        found: in the database.
        accepted_types: those that the API takes.
    """
    findings = []
    if found.newest:
        findings.append(_listed(found))
    if found.silent:
        have = "has" if len(found.silent) == 1 else "have"
        findings.append(
            care(
                Step.METERS,
                f"{count(len(found.silent), 'meter')} that the configuration names {have} no "
                f"reading: {listed(found.silent)}.",
                "Check the values that stand beside them under meters.",
            )
        )
    if found.wrong_ids:
        example = found.wrong_ids[0]
        others = "".join(f', "{meter.meter_id}": "{meter.meter_id}"' for meter in found.first)
        findings.append(
            care(
                Step.METERS,
                f"{count(len(found.wrong_ids), 'id')} cannot be used: {listed(found.wrong_ids)}. "
                "An id has 1 to 128 of A-Z a-z 0-9 . _ - and does not start with a dot.",
                "To use them all the same, list every meter in the configuration, these under "
                f'another id: "meters": {{"{clean_id(example)}": {named(example)}{others}}}.',
            )
        )
    if found.wrong_types:
        example = found.wrong_types[0]
        findings.append(
            care(
                Step.METERS,
                f"{count(len(found.wrong_types), 'meter type')} cannot be used: "
                f"{listed(found.wrong_types)}. A type begins with a small letter and has small "
                "letters, digits and _ only.",
                'Say which type it is in the configuration: "types": {"electricity": {"tags": '
                f'{{"meter_type": null}}, "where": {{<the tag>: {named(example)}}}}}}}.',
            )
        )
    strange = [name for name in found.by_type if name not in accepted_types]
    if strange:
        every = ", ".join(f'"{name}"' for name in (*accepted_types, *strange))
        findings.append(
            care(
                Step.METERS,
                f"The service does not take the meter type{'' if len(strange) == 1 else 's'} "
                f"{joined([named(name) for name in strange])}.",
                f"Let it: METER_TYPES=[{every}]; or map them with types in the configuration.",
            )
        )
    if not found.newest:
        findings.insert(0, _none(found))
    return findings


def _listed(found: FoundMeters) -> Finding:
    kinds = joined([f"{number:,} of {name}" for name, number in found.by_type.items()])
    if not found.complete:
        return care(
            Step.METERS,
            f"More than {MOST_NAMES:,} ids; a few of the first {MOST_NAMES:,} were looked at: "
            f"{kinds}.",
            "Lists of all meters take long here; where only some matter, name them under meters.",
        )
    return good(Step.METERS, f"{count(len(found.newest), 'meter')}: {kinds}.")


def _none(found: FoundMeters) -> Finding:
    if found.wrong_ids or found.wrong_types:
        return bad(Step.METERS, "No meter has a reading under an id and a type that can be used.")
    return bad(
        Step.METERS,
        "No meter has a reading.",
        "Compare the names of measurement, tags and fields above, and see that the program which "
        "writes the readings runs.",
    )


def _collect(access: Access, group: MeterGroup, collected: _Collected) -> None:
    for type_value, id_value, time in access.source.newest(group, access.deadline()):
        meter = group.meter(type_value, id_value)
        if meter is not None:
            last = to_datetime(time)
            collected.newest[meter] = max(last, collected.newest.get(meter, last))
        elif id_value and (type_value or group.meter_type):
            _check_id(group, id_value, collected)
            if type_value is not None and not _can_be("meter_type", type_value):
                collected.wrong_types[type_value] = None


def _check_id(group: MeterGroup, id_value: str, collected: _Collected) -> None:
    is_left_out_on_purpose = group.ids is not None
    if not is_left_out_on_purpose and not _can_be("meter_id", id_value):
        collected.wrong_ids[id_value] = None


def _can_be(part: str, text: str) -> bool:
    try:
        Meter(**{"meter_type": "any", "meter_id": "any", part: text})
    except InvalidRequest:
        return False
    return True
