"""The least that FastAPI and Redis need to tell how a task is: one read, one JSON answer.

``uvicorn benchmarks.opponents.bare_status:app``; reads REDIS_URL. No checks, no records, no error
form, no request id, no log: what is above it is the price of those.
"""

import os

import redis.asyncio
from fastapi import FastAPI
from fastapi.responses import JSONResponse

app = FastAPI()
# A plain pool fails when more ask at once than it has connections, so this one lets them wait.
pool = redis.asyncio.BlockingConnectionPool.from_url(
    os.environ["REDIS_URL"], decode_responses=True, max_connections=50, timeout=20
)
client = redis.asyncio.Redis(connection_pool=pool)


@app.get("/status/{task_id}")
async def status(task_id: str) -> JSONResponse:
    """Return the fields of a task's hash as they are."""
    return JSONResponse(await client.hgetall(f"ef:task:{task_id}"))
