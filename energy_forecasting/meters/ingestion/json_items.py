"""The items of a list inside a JSON object, decoded one at a time.

Python's decoder makes objects of a whole text at once: several times its size in memory, and the
other threads stand still meanwhile. Here one item exists at a time. The price: that the end of
the text is damaged is known only after the items ahead of it have been yielded.
"""

import json
import re
from collections.abc import Iterator

from energy_forecasting.domain.errors import InvalidRequest


def items_of(text: str, name: str) -> Iterator[object]:
    """Yield the items of the list ``name`` in the object that a text holds; skip other keys.

    Every number is a float, so one of 5,000 digits is infinite and no error; NaN and Infinity,
    which Python's decoder takes for numbers, come as such.

    Raises:
        InvalidRequest: the text is not JSON or no object, or the list is not there once.

    >>> list(items_of('{"unit": "kWh", "readings": [1, {"a": []}]}', "readings"))
    [1.0, {'a': []}]
    """
    try:
        yield from _items(_Cursor(text), name)
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not valid JSON at line {error.lineno}, column {error.colno}: "
            f"{error.msg.rstrip(': ')}.",
            field="body",
        ) from error
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply.", field="body") from error


def _items(cursor: "_Cursor", name: str) -> Iterator[object]:
    if not cursor.takes("{"):
        raise InvalidRequest(f"The body must be a JSON object with a list {name}.", field="body")
    is_found = False
    if not cursor.takes("}"):
        while True:
            if cursor.key() != name:
                cursor.value()
            elif is_found:
                raise InvalidRequest(f"The body has {name} twice.", field=name)
            else:
                is_found = True
                yield from _list(cursor, name)
            if not cursor.takes(","):
                break
        cursor.expect("}")
    cursor.expect_end()
    if not is_found:
        raise InvalidRequest(f"The body lacks the list {name}.", field=name)


def _list(cursor: "_Cursor", name: str) -> Iterator[object]:
    if not cursor.takes("["):
        raise InvalidRequest(f"{name} must be a list.", field=name)
    if cursor.takes("]"):
        return
    yield cursor.value()
    while cursor.takes(","):
        yield cursor.value()
    cursor.expect("]")


class _Cursor:
    """A place in a JSON text, which moves on with everything read; blanks do not count."""

    _decode = json.JSONDecoder(parse_int=float).raw_decode
    _blanks = re.compile(r"[ \t\n\r]*")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._skip()

    def value(self) -> object:
        """Read a value."""
        value, self._at = self._decode(self._text, self._at)
        self._skip()
        return value

    def key(self) -> str:
        """Read a key and its colon."""
        if not self._text.startswith('"', self._at):
            raise json.JSONDecodeError("Expecting a key in double quotes", self._text, self._at)
        key = str(self.value())
        self.expect(":")
        return key

    def takes(self, mark: str) -> bool:
        """Tell whether a mark stands here, and pass it."""
        is_here = self._text.startswith(mark, self._at)
        if is_here:
            self._at += len(mark)
            self._skip()
        return is_here

    def expect(self, mark: str) -> None:
        """Pass a mark; ``JSONDecodeError`` when another stands here."""
        if not self.takes(mark):
            raise json.JSONDecodeError(f"Expecting '{mark}'", self._text, self._at)

    def expect_end(self) -> None:
        """Raise ``JSONDecodeError`` unless the text ends here."""
        if self._at < len(self._text):
            raise json.JSONDecodeError("Expecting the end", self._text, self._at)

    def _skip(self) -> None:
        blanks = self._blanks.match(self._text, self._at)
        self._at = self._at if blanks is None else blanks.end()
