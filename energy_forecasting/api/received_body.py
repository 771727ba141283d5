"""The body of a request as it came, held in memory up to a limit.

The limit counts bytes that arrive, whatever ``Content-Length`` says, and again those that a
gzipped body unpacks to. It bounds one body; how many arrive at once is for the server to bound.
"""

import gzip
import io
import zlib
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from energy_forecasting.domain.errors import BodyTooLarge, InvalidRequest, UnsupportedBody

_BYTES_PER_MB = 2**20
_GZIP = ("gzip", "x-gzip")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedBody:
    """A body of a kind that the route reads."""

    media_type: str  #: lower case, without parameters
    is_gzipped: bool
    content: bytes  #: as it came
    limit_mb: int


async def receive_body(
    request: Request, media_types: tuple[str, ...], *, limit_mb: int
) -> ReceivedBody:
    """Take a body in.

    Raises:
        UnsupportedBody: its content type or encoding is not read; nothing was taken.
        BodyTooLarge: it is over the limit; the rest was not taken.
        HTTPException: the client went away.
    """
    media_type = _media_type(request, media_types)
    is_gzipped = _is_gzipped(request)
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > limit_mb * _BYTES_PER_MB:
                raise _too_large(limit_mb)
    except ClientDisconnect as error:  # nobody hears the answer, but the log has a line
        raise HTTPException(400, "The client left before its body was complete.") from error
    return ReceivedBody(
        media_type=media_type, is_gzipped=is_gzipped, content=bytes(content), limit_mb=limit_mb
    )


def unpacked(body: ReceivedBody) -> bytes:
    """Return a body's content without its compression; it takes too long for an event loop.

    Raises:
        InvalidRequest: it is not gzip.
        BodyTooLarge: it unpacks to more than the limit; the rest was not unpacked.
    """
    if not body.is_gzipped:
        return body.content
    limit = body.limit_mb * _BYTES_PER_MB
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(body.content)).read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidRequest(
            "The body is not the gzip that its Content-Encoding says.", field="body"
        ) from error
    if len(content) > limit:
        raise _too_large(body.limit_mb)
    return content


def _media_type(request: Request, media_types: tuple[str, ...]) -> str:
    given = request.headers.get("content-type", "")
    media_type = given.partition(";")[0].strip().lower()
    if media_type not in media_types:
        raise UnsupportedBody(
            f"Content-Type {given[:_SHOWN_CHARACTERS]!a} is not read; send "
            f"{' or '.join(media_types)}.",
            field="Content-Type",
            allowed=list(media_types),
        )
    return media_type


def _is_gzipped(request: Request) -> bool:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in (*_GZIP, "identity", ""):
        raise UnsupportedBody(
            f"Content-Encoding {encoding[:_SHOWN_CHARACTERS]!a} is not read; send gzip, or "
            "leave it out.",
            field="Content-Encoding",
            allowed=["gzip"],
        )
    return encoding in _GZIP


def _too_large(limit_mb: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than {limit_mb} MiB, packed or unpacked; send it in parts, or raise "
        "READINGS_BODY_LIMIT_MB.",
        field="body",
        limit_bytes=limit_mb * _BYTES_PER_MB,
    )
