"""Text as an attacker, a careless operator or a foreign alphabet would write it."""

import re

from hypothesis import strategies as st

#: Each has broken some program that put text together to queries, paths, logs or pages.
SEEDS = (
    "",
    " ",
    "   ",
    "'",
    '"',
    "\\",
    "\\\\",
    "\\'",
    '\\"',
    'a\\"b',
    "ends with \\",
    "two \\\\",
    "'; DROP DATABASE x; --",
    '"; DROP DATABASE x; --',
    '"; DROP MEASUREMENT "canary"; SELECT "v" FROM "canary',
    "' OR 1=1 --",
    "' OR \"site\" =~ /.*/ OR 'a' = '",
    '" WHERE 1=1 --',
    '", "v" FROM "canary" --',
    "/* */",
    "*/ x /*",
    "--",
    "//",
    "/.*/",
    "=~ /.*/",
    "*",
    "::tag",
    "$x",
    "${}",
    "${r._value}",
    "\\${r._value}",
    '") |> drop(columns: ["_value"]) //',
    '" or true or r["x"] == "',
    "a\nb",
    "a\r\nX-Evil: 1",
    "a\x00b",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "\x1b[31mred",
    "\u202egnp.exe",
    "\ufeffbom",
    "🚰💡",
    "电力",
    "Zähler",
    "Zähler",
    "e\u0301\u0301\u0301",
    "\ud800",
    "\udfff\ud800",
    "../../etc/passwd",
    "..",
    ".hidden",
    "%00",
    "%2e%2e%2f",
    "a,b=c d",
    "a,b",
    "a=b",
    "#comment",
    "_field",
    "_tagKey",
    "time",
    "Time",
    "true",
    "1",
    "1e5",
    "-1",
    "NaN",
    "null",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "x" * 256,
    "x" * 257,
    "'" * 10_000,
    "ü" * 10_000,
)

_SIGNS = "'\"\\`;,=~!|&<>()[]{}$%#@*/+-_.:?^ aZ0éß电🚰\u202e\ufeff\u200b"
_CONTROL = "\n\r\t\0\x1b\x7f\x85\u2028\u2029\ud800\udfff"

_RESERVED = {"time", "_field", "_tagkey"}
_AMBIGUOUS = re.compile(r'\\[\\,= "]|\\$|^[_#]')


def _is_name(text: str) -> bool:
    is_long = not 0 < len(text) <= 256
    return not is_long and text.lower() not in _RESERVED and not set(text) & set(_CONTROL)


def _is_writable(text: str) -> bool:
    return not _AMBIGUOUS.search(text)


_SIGNED = st.sampled_from(_SIGNS)

#: Names that a configuration may hold.
names = st.sampled_from([seed for seed in SEEDS if _is_name(seed)]) | st.text(
    _SIGNED | st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]),
    min_size=1,
    max_size=20,
).filter(_is_name)

#: Those of them that every version reads alike from line protocol.
writable_names = names.filter(_is_writable)

#: Any text at all.
texts = (
    st.sampled_from(SEEDS)
    | names
    | st.text(_SIGNED | st.sampled_from(_CONTROL) | st.characters(), max_size=30)
    | st.text(_SIGNED, min_size=1, max_size=20).map(lambda piece: piece * (10_000 // len(piece)))
)
