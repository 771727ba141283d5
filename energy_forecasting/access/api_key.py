"""An API key: what the client holds, and what the service keeps of it.

The text is ``ef_KEYID_SECRET``. The id names the key in lists and logs; the secret is 256 bits of
the operating system's randomness. Kept is the SHA-256 of the whole text only. A slow hash, as
passwords need, would add nothing: nobody can try out 2**256 secrets, however fast the hash is.

A key cannot tell who sends it: whoever has read it can use it until it is revoked.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from energy_forecasting.access.scope import Scope

_ID_BYTES = 4
_SECRET_BYTES = 32
_FORM = re.compile(r"ef_([0-9a-f]{8})_[0-9a-f]{64}")


def _checked_name(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("it must be printable and neither begin nor end with a space")
    return name


class ApiKey(BaseModel):
    """What is kept of a key; a revoked one is kept as well, so that it can never come back."""

    # A field with a slip in its name must not leave a key alive that was meant to be revoked.
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{8}$")
    name: Annotated[str, AfterValidator(_checked_name)] = Field(
        min_length=1, max_length=64, description="Who uses it, for lists and logs"
    )
    scope: Scope
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the key's text")
    created: AwareDatetime
    revoked: AwareDatetime | None = Field(None, description="null as long as the key is valid")
    trainings_per_hour: int | None = Field(
        None, ge=0, description="null: TRAININGS_PER_HOUR applies; 0: no limit"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PresentedKey:
    """What a client has sent."""

    id: str  #: empty when the text does not have the form of a key
    sha256: str


def made_key(
    *, name: str, scope: Scope, trainings_per_hour: int | None = None
) -> tuple[ApiKey, str]:
    """Make a key and return what is kept of it and its text, which is nowhere else.

    Raises:
        ValueError: the name or the number cannot be used.
    """
    text = f"ef_{secrets.token_hex(_ID_BYTES)}_{secrets.token_hex(_SECRET_BYTES)}"
    presented = presented_key(text)
    key = ApiKey(
        id=presented.id,
        name=name,
        scope=scope,
        sha256=presented.sha256,
        created=datetime.now(UTC).replace(microsecond=0),
        trainings_per_hour=trainings_per_hour,
    )
    return key, text


def presented_key(text: str) -> PresentedKey:
    """Read what a client has sent; any text at all is read without a fault.

    >>> presented_key("ef_0a1b2c3d_" + 64 * "0").id
    '0a1b2c3d'
    >>> presented_key("hunter2").id
    ''
    """
    form = _FORM.fullmatch(text)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return PresentedKey(id=form[1] if form else "", sha256=digest)
