"""How many trainings a caller may start per hour, counted in Redis for all API processes.

One hash per caller, of 61 entries at most however much is allowed; what it holds stands in
``training_allowance.lua``. Reserving some is one atomic call, so processes cannot grant more
together than there is. The ``limits`` library was looked at: it grants all or nothing, and takes
nothing back of what a deduplicated request did not use. A process that dies between reserving and
admitting costs the caller that training for an hour; a Redis that is emptied forgets what was used.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis

from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.tasks.redis_client import redis_faults_translated
from energy_forecasting.tasks.task_keys import STARTED_PREFIX

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """Trainings that a caller may start now; settle it when it is known how many it did."""

    caller: str
    granted: int
    minute: int  #: in which they are counted
    retry_after_s: int  #: until another one is free; 0 when all that was wanted is granted


class TrainingAllowance:
    """Reserves trainings; safe to share between threads.

    Every call raises ``ConnectionFailed`` when Redis cannot be reached.
    """

    def __init__(self, client: redis.Redis, *, url: str) -> None:
        self._url = url
        self._script = client.register_script(_SCRIPT)

    def reserve(self, caller: str, wanted: int, *, per_hour: int) -> Reservation:
        """Grant as many of the trainings wanted as the last hour leaves room for.

        Args:
            caller: who starts them, such as the id of a key.
            wanted: how many, 1 or more.
            per_hour: the most in any hour.
        """
        granted, minute, retry_after_s = self._run(caller, "reserve", wanted, per_hour)
        return Reservation(
            caller=caller, granted=granted, minute=minute, retry_after_s=retry_after_s
        )

    def settle(self, reservation: Reservation, *, started: int) -> None:
        """Give back what was not started, or count what was started beyond; not without Redis."""
        if started != reservation.granted:
            with suppress(EnergyForecastingError):
                unused = reservation.granted - started
                self._run(reservation.caller, "settle", unused, reservation.minute)

    def _run(self, caller: str, *arguments: str | int) -> tuple[int, int, int]:
        with redis_faults_translated(self._url):
            answer = self._script(keys=[STARTED_PREFIX + caller], args=list(arguments))
        return cast("tuple[int, int, int]", tuple(answer))
