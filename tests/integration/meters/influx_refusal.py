"""What InfluxDB 2.x answers instead of a result: a status and a JSON body."""

import json


class Refusal(Exception):
    """One refusal, raised anywhere in the double and sent by its server."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"code": code, "message": message}).encode()
        self.headers = headers or {}


def compile_error(what: str) -> Refusal:
    """Refuse a query that Flux would not compile."""
    return Refusal(400, "invalid", f"compilation failed: error @1:1-1:2: {what}")


def runtime_error(call: str, what: str) -> Refusal:
    """Refuse a query that breaks before the first row."""
    return Refusal(400, "invalid", f"runtime error @1:1-1:2: {call}: {what}")
