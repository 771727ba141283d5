"""Asks the meter store how it is, without letting a slow store slow the health answer."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass

from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.meters.store import MeterStore, StoreStatus

FRESH_S = 2.0
PATIENCE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreHealth:
    """The last answer of the meter store."""

    is_connected: bool
    status: StoreStatus | None = None  #: None when it is not connected
    error: str | None = None  #: None when it is connected


class StoreProbe:
    """Caches the store's answer for two seconds and waits at most one for a new one."""

    def __init__(self, store: MeterStore) -> None:
        self._store = store
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-probe")
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._answer: Future[StoreStatus] | None = None

    @property
    def kind(self) -> str:
        """What the store is, whether or not it can be reached."""
        return self._store.kind

    def health(self) -> StoreHealth:
        """Return how the store is now, or was within the last two seconds."""
        with self._lock:
            is_pending = self._answer is not None and not self._answer.done()
            is_fresh = time.monotonic() - self._asked_at < FRESH_S
            if self._answer is None or not (is_pending or is_fresh):
                self._asked_at = time.monotonic()
                self._answer = self._executor.submit(self._store.check)
            answer = self._answer
        try:
            return StoreHealth(is_connected=True, status=answer.result(timeout=PATIENCE_S))
        except NotYet:
            return StoreHealth(is_connected=False, error="The meter store has not answered yet.")
        except EnergyForecastingError as error:
            return StoreHealth(is_connected=False, error=error.message)

    def close(self) -> None:
        """Wait for nothing; a pending question is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)
