"""What a fault of Redis means and what to do about it, in a sentence.

Redis names the cause in the first word of its refusal (``OOM``, ``READONLY``, ...), of which
redis-py makes a class or nothing at all; inside a refusal by Lua it may stand further back. What
Redis itself says is quoted only where no sentence here knows the cause, and without what REDIS_URL
keeps secret: a server may repeat a command that it does not know, the password with it.

It cannot tell a hung server from a slow network.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import redis

from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    EnergyForecastingError,
)

_SHOWN_CHARACTERS = 200
_HIDDEN = "***"
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_DEFAULT_PORT = 6379


@dataclass(frozen=True, kw_only=True, slots=True)
class _Refusal:
    """A way in which Redis refuses."""

    words: tuple[str, ...]  #: any of which tells it
    sentence: str  #: goes on after "Redis at HOST:PORT"
    kind: type[EnergyForecastingError] = ConnectionFailed


#: The first that fits counts.
_REFUSALS = (
    _Refusal(
        words=("NOAUTH", "Authentication required"),
        sentence="asks for a password; write it into REDIS_URL: redis://:PASSWORD@HOST:PORT/0.",
        kind=AuthenticationFailed,
    ),
    _Refusal(
        words=("NOPERM",),
        sentence="does not permit the user in REDIS_URL what the service needs; permit it with "
        "ACL SETUSER (docs/limits.md has the line).",
        kind=AuthenticationFailed,
    ),
    _Refusal(
        words=(
            "WRONGPASS",
            "invalid password",
            "no password is set",
            "called without any password",
        ),
        sentence="refuses the credentials in REDIS_URL; correct them.",
        kind=AuthenticationFailed,
    ),
    _Refusal(
        words=("OOM",),
        sentence="has reached its maxmemory and takes nothing new; free memory or raise maxmemory. "
        "What is stored can still be read.",
    ),
    _Refusal(
        words=("READONLY",),
        sentence="is a read-only replica; let REDIS_URL name the primary.",
    ),
    _Refusal(
        words=("MISCONF",),
        sentence="cannot save to its disk and therefore takes nothing new; free its disk, or read "
        "in its log what it lacks.",
    ),
    _Refusal(words=("LOADING",), sentence="is still loading its data after a start; try again."),
    _Refusal(
        words=("BUSY",),
        sentence="is busy with another program's script; wait, or end it with SCRIPT KILL.",
    ),
    _Refusal(
        words=("max number of clients", "maxclients"),
        sentence="has no connection left; raise its maxclients, or stop what holds them.",
    ),
    _Refusal(
        words=("DENIED",),
        sentence="is in protected mode and refuses other machines; give it a password, or bind "
        "it to an address of the network.",
    ),
    _Refusal(
        words=("MASTERDOWN", "NOREPLICAS"),
        sentence="has lost its primary or its replicas and takes nothing; bring them back.",
    ),
    _Refusal(
        words=("MOVED", "CROSSSLOT", "CLUSTERDOWN"),
        sentence="is part of a cluster, which the service cannot use; name a single server.",
    ),
    _Refusal(
        words=("DB index is out of range",),
        sentence="has no database of that number; correct the end of REDIS_URL.",
    ),
)


def fault_of(error: redis.exceptions.RedisError | OSError, url: str) -> EnergyForecastingError:
    """Return what an exception of redis-py means to operators and clients."""
    refusal = _refusal(error)
    if refusal is not None:
        return refusal.kind(f"Redis at {address(url)} {refusal.sentence}", server="redis")
    return ConnectionFailed(_other_sentence(error, url), server="redis")


def _other_sentence(error: Exception, url: str) -> str:
    where = address(url)
    if isinstance(error, (redis.exceptions.TimeoutError, TimeoutError)):
        return f"Redis at {where} does not answer in time; look whether it or the network hangs."
    if isinstance(error, redis.exceptions.InvalidResponse):
        return f"What answers at {where} is not a Redis; correct REDIS_URL."
    if isinstance(error, (redis.exceptions.ConnectionError, OSError)):
        return f"Redis at {where} cannot be reached; start it or correct REDIS_URL."
    return f"Redis at {where} refuses to serve: {_quoted(error, url)}"


def address(url: str) -> str:
    """Return host and port of a Redis URL, without user and password.

    >>> address("redis://:secret@db.example:6380/0")
    'db.example:6380'
    """
    parts = urlsplit(url)
    if not parts.netloc:
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or _DEFAULT_PORT}"


def _refusal(error: Exception) -> _Refusal | None:
    text = f"{getattr(error, 'status_code', None) or ''} {error}"
    for refusal in _REFUSALS:
        if any(re.search(rf"(?<![A-Za-z]){re.escape(word)}\b", text) for word in refusal.words):
            return refusal
    if isinstance(error, redis.exceptions.AuthenticationError):
        return next(each for each in _REFUSALS if "WRONGPASS" in each.words)
    return None


def _quoted(error: Exception, url: str) -> str:
    """Return the server's own words, printable, not long, and without a secret."""
    text = _UNPRINTABLE.sub(" ", str(error))
    parts = urlsplit(url)
    for secret in {parts.password or "", unquote(parts.password or "")} - {""}:
        text = text.replace(secret, _HIDDEN)
    return text[:_SHOWN_CHARACTERS]
