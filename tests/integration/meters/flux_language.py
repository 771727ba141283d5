"""The grammar of the Flux that the store sends, read as the Flux specification says.

It knows pipelines of calls with named arguments; the rest of Flux is a compile error here. So a
name that broke out of its string literal cannot pass for a query.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from tests.integration.meters.influx_refusal import compile_error

SECOND_NS = 1_000_000_000

Value = float | str | int | None
Row = dict[str, Value]  # times as nanoseconds since 1970
Predicate = Callable[[Row], bool]

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3_600 * SECOND_NS,
    "d": 86_400 * SECOND_NS,
    "w": 7 * 86_400 * SECOND_NS,
}
_TOKEN = re.compile(
    r"""(?P<space>[ \n]+)
      | (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)
      | (?P<duration>(?:(?:0|[1-9]\d*)(?:ns|us|ms|mo|[smhdwy]))+)
      | (?P<int>\d+)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign>\|>|=>|==|[()\[\]:,])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(x[0-9a-fA-F]{2}|\$\{|.)|(\$\{)", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "${": "${"}


@dataclass(frozen=True)
class Moment:
    """A time literal."""

    nanoseconds: int


@dataclass(frozen=True)
class Duration:
    """A duration literal without months and years."""

    nanoseconds: int


@dataclass(frozen=True)
class Name:
    """An identifier: a function, ``true`` or ``false``."""

    text: str


@dataclass
class Call:
    """One call of a pipeline with its named arguments."""

    name: str
    arguments: dict[str, object]


def unquoted(literal: str) -> str:
    """Read a Flux string literal as Flux does; interpolation is refused."""

    def replaced(found: re.Match[str]) -> str:
        escape, interpolation = found.groups()
        if interpolation:
            raise compile_error("string interpolation")
        if escape.startswith("x") and len(escape) == 3:
            return chr(int(escape[1:], 16))
        if escape not in _PLAIN_ESCAPES:
            raise compile_error(f"invalid escape {escape!r}")
        return _PLAIN_ESCAPES[escape]

    return _ESCAPED.sub(replaced, literal[1:-1])


def _tokens(flux: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(flux):
        found = _TOKEN.match(flux, at)
        if not found or not found.lastgroup:
            raise compile_error(f"unexpected {flux[at : at + 10]!r}")
        at = found.end()
        if found.lastgroup != "space":
            yield found.lastgroup, found.group()
    yield "end", ""


class FluxParser:
    """Recursive descent over ``call { "|>" call }``."""

    def __init__(self, flux: str) -> None:
        self._left = deque(_tokens(flux))

    def pipeline(self) -> list[Call]:
        calls = [self._call()]
        while self._accept("|>"):
            calls.append(self._call())
        if self._left[0][0] != "end":
            raise compile_error(f"unexpected {self._left[0][1]!r} after the pipeline")
        return calls

    def _accept(self, text: str) -> bool:
        if self._left[0][1] == text and self._left[0][0] in {"sign", "word"}:
            self._left.popleft()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise compile_error(f"expected {text!r}, got {self._left[0][1]!r}")

    def _take(self, kind: str) -> str:
        found, text = self._left.popleft()
        if found != kind:
            raise compile_error(f"expected a {kind}, got {text!r}")
        return text

    def _call(self) -> Call:
        name = self._take("word")
        arguments: dict[str, object] = {}
        self._expect("(")
        if not self._accept(")"):
            while True:
                argument = self._take("word")
                if argument in arguments:
                    raise compile_error(f"duplicate argument {argument}")
                self._expect(":")
                arguments[argument] = self._value()
                if not self._accept(","):
                    break
            self._expect(")")
        return Call(name, arguments)

    def _value(self) -> object:
        match self._left[0][0]:
            case "string":
                return self._string()
            case "time":
                moment = datetime.fromisoformat(self._take("time"))
                return Moment(int(moment.timestamp()) * SECOND_NS)
            case "duration":
                return _duration(self._take("duration"))
            case "word" | "int" as kind:
                text = self._take(kind)
                return Name(text) if kind == "word" else int(text)
        if self._accept("["):
            listed = [self._string()]
            while self._accept(","):
                listed.append(self._string())
            self._expect("]")
            return listed
        for sign in ("(", "r", ")", "=>"):
            self._expect(sign)
        return self._any_of()

    def _string(self) -> str:
        return unquoted(self._take("string"))

    def _any_of(self) -> Predicate:
        terms = [self._all_of()]
        while self._accept("or"):
            terms.append(self._all_of())
        return lambda row: any(term(row) for term in terms)

    def _all_of(self) -> Predicate:
        terms = [self._comparison()]
        while self._accept("and"):
            terms.append(self._comparison())
        return lambda row: all(term(row) for term in terms)

    def _comparison(self) -> Predicate:
        if self._accept("("):
            inner = self._any_of()
            self._expect(")")
            return inner
        self._expect("r")
        self._expect("[")
        column = self._string()
        self._expect("]")
        self._expect("==")
        wanted = self._string()
        return lambda row: row.get(column) == wanted


def _duration(literal: str) -> Duration:
    parts = re.findall(r"(\d+)([a-z]+)", literal)
    if any(unit not in _UNITS_NS for _, unit in parts):
        raise compile_error(f"the double knows no calendar durations as {literal}")
    return Duration(sum(int(number) * _UNITS_NS[unit] for number, unit in parts))
