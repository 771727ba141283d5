"""The keys as a running service knows them: it reads the file again as soon as that changes.

So a key works, and ends, at once and without a restart. Whoever calls pays one look at the file's
date. Doors that have been closed stay closed as long as the process lives, whatever becomes of
the file: without it, or when it is damaged, nobody gets in. A process that starts without the file
cannot know that there was one; REQUIRE_API_KEY is for that.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from energy_forecasting.access.api_key import ApiKey, presented_key
from energy_forecasting.access.key_file import KeyFile
from energy_forecasting.domain.errors import KeysUnreadable, Unauthenticated

#: What the digest of a key with an unknown id is compared with; no text has it.
_NOBODY = "0" * 64
_NOT_READ = "not read yet"

logger = structlog.get_logger("access.keys")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What was last read, and from which state of the file."""

    stamp: object = _NOT_READ
    keys: Mapping[str, ApiKey] = field(default_factory=dict)
    fault: str | None = None  #: why nobody gets in


class KeyRing:
    """Tells whether keys are asked for, and whose key a text is."""

    def __init__(self, file: KeyFile, *, is_required: bool) -> None:
        self._file = file
        self._is_closed = is_required
        self._known = _Known()

    def is_closed(self) -> bool:
        """Tell whether calls need a key; once they do, they always will in this process."""
        self._refresh()
        return self._is_closed

    def is_readable(self) -> bool:
        """Tell whether valid keys are let in."""
        self._refresh()
        return self._known.fault is None

    def identify(self, text: str) -> ApiKey:
        """Return the key with this text, in a time that does not depend on how wrong it is.

        Raises:
            Unauthenticated: there is no such key, or it has been revoked.
            KeysUnreadable: the file cannot be read.
        """
        self._refresh()
        if self._known.fault is not None:
            raise KeysUnreadable("The API's keys cannot be read; its log tells why.")
        presented = presented_key(text)
        key = self._known.keys.get(presented.id)
        expected = key.sha256 if key else _NOBODY
        is_right = hmac.compare_digest(expected, presented.sha256)
        if key is None or not is_right or key.revoked is not None:
            reason = "unknown" if key is None else "revoked" if is_right else "wrong secret"
            logger.warning("API key refused", key_id=presented.id or None, reason=reason)
            raise Unauthenticated("The API key is not valid. Ask the operator for one.")
        return key

    def announce(self) -> None:
        """Say in the log who can get in, for the start of a service."""
        if not self.is_closed():
            logger.warning(
                "The API asks nobody for a key: whoever reaches its port can train, read and "
                "delete. Create a key (python -m energy_forecasting keys create NAME), or keep it "
                "on a network that you trust",
                authentication="off",
            )
        elif self._known.fault is None:
            self._tell()
        if self._file.is_open_to_others():
            logger.warning(
                "Other users of this machine may read or write the key file; chmod 600 it",
                path=str(self._file.path),
            )

    def _refresh(self) -> None:
        try:
            stamp: object = self._file.stamp()
        except KeysUnreadable as error:
            self._fail(error.message, stamp=error.message)
            return
        if stamp == self._known.stamp:
            return
        is_first = self._known.stamp == _NOT_READ
        if stamp is None and self._is_closed and not is_first:
            self._fail(f"The key file {self._file.path} is gone; put it back.", stamp=stamp)
            return
        try:
            keys = {key.id: key for key in self._file.read()}
        except KeysUnreadable as error:
            self._fail(error.message, stamp=stamp)
            return
        self._is_closed = self._is_closed or bool(keys)
        self._known = _Known(stamp=stamp, keys=keys)
        if not is_first:
            self._tell()

    def _fail(self, fault: str, *, stamp: object) -> None:
        self._is_closed = True
        if fault != self._known.fault:
            logger.error("API keys cannot be read; every call is refused", reason=fault)
        self._known = _Known(stamp=stamp, fault=fault)

    def _tell(self) -> None:
        revoked = sum(key.revoked is not None for key in self._known.keys.values())
        live = len(self._known.keys) - revoked
        logger.info("API keys read", authentication="on", valid=live, revoked=revoked)
        if not live:
            logger.warning(
                "No API key is valid, so nobody gets in; create one with "
                "python -m energy_forecasting keys create NAME"
            )
