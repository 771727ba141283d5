"""The faults that a storm injects, and which storm brings which.

Faults of hardware that lies (a disk that loses what it has synced, a clock that jumps) are not
among them.
"""

from enum import StrEnum


class Fault(StrEnum):
    """One way to spoil a running system; the value is its name in the report."""

    TRAINER_KILLED = "trainer, SIGKILL"
    TRAINER_TERMINATED = "trainer, SIGTERM"
    TRAINER_PAUSED = "trainer, SIGSTOP"  #: longer than the heartbeat
    FORKSERVER_KILLED = "forkserver, SIGKILL"
    FORKSERVER_TERMINATED = "forkserver, SIGTERM"
    WORKER_KILLED = "worker, SIGKILL"
    WORKER_TERMINATED = "worker, SIGTERM"
    WORKER_PAUSED = "worker, SIGSTOP"  #: longer than the heartbeat
    SUPERVISOR_KILLED = "supervisor, SIGKILL"
    SUPERVISOR_TERMINATED = "supervisor, SIGTERM"
    API_KILLED = "API, SIGKILL"
    API_TERMINATED = "API, SIGTERM"
    REDIS_RESTARTED = "Redis, SHUTDOWN"
    REDIS_KILLED = "Redis, SIGKILL"  #: with ``appendfsync always``: see ``redis_at_risk``
    WORKER_CUT = "worker cut from Redis"
    API_CUT = "API cut from Redis"
    STORE_CUT = "meter store cut"
    DISK_FULL = "disk full"
    ENQUEUE_REPLY_LOST = "reply lost: enqueue"
    FETCH_REPLY_LOST = "reply lost: fetch"
    CLAIM_REPLY_LOST = "reply lost: claim"
    STAGE_REPLY_LOST = "reply lost: stage"
    SUCCESS_REPLY_LOST = "reply lost: success"
    ACK_REPLY_LOST = "reply lost: ack"


#: Whose recovery is counted from its first moment: others must take over meanwhile. An outage is
#: counted from its end, as its length is the storm's choice.
KILLS = frozenset(fault for fault in Fault if "SIG" in fault and not fault.startswith("Redis"))

PAUSES = frozenset({Fault.WORKER_PAUSED, Fault.TRAINER_PAUSED})

STORMS: dict[str, tuple[Fault, ...]] = {
    "trainers": (
        Fault.TRAINER_KILLED,
        Fault.TRAINER_TERMINATED,
        Fault.FORKSERVER_KILLED,
        Fault.FORKSERVER_TERMINATED,
    ),
    "workers": (
        Fault.WORKER_KILLED,
        Fault.WORKER_TERMINATED,
        Fault.SUPERVISOR_KILLED,
        Fault.SUPERVISOR_TERMINATED,
    ),
    "pauses": (Fault.WORKER_PAUSED, Fault.TRAINER_PAUSED),
    "servers": (
        Fault.API_KILLED,
        Fault.API_TERMINATED,
        Fault.REDIS_RESTARTED,
        Fault.REDIS_KILLED,
    ),
    "cuts": (Fault.WORKER_CUT, Fault.API_CUT, Fault.STORE_CUT, Fault.DISK_FULL),
    "replies": (
        Fault.ENQUEUE_REPLY_LOST,
        Fault.FETCH_REPLY_LOST,
        Fault.CLAIM_REPLY_LOST,
        Fault.STAGE_REPLY_LOST,
        Fault.SUCCESS_REPLY_LOST,
        Fault.ACK_REPLY_LOST,
    ),
    "everything": tuple(Fault),
}

#: What fits into a minute: no pause, as one alone takes a quarter of it.
BRIEF = (
    Fault.TRAINER_KILLED,
    Fault.WORKER_KILLED,
    Fault.API_KILLED,
    Fault.REDIS_KILLED,
    Fault.ENQUEUE_REPLY_LOST,
    Fault.FETCH_REPLY_LOST,
    Fault.SUCCESS_REPLY_LOST,
    Fault.WORKER_CUT,
    Fault.STORE_CUT,
    Fault.DISK_FULL,
)
