"""A redis-server of the storm's own that is shut down and killed, and started again.

It runs as ours does: append-only file, synced every second. With that, a ``kill -9`` may lose the
last second by Redis's own contract, and nobody's code could help it. A claim of "nothing lost"
would then be luck, so before a kill it is told to sync always (``appendfsync always``).
"""

import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from energy_forecasting.launcher.ports import LOOPBACK, any_free_port
from tests.chaos.patience import wait_for

_START_LIMIT_S = 20.0
_STOP_LIMIT_S = 20.0
#: For a write that waited for the sync of the second before.
_SYNC_S = 0.1


class RedisAtRisk:
    """A Redis on a port of its own whose data survive as long as its folder."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        folder.mkdir(parents=True)
        self.port = any_free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        #: The harness's own way in, past every proxy.
        self.client = redis.Redis.from_url(
            self.url, decode_responses=True, retry=Retry(NoBackoff(), 0)
        )
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run on the data of before, and wait until it answers."""
        command = [str(self._binary), "--port", str(self.port), "--bind", LOOPBACK]
        command += ["--dir", str(self._folder), "--save", "", "--appendonly", "yes"]
        command += ["--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
        with (self._folder / "redis.log").open("ab") as output:
            self._server = subprocess.Popen(command, stdout=output, stderr=output)
        wait_for(self.answers, within_s=_START_LIMIT_S, what="Redis answers")

    def restart(self) -> None:
        """End it in good order, and start it again."""
        self.stop()
        self.start()

    def kill_and_start(self) -> None:
        """Kill it with nothing unsynced, and start it again."""
        self.client.config_set("appendfsync", "always")
        time.sleep(_SYNC_S)
        if self._server is not None:
            self._server.kill()
            self._server.wait(_STOP_LIMIT_S)
        self.start()

    def stop(self) -> None:
        """End it in good order."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(_STOP_LIMIT_S)
            self._server = None

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False
