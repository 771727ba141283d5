r"""Line protocol, read as InfluxDB's reference of it says, with nothing forgiven.

What the reference allows but the store never sends is refused as well: comments, blank lines, a
point without a time, a tag named twice.
"""

import re
from dataclasses import dataclass

from tests.integration.meters.flux_language import Value
from tests.integration.meters.influx_refusal import Refusal

_PLAIN = r"[^\\,= \n\x00-\x1f]"
_NAME = rf"(?:{_PLAIN}|\\.)+"
_MEASUREMENT = rf"(?:{_PLAIN}|=|\\.)+"
_STRING = r'"(?:[^"\\]|\\.)*"'
_LINE = re.compile(
    rf"(?P<measurement>{_MEASUREMENT})(?P<tags>(?:,{_NAME}={_NAME})*) "
    rf"(?P<fields>{_NAME}=(?:{_STRING}|[^\", ]+)(?:,{_NAME}=(?:{_STRING}|[^\", ]+))*) "
    r"(?P<time>-?\d+)",
    re.DOTALL,
)
_TAG = re.compile(rf",({_NAME})=({_NAME})", re.DOTALL)
_FIELD = re.compile(rf"(?:^|,)({_NAME})=({_STRING}|[^\", ]+)", re.DOTALL)
_FLOAT = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_INTEGER = re.compile(r"(-?\d+)i")


@dataclass(frozen=True)
class Point:
    """One line."""

    tags: dict[str, str]  #: ``_measurement`` among them
    fields: dict[str, tuple[str, Value]]  #: name to datatype and value
    time: int  #: in the precision of the request


def points(body: bytes) -> list[Point]:
    """Read every line of a body, or refuse all of them with the first that cannot be read."""
    try:
        text = body.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise _malformed("", "it is not UTF-8") from error
    return [_point(line) for line in text.split("\n")]


def _point(line: str) -> Point:
    found = _LINE.fullmatch(line)
    if not found or line.startswith("#"):
        raise _malformed(line, "invalid line protocol")
    tags = [(_plain(key), _plain(value)) for key, value in _TAG.findall(found["tags"])]
    fields = [(_plain(key), _value(line, text)) for key, text in _FIELD.findall(found["fields"])]
    if len(dict(tags)) < len(tags) or len(dict(fields)) < len(fields):
        raise _malformed(line, "duplicate tags or fields")
    if any(key.startswith("_") or key == "time" for key in (*dict(tags), *dict(fields))):
        raise _malformed(line, "a reserved name")
    measurement = found["measurement"].replace(r"\,", ",").replace(r"\ ", " ")
    return Point({"_measurement": measurement, **dict(tags)}, dict(fields), int(found["time"]))


def _value(line: str, text: str) -> tuple[str, Value]:
    if text.startswith('"'):
        return "string", re.sub(r"\\([\"\\])", r"\1", text[1:-1])
    if whole := _INTEGER.fullmatch(text):
        return "long", int(whole[1])
    if _FLOAT.fullmatch(text):
        return "double", float(text)
    if text in {"true", "false"}:
        return "boolean", text
    raise _malformed(line, f"invalid value {text}")


def _plain(name: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", name)


def _malformed(line: str, why: str) -> Refusal:
    return Refusal(400, "invalid", f"unable to parse {line[:80]!r}: {why}")
