"""Words by which people name meters, in a few languages: hints for a guess, never a proof."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

#: Words that tell a meter type where a name has a part that begins with one of them; of two types
#: the first counts.
_TYPES = {
    "heat": ("heat", "wärme", "waerme", "calor", "chaleur", "thermal", "fernw", "teleris"),
    "gas": ("gas", "gaz", "methan", "metano"),
    "water": ("water", "wasser", "acqua", "agua", "eau"),
    "electricity": ("electr", "elektr", "elettr", "strom", "grid", "solar", "pv", "mains"),
}
_NO_TYPE = ("gasoline", "pump", "gaste")

_CONSUMPTION = {
    "consumption": 6, "consumed": 6, "usage": 5, "verbrauch": 6, "consumo": 6, "energy": 5,
    "energie": 5, "energia": 5, "kwh": 5, "mwh": 5, "wh": 5, "volume": 4, "m3": 4, "total": 3,
    "import": 3, "register": 3, "reading": 3, "value": 3, "counter": 2, "amount": 2,
    "power": 1, "leistung": 1, "potenza": 1, "watt": 1, "kw": 1, "w": 1,
}  # fmt: skip
_SOMETHING_ELSE = (
    "temp", "humid", "feucht", "voltage", "volt", "current", "ampere", "frequen", "pressure",
    "battery", "rssi", "signal", "quality", "cost", "price", "tariff", "export", "error", "uptime",
    "cpu", "mem", "disk", "swap", "kernel", "forecast", "factor",
)  # fmt: skip
_RATES = ("power", "leistung", "potenza", "watt", "kw", "w", "flow", "rate")
_TEMPERATURES = ("temperature", "temp", "temperatur", "temperatura", "outdoor", "degrees")
_OUTDOORS = ("outdoor", "outside", "aussen", "außen", "extern", "exter", "estern", "weather")

_ID_TAGS = {
    "meter_id": 9, "meterid": 9, "meter": 8, "entity_id": 7, "device_id": 6, "deviceid": 6,
    "device": 5, "sensor_id": 6, "sensor": 5, "item": 5, "serial": 5, "id": 5, "name": 4,
    "channel": 3, "point": 3, "topic": 2, "slave_id": 1, "location": 1, "room": 1, "building": 1,
}  # fmt: skip
_NO_ID_TAGS = ("host", "domain", "friendly", "unit", "forecast", "city", "country", "condition")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A unit that a name tells."""

    label: str
    is_rate: bool = False  #: power or flow, not an amount
    is_volume: bool = False


_UNITS = {
    **{name.lower(): Unit(label=name) for name in ("Wh", "kWh", "MWh", "GWh", "MJ", "GJ")},
    **{name.lower(): Unit(label=name, is_rate=True) for name in ("W", "kW", "MW")},
    "m³": Unit(label="m3", is_volume=True),
    "m3": Unit(label="m3", is_volume=True),
    "l": Unit(label="l", is_volume=True),
    "ft³": Unit(label="ft3", is_volume=True),
    "gal": Unit(label="gal", is_volume=True),
    "m³/h": Unit(label="m3/h", is_rate=True, is_volume=True),
    "l/min": Unit(label="l/min", is_rate=True, is_volume=True),
}


def meter_type_in(text: str) -> str | None:
    """Return the meter type that a name tells.

    >>> meter_type_in("Gaszaehler_total"), meter_type_in("KG.Warmwasser"), meter_type_in("x")
    ('gas', 'water', None)
    """
    parts = _parts(text)
    if any(part.startswith(_NO_TYPE) for part in parts):
        return None
    for meter_type, words in _TYPES.items():
        if any(part.startswith(words) or part.endswith(words) for part in parts):
            return meter_type
    return None


def unit_in(text: str) -> Unit | None:
    """Return the unit that a name is, or ends with.

    >>> unit_in("kWh").label, unit_in("energy_kwh").label, unit_in("power_w").is_rate
    ('kWh', 'kWh', True)
    >>> unit_in("value")
    """
    whole = _UNITS.get(text.lower())
    if whole is not None:
        return whole
    parts = _parts(text)
    return _UNITS.get(parts[-1]) if len(parts) > 1 else None


def consumption_score(name: str) -> float:
    """Say how much a field's name sounds like consumption; below 0 like something else.

    >>> consumption_score("energy_total") > consumption_score("value") > consumption_score("x") > 0
    True
    >>> consumption_score("temperature") < 0
    True
    """
    parts = _parts(name)
    if any(part.startswith(_SOMETHING_ELSE) for part in parts):
        return -1.0
    return 0.5 + max((_CONSUMPTION.get(part, 0) for part in parts), default=0)


def is_about_something_else(name: str) -> bool:
    """Tell whether a measurement's name says that it holds no meters."""
    return consumption_score(name) < 0


def is_rate(name: str) -> bool:
    """Tell whether a name speaks of power or flow."""
    return any(part in _RATES for part in _parts(name))


def is_temperature(name: str) -> bool:
    """Tell whether a name speaks of temperature."""
    return any(part.startswith(_TEMPERATURES) for part in _parts(name))


def is_outdoors(name: str) -> bool:
    """Tell whether a name speaks of outdoors."""
    return any(part.startswith(_OUTDOORS) for part in _parts(name))


def id_tag_score(name: str) -> float:
    """Say how much a tag's name sounds like the id of meters; 0 when it cannot be one."""
    lowered = name.lower()
    if any(part.startswith(_NO_ID_TAGS) for part in _parts(name)):
        return 0.0
    return float(_ID_TAGS.get(lowered, 0.5))


def _parts(text: str) -> list[str]:
    return _TOKEN.findall(_CAMEL.sub("_", text).lower())
