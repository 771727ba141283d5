"""Strikes: does to a running stack what a plan says, and notes what was hit.

A strike aims at whoever works on the task that has just entered the wanted stage. Between seeing
that and striking lie some milliseconds, in which a short stage may pass; over many strikes both
sides of every border are met.
"""

import contextlib
import random
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

import psutil
import redis

from energy_forecasting.domain.stages import Stage
from energy_forecasting.tasks.task_keys import LEASES, TASK_PREFIX
from tests.chaos.event_stream import EventStream
from tests.chaos.fault_kinds import KILLS, PAUSES, Fault
from tests.chaos.reply_losing_proxy import LostReply, ReplyLosingProxy
from tests.chaos.stack import ChaosStack, Worker
from tests.chaos.storm_plan import Strike

#: How long a task that enters the stage is waited for; then it strikes all the same.
_STAGE_LIMIT_S = 10.0
#: How long a reply to lose is waited for.
_REPLY_LIMIT_S = 20.0

_SIGNALS = {name: signal.Signals[name] for name in ("SIGKILL", "SIGTERM", "SIGSTOP")}
_OF_API = frozenset({Fault.API_KILLED, Fault.API_TERMINATED})

#: Bytes that only such a question holds: an argument as Redis's protocol frames it.
_QUESTIONS = {
    Fault.ENQUEUE_REPLY_LOST: b"$7\r\nenqueue\r\n",
    Fault.FETCH_REPLY_LOST: b"$5\r\nfetch\r\n",
    Fault.CLAIM_REPLY_LOST: b"$5\r\nclaim\r\n",
    Fault.STAGE_REPLY_LOST: b"$13\r\nFETCHING_DATA\r\n",
    Fault.SUCCESS_REPLY_LOST: b"$7\r\nSUCCESS\r\n",
    Fault.ACK_REPLY_LOST: b"$3\r\nack\r\n",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Injury:
    """A strike that was made."""

    strike: Strike
    begun_ms: int
    over_ms: int  #: when nothing was withheld any more
    affected: frozenset[str]  #: tasks that were being worked on by what was struck
    struck: bool  #: False: what was to be struck was not there

    @property
    def counted_from_ms(self) -> int:
        """From when recovery is counted."""
        return self.begun_ms if self.strike.fault in KILLS else self.over_ms


class Striker:
    """Makes strikes on one stack, each when some task enters the strike's stage."""

    def __init__(self, stack: ChaosStack, events: EventStream, dice: random.Random) -> None:
        self._stack = stack
        self._events = events
        self._dice = dice
        self._ways: dict[Fault, Callable[[Strike], Injury]] = {
            Fault.REDIS_RESTARTED: self._restart_redis,
            Fault.REDIS_KILLED: self._restart_redis,
            Fault.WORKER_CUT: self._cut_worker,
            Fault.API_CUT: self._cut_api,
            Fault.STORE_CUT: self._cut_store,
            Fault.DISK_FULL: self._fill_disk,
            **dict.fromkeys(_QUESTIONS, self._lose_reply),
        }

    def strike(self, strike: Strike) -> Injury:
        """Make a strike and return when it is over."""
        return self._ways.get(strike.fault, self._signal)(strike)

    def _signal(self, strike: Strike) -> Injury:
        # Who is who is found out before: looking through all processes takes longer than a stage.
        aims = {
            worker.name(): self._process_of(strike.fault, worker) for worker in self._stack.workers
        }
        name = self._worker_at(strike.stage, names=list(aims))
        process = aims[name]
        begun_ms = _now_ms()
        if process is None or not process.is_running():
            return _injury(strike, begun_ms, struck=False)
        affected: frozenset[str] = frozenset()
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(_SIGNALS[strike.fault.rpartition(" ")[2]])
            affected = frozenset() if strike.fault in _OF_API else self._tasks_of(name)
            if strike.fault in PAUSES:
                time.sleep(strike.length_s)
                process.send_signal(signal.SIGCONT)
        return _injury(strike, begun_ms, affected)

    def _restart_redis(self, strike: Strike) -> Injury:
        self._events.next_entry(strike.stage, within_s=_STAGE_LIMIT_S)
        begun_ms = _now_ms()
        if strike.fault is Fault.REDIS_KILLED:
            self._stack.redis.kill_and_start()
        else:
            self._stack.redis.restart()
        return _injury(strike, begun_ms)

    def _cut_worker(self, strike: Strike) -> Injury:
        workers = {worker.name(): worker for worker in self._stack.workers}
        name = self._worker_at(strike.stage, names=list(workers))
        begun_ms = _now_ms()
        with workers[name].proxy.away():
            affected = self._tasks_of(name)
            time.sleep(strike.length_s)
        return _injury(strike, begun_ms, affected)

    def _cut_api(self, strike: Strike) -> Injury:
        return self._withhold(strike, self._stack.api_proxy.away())

    def _cut_store(self, strike: Strike) -> Injury:
        assert self._stack.store_proxy is not None
        return self._withhold(strike, self._stack.store_proxy.away())

    def _fill_disk(self, strike: Strike) -> Injury:
        assert self._stack.disk is not None
        return self._withhold(strike, self._stack.disk.full())

    def _withhold(self, strike: Strike, withheld: AbstractContextManager[None]) -> Injury:
        self._events.next_entry(strike.stage, within_s=_STAGE_LIMIT_S)
        begun_ms = _now_ms()
        with withheld:
            time.sleep(strike.length_s)
        return _injury(strike, begun_ms)

    def _lose_reply(self, strike: Strike) -> Injury:
        is_api = strike.fault is Fault.ENQUEUE_REPLY_LOST
        proxy = self._stack.api_proxy if is_api else self._dice.choice(self._stack.workers).proxy
        lost = _lost(proxy, strike.fault)
        affected = frozenset(filter(self._is_task, lost.ids))
        at_ms = lost.at_ms or _now_ms()
        return Injury(
            strike=strike,
            begun_ms=at_ms,
            over_ms=at_ms,
            affected=affected,
            struck=lost.has_happened.is_set(),
        )

    def _process_of(self, fault: Fault, worker: Worker) -> psutil.Process | None:
        match fault.partition(",")[0]:
            case "API":
                return _process(self._stack.api.pid)
            case "supervisor":
                return _process(worker.supervisor.pid)
            case "worker":
                return worker.process()
            case "forkserver":
                return worker.forkserver()
            case _:
                return worker.trainer()

    def _worker_at(self, stage: Stage, *, names: list[str]) -> str:
        """Return the name of the worker whose task enters a stage next; any, if that has none."""
        task_id = self._events.next_entry(stage, within_s=_STAGE_LIMIT_S)
        found = self._worker_of(task_id) if task_id else None
        return found if found in names else self._dice.choice(names)

    def _worker_of(self, task_id: str) -> str | None:
        with contextlib.suppress(redis.RedisError):
            return cast(
                "str | None", self._stack.redis.client.hget(TASK_PREFIX + task_id, "worker")
            )
        return None

    def _tasks_of(self, name: str) -> frozenset[str]:
        """Return the tasks that a worker process holds."""
        with contextlib.suppress(redis.RedisError):
            leased = cast("list[str]", self._stack.redis.client.zrange(LEASES, 0, -1))
            return frozenset(task for task in leased if self._worker_of(task) == name)
        return frozenset()

    def _is_task(self, some_id: str) -> bool:
        return bool(self._stack.redis.client.exists(TASK_PREFIX + some_id))


def _lost(proxy: ReplyLosingProxy, fault: Fault) -> LostReply:
    lost = proxy.lose_reply(_QUESTIONS[fault])
    lost.has_happened.wait(_REPLY_LIMIT_S)
    proxy.lose_none()
    return lost


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return None if pid is None else psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _injury(
    strike: Strike,
    begun_ms: int,
    affected: frozenset[str] = frozenset(),
    *,
    struck: bool = True,
) -> Injury:
    return Injury(
        strike=strike, begun_ms=begun_ms, over_ms=_now_ms(), affected=affected, struck=struck
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
