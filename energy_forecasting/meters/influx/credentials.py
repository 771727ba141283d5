"""Where the server is and who asks: the parts of a configuration that go into HTTP headers.

What could end a header, or stand for something else in one, is refused; no message repeats it.
"""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from energy_forecasting.meters.influx.names import Name


def _checked_address(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # whose text repeats the url
        raise ValueError("it must look like http://localhost:8086") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it must look like http://localhost:8086")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("it must be printable ASCII without spaces")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("it must hold an address only; credentials have keys of their own")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("its port is no number from 0 to 65535") from None
    return url.rstrip("/")


def _checked_token(token: SecretStr) -> SecretStr:
    secret = token.get_secret_value()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError("it must be printable ASCII without spaces")
    return token


def _checked_username(name: str) -> str:
    if ":" in name:
        raise ValueError("it must not hold a colon, which ends the name in HTTP")
    return name


#: ``http://`` or ``https://``, host, perhaps a port and a path; no slash at its end.
Address = Annotated[str, AfterValidator(_checked_address)]
Token = Annotated[SecretStr, AfterValidator(_checked_token)]
Username = Annotated[Name, AfterValidator(_checked_username)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=256)]
