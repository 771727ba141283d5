"""How deep the lists and objects of a JSON text lie in each other, without decoding it.

A decoder recurses, and so does whatever copies or writes what it made; a text of brackets alone
would use the stack up. The text need not be valid: of one that is not, the number may be anything.
In UTF-16 or UTF-32 it may be too low, and the decoder's own limit holds.
"""

import numpy as np

_QUOTE = ord('"')
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_OTHERS = bytes(set(range(256)) - set(b'"[]{}'))


def nesting(text: bytes) -> int:
    r"""Return the depth: 0 for a number, 1 for ``[1]``.

    A few passes in native code; 4 MiB of anything take some 50 ms.

    >>> nesting(b'{"readings": [{"note": "[[[ \\" [[["}]}')
    3
    """
    if text.count(b"[") + text.count(b"{") == 0:
        return 0
    # Inside a string a backslash hides the next character; outside there is none.
    plain = text.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = np.frombuffer(plain.translate(None, delete=_OTHERS), dtype=np.uint8)
    is_text = np.cumsum(marks == _QUOTE, dtype=np.int32) & 1
    steps = _STEPS[marks] * (1 - is_text)
    return max(int(np.cumsum(steps, dtype=np.int32).max(initial=0)), 0)
