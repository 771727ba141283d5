"""Shows what a server says, but none of our secrets: a proxy may send our own headers back.

It knows a secret by its text, also as JSON, HTML, a URL or Base64 would write it, and takes what
begins like one for one, as a page may cut what it repeats. It cannot know a secret that the
server scrambles, nor one whose first characters are missing.
"""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from os.path import commonprefix
from urllib.parse import quote, quote_plus

from energy_forecasting.meters.influx.config import InfluxConfig

#: Makes text of the server fit for a message.
Shown = Callable[[object], str]

_MASK = "***"
_SHOWN_CHARACTERS = 200
_READ_CHARACTERS = 10_000  # what lies further back is not shown, however short the masks are
_TELLING_CHARACTERS = 8  # so many tell a secret from other words
_WORD = re.compile(r"[^\s\"'<>]*")


class Discretion:
    """Keeps the secrets of one configuration."""

    def __init__(self, config: InfluxConfig) -> None:
        forms = {form for secret in _secrets(config) for form in _forms(secret)}
        # A form may hold a shorter one.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._tails: dict[str, list[str]] = {}
        for form in self._forms:
            tails = self._tails.setdefault(form[:_TELLING_CHARACTERS], [])
            tails.append(form[_TELLING_CHARACTERS:])

    def shown(self, text: object) -> str:
        """Quote text without secrets, escaped and cut, so that it cannot forge a log line."""
        told = (
            text[:_READ_CHARACTERS].decode("utf-8", "replace") if isinstance(text, bytes) else text
        )
        hidden = str(told)[:_READ_CHARACTERS]
        for form in self._forms:
            hidden = hidden.replace(form, _MASK)
        for beginning, tails in self._tails.items():
            before, *pieces = hidden.split(beginning)
            hidden = before + "".join(_MASK + _after(tails, piece) for piece in pieces)
        return ascii(hidden[:_SHOWN_CHARACTERS])


def _secrets(config: InfluxConfig) -> Iterator[str]:
    if config.token is not None:
        yield config.token.get_secret_value()
    if config.password is not None:
        password = config.password.get_secret_value()
        yield password
        yield b64encode(f"{config.username}:{password}".encode()).decode()


def _forms(secret: str) -> Iterator[str]:
    raw = secret.encode()
    yield from (secret, quote(secret, safe=""), quote_plus(secret), html.escape(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (b64encode(raw).decode(), urlsafe_b64encode(raw).decode())


def _after(tails: list[str], text: str) -> str:
    """Return what follows a secret that goes on like one of the tails, as far as it does."""
    same = max(len(commonprefix((tail, text))) for tail in tails)  # noqa: RUF071 - no paths
    return _WORD.sub("", text[same:], count=1)
