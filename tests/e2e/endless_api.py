"""The API with one more route, whose answer never ends: ``uvicorn tests.e2e.endless_api:app``."""

import asyncio
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse

from main_dramatiq import app


async def _ticks() -> AsyncIterator[str]:
    while True:
        yield "tick\n"
        await asyncio.sleep(0.1)


@app.get("/endless")
def endless() -> StreamingResponse:
    return StreamingResponse(_ticks())
