"""Text from outside made fit for a terminal, and small numbers made fit for sentences.

A name in a database can hold line breaks, escape sequences or characters that turn the writing
around. None of them reaches a terminal: what is not printable is shown by its code.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.meters.influx.catalog import MOST_NAMES, Names

_LONGEST = 80
_LINE = 90  #: of JSON
_LISTED = 8
#: Units with their length and from where on they read well, in seconds.
_UNITS = (("day", 86_400, 172_800), ("hour", 3_600, 3_600), ("minute", 60, 120))


def plain(text: object) -> str:
    r"""Show a text: printable, on one line, not too long.

    >>> plain("roof\x1b[31m")
    'roof\\x1b[31m'
    >>> plain("°C")
    '°C'
    """
    shown = "".join(_printable(each) for each in str(text)[: _LONGEST + 1])
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def plain_sentence(error: EnergyForecastingError) -> str:
    """Return an error's sentence; names in it were quoted where it was raised."""
    return "".join(each if each.isprintable() else " " for each in error.message)


def begun(sentence: str) -> str:
    """Begin a sentence with a capital.

    >>> begun("timezone is not given.")
    'Timezone is not given.'
    """
    return sentence[:1].upper() + sentence[1:]


def named(name: object) -> str:
    """Show a name in quotes.

    >>> named("kWh")
    '"kWh"'
    """
    return f'"{plain(name)}"'


def listed(names: Iterable[str], *, complete: bool = True) -> str:
    """Show the first of some names, and that there are more.

    >>> listed(["a", "b"]), listed([])
    ('"a", "b"', 'none')
    >>> listed(map(str, range(10)))
    '"0", "1", "2", "3", "4", "5", "6", "7" and 2 more'
    """
    every = list(names)
    shown = ", ".join(named(name) for name in every[:_LISTED])
    if not every:
        return "none" if complete else "nobody knows which"
    if not complete:
        return f"{shown} and many more"
    return f"{shown} and {len(every) - _LISTED} more" if len(every) > _LISTED else shown


def how_many(names: Names, noun: str) -> str:
    """Count names, as far as they are known.

    >>> how_many(Names(names=("a",)), "tag"), how_many(Names(names=("a",), complete=False), "tag")
    ('1 tag', 'more than 1,000 tags')
    """
    if not names.complete:
        return f"more than {MOST_NAMES:,} {noun}s"
    return count(len(names.names), noun)


def count(number: int, noun: str) -> str:
    """Count something.

    >>> count(1, "meter"), count(1200, "meter")
    ('1 meter', '1,200 meters')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def joined(parts: Sequence[str]) -> str:
    """Join parts of a sentence.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def ago(moment: datetime, now: datetime) -> str:
    """Say how old something is.

    >>> from datetime import UTC
    >>> ago(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
    '2 days old'
    """
    return f"{in_words(now - moment)} old"


def in_words(duration: timedelta) -> str:
    """Say a duration in its largest fitting unit.

    >>> in_words(timedelta(seconds=90)), in_words(timedelta(hours=1)), in_words(timedelta(days=400))
    ('90 seconds', '1 hour', '400 days')
    """
    seconds = duration.total_seconds()
    for unit, length, least in _UNITS:
        if seconds >= least:
            return count(round(seconds / length), unit)
    return count(round(seconds), "second")


def day(moment: datetime) -> str:
    """Write the day of a moment in UTC."""
    return f"{moment:%Y-%m-%d}"


def as_json(value: object, *, only_ascii: bool = False, indent: str = "") -> str:
    r"""Write JSON to be copied from a terminal; nothing in it is acted on by a terminal.

    What is short stands on one line.

    >>> print(as_json({"unit": "m³\x1b", "tags": {"id": "meter"}}))
    {"unit": "m³\u001b", "tags": {"id": "meter"}}
    """
    compact = _inert(json.dumps(value, ensure_ascii=only_ascii))
    is_short = len(indent + compact) <= _LINE
    if not isinstance(value, Mapping | list) or is_short:
        return compact
    deeper = f"{indent}  "
    parts = [as_json(part, only_ascii=only_ascii, indent=deeper) for part in _parts(value)]
    opening, closing = "[]"
    if isinstance(value, Mapping):
        opening, closing = "{}"
        keys = (_inert(json.dumps(str(key), ensure_ascii=only_ascii)) for key in value)
        parts = [f"{key}: {part}" for key, part in zip(keys, parts, strict=True)]
    inside = ",\n".join(f"{deeper}{part}" for part in parts)
    return f"{opening}\n{inside}\n{indent}{closing}"


def _parts(value: Mapping[str, object] | list[object]) -> list[object]:
    return list(value.values()) if isinstance(value, Mapping) else value


def _inert(text: str) -> str:
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return ascii(character)[1:-1]
