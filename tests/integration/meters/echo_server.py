"""A server that repeats what it was sent, credentials and all, in every place of an answer."""

import gzip
import json
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

#: Makes an answer of the value of the header ``Authorization``.
Reply = Callable[[str], bytes]

_MOST_REQUEST_BYTES = 1 << 20
_HANDSHAKE = b"\x16\x03"


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def page(told: str) -> bytes:
    return f"<html><body><pre>Authorization: {told}</pre></body></html>\n".encode()


def message(told: str) -> bytes:
    return json.dumps({"code": "invalid", "message": f"what is '{told}'?"}).encode()


def error(told: str) -> bytes:
    return json.dumps({"error": f"unknown header Authorization={told}"}).encode()


def statement(told: str) -> bytes:
    return json.dumps({"results": [{"error": f"timeout of {told}"}]}).encode()


def influxql_csv(told: str) -> bytes:
    return f"name,tags,time,v\nm,,0,{told}\n".encode()


def annotated_csv(told: str) -> bytes:
    return (
        "#datatype,string,long\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n"
        f',"failed with {told}",897\r\n'
    ).encode()


def annotated_value(told: str) -> bytes:
    return (
        "#datatype,string,long,dateTime:RFC3339,double\r\n#group,false,false,false,false\r\n"
        f"#default,,,,\r\n,result,table,_time,_value\r\n,,0,2024-01-01T00:00:00Z,{told}\r\n"
    ).encode()


_STATUSES = (
    *("200 OK", "204 No Content", "301 Moved", "400 Bad Request", "401 Unauthorized"),
    *("403 Forbidden", "404 Not Found", "413 Too Large", "429 Too Many", "500 Internal Error"),
    *("502 Bad Gateway", "503 Unavailable"),
)
_BODIES = (page, message, error, statement, influxql_csv, annotated_csv, annotated_value)


def _answers(status: str, body: Callable[[str], bytes]) -> Reply:
    return lambda told: answer(status, body(told), Retry_After="0", X_Told=told)


REPLIES: dict[str, Reply] = {
    f"{status[:3]} {body.__name__}": _answers(status, body)
    for status in _STATUSES
    for body in _BODIES
} | {
    "reason": lambda told: answer(f"500 {told}"),
    "status line": lambda told: f"Authorization: {told}\r\n\r\n".encode(),
    "header line": lambda told: f"HTTP/1.1 200 OK\r\n{told}\r\n\r\n".encode(),
    "retry after": lambda told: answer("503 Unavailable", Retry_After=told),
    "version": lambda told: answer("204 No Content", X_Influxdb_Version=told),
    "version in body": lambda told: answer("200 OK", json.dumps({"version": told}).encode()),
    "redirect": lambda told: answer(
        "307 Temporary Redirect", Location=f"http://{told}@127.0.0.1:1/?token={told}#{told}"
    ),
    "redirect to a host": lambda told: answer("302 Found", Location=f"http://{told}/"),
    "broken gzip": lambda told: answer("200 OK", page(told), Content_Encoding="gzip"),
    "gzip": lambda told: answer("400 No", gzip.compress(error(told)), Content_Encoding="gzip"),
    "broken chunk": lambda told: (
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{told}\r\nx\r\n".encode()
    ),
    "too short": lambda told: answer("200 OK", page(told))[:-20],
    "too many headers": lambda told: (
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, told.encode()) for n in range(200))
    ),
    "no answer": lambda _told: b"",
}


class EchoServer:
    """On a loopback port; a context manager. Each request gets ``reply``."""

    def __init__(self) -> None:
        self.reply: Reply = REPLIES["500 page"]
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            request = _received(connection)
            if request:
                self.requests += 1
                connection.sendall(self.reply(_authorization(request)))
        except OSError:
            pass  # the client has heard enough


def _received(connection: socket.socket) -> bytes:
    """Return head and body; an unread body would reset the connection."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(65536)
        if not piece or len(request) > _MOST_REQUEST_BYTES:
            return b""
        request += piece
        if request.startswith(_HANDSHAKE):  # which is answered as a server without TLS does
            return request
    head, _, body = request.partition(b"\r\n\r\n")
    length = _header(head, "content-length")
    while len(body) < int(length or 0):
        body += connection.recv(65536)
    return head


def _authorization(head: bytes) -> str:
    return _header(head, "authorization")


def _header(head: bytes, name: str) -> str:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        label, _, value = line.partition(":")
        if label.lower() == name:
            return value.strip()
    return ""
