"""Ids for meters whose names cannot be ids."""

import re

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 128


def clean_id(name: str) -> str:
    """Make an id of a name.

    >>> clean_id("ns=3;s=Hall 2"), clean_id(".hidden"), clean_id("°")
    ('ns-3-s-Hall-2', 'hidden', 'meter')
    """
    cleaned = _NOT_IN_IDS.sub("-", name).strip("-.")[:_LONGEST]
    return cleaned or "meter"


def clean_ids(names: tuple[str, ...]) -> dict[str, str]:
    """Make different ids of different names, ids to names.

    >>> clean_ids(("a b", "a-b"))
    {'a-b': 'a b', 'a-b-2': 'a-b'}
    """
    ids: dict[str, str] = {}
    for name in names:
        wanted = clean_id(name)
        number, free = 2, wanted
        while free in ids:
            free, number = f"{wanted[: _LONGEST - 4]}-{number}", number + 1
        ids[free] = name
    return ids
