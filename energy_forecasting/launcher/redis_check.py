"""``python -m energy_forecasting.launcher.redis_check``: is the Redis of REDIS_URL there?

The ``.bat`` files ask it first, because a worker without Redis only prints errors. It answers
within about two seconds and says what to do; exit code 0 or 1.
"""

import sys

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.settings import WrongSetting, read_settings
from energy_forecasting.tasks.redis_client import address, redis_faults_translated

_LIMIT_S = 2.0

_REMEDY = """\
One of these starts a Redis on Windows:
  WSL:      wsl sudo apt install redis-server    then    wsl sudo service redis-server start
  Docker:   docker run -d -p 6379:6379 redis:7 redis-server --appendonly yes
  Memurai:  https://www.memurai.com/get-memurai  (a Windows service)
For a Redis elsewhere:  set REDIS_URL=redis://HOST:6379/0
"""


def main() -> int:
    """Ask Redis and tell the outcome."""
    try:
        url = read_settings().redis_url
    except WrongSetting as error:
        sys.stderr.write(f"{error}\n")
        return 1
    fault = _fault(url)
    if fault:
        sys.stderr.write(f"{fault}\n\n{_REMEDY}")
        return 1
    sys.stdout.write(f"Redis at {address(url)} answers.\n")
    return 0


def _fault(url: str) -> str | None:
    try:
        with redis_faults_translated(url), _client(url) as client:
            client.ping()
    except EnergyForecastingError as error:
        return error.message
    except ValueError as error:
        return f"REDIS_URL is not the address of a Redis: {error}"
    return None


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=_LIMIT_S,
        socket_timeout=_LIMIT_S,
        retry=Retry(NoBackoff(), 0),
    )


if __name__ == "__main__":
    sys.exit(main())
