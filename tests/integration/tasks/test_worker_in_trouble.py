"""A worker whose Redis takes nothing says so once, with the cause, and goes on by itself."""

import time
from contextlib import closing
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from energy_forecasting import bootstrap
from energy_forecasting.settings import Settings
from energy_forecasting.tasks.redis_client import worker_redis
from energy_forecasting.tasks.workers import WorkerHeart, WorkerRegistry
from tests.conftest import wait_until

pytestmark = pytest.mark.redis


def test_full_memory_is_said_once_and_so_is_its_end(redis_url: str, tmp_path: Path) -> None:
    # Given a worker that lives
    client = worker_redis(redis_url)
    registry = WorkerRegistry(client, url=redis_url)
    store = bootstrap.task_store(Settings(redis_url=redis_url, log_dir=tmp_path), client)
    heart = WorkerHeart(registry, store, version="1", threads=1, trainer_pids=list)
    with closing(redis.Redis.from_url(redis_url)) as operator, capture_logs() as logs:
        heart.start()
        wait_until(lambda: len(registry.living()) == 1, within_s=20)
        # When Redis takes nothing for several beats, and then does again
        operator.config_set("maxmemory", "1")
        try:
            wait_until(lambda: any("away" in log["event"] for log in logs), within_s=20)
            time.sleep(3.5)
        finally:
            operator.config_set("maxmemory", "0")
        wait_until(lambda: any("back" in log["event"] for log in logs), within_s=20)
        heart.stop()
    client.close()
    # Then
    said = [log for log in logs if "away" in log["event"]]
    assert len(said) == 1
    assert "maxmemory" in said[0]["error"]
    assert sum("back" in log["event"] for log in logs) == 1
