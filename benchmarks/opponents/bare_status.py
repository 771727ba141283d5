"""The least that FastAPI and Redis need to tell how a task is: one read, one JSON answer.

``uvicorn benchmarks.opponents.bare_status:app``; reads REDIS_URL. No checks, no records, no error
form, no request id, no log: what is above it is the price of those.
"""

import os

import redis.asyncio
from fastapi import FastAPI
from fastapi.responses import JSONResponse

app = FastAPI()
client = redis.asyncio.Redis.from_url(
    os.environ["REDIS_URL"], decode_responses=True, max_connections=2_000
)


@app.get("/status/{task_id}")
async def status(task_id: str) -> JSONResponse:
    """Return the fields of a task's hash as they are."""
    return JSONResponse(await client.hgetall(f"ef:task:{task_id}"))
