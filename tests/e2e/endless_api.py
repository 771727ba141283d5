"""The API with one more route, whose answer never ends: ``uvicorn --factory ...endless_api:make``.

A factory, because the test run imports every file to look for examples, and the import of the API's
door starts a service's log.
"""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse


async def _ticks() -> AsyncIterator[str]:
    while True:
        yield "tick\n"
        await asyncio.sleep(0.1)


def make() -> FastAPI:
    from main_dramatiq import app  # noqa: PLC0415 - see above

    @app.get("/endless")
    def endless() -> StreamingResponse:
        return StreamingResponse(_ticks())

    return app
