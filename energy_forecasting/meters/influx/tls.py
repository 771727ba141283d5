"""Trust in the server's certificate: whether a file can give it, what to do where it is missing."""

import ssl
from pathlib import Path

_ADVICE = {
    "mismatch": "its certificate is made for another name; write that name in url",
    "has expired": "its certificate has expired; renew it",
    "not yet valid": "its certificate is not valid yet; compare the clocks",
    "VERIFY_FAILED": "name the certificate of the authority that signed its certificate (or the "
    "certificate itself, if nobody else did) as ca_file",
    "WRONG_VERSION": "it seems to speak plain HTTP there; try http:// in url",
    "record layer": "it seems to speak plain HTTP there; try http:// in url",
}
_PLAIN_HTTP = ("http request to an https server", "http request was sent to https port")


def checked_ca_file(path: Path) -> Path:
    """Return the path of a file that holds certificates.

    Raises:
        ValueError: it holds none, or cannot be read.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ValueError("it must hold certificates in PEM format") from None
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from None
    return path


def advice(why: str) -> str:
    """Say what to do when OpenSSL does not trust a server, from what it says.

    >>> advice("[SSL: CERTIFICATE_VERIFY_FAILED] ... certificate has expired")
    'its certificate has expired; renew it'
    """
    known = (told for part, told in _ADVICE.items() if part in why)
    return next(known, "check its certificate and ca_file")


def asks_for_https(told: str) -> bool:
    """Tell whether a server complains that it was asked in plain HTTP."""
    return any(sign in told.lower() for sign in _PLAIN_HTTP)
