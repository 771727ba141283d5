"""The keys under which Redis holds tasks, batches and dead letters; named here and nowhere else.

What the keys hold stands in ``task_store.lua``, which writes them. None of this works on a Redis
Cluster: one script touches keys of several slots.
"""

from energy_forecasting.domain.meters import Meter

PREFIX = "ef:"
INDEX = f"{PREFIX}tasks"
OPEN = f"{PREFIX}tasks:open"
LEASES = f"{PREFIX}tasks:leases"
WAITING_PREFIX = f"{PREFIX}tasks:waiting:"
DEAD = f"{PREFIX}tasks:dead"
DEAD_OF_METERS = f"{PREFIX}tasks:dead_of_meters"
DURATIONS = f"{PREFIX}stage_durations"
NEWEST_CLAIMED = f"{PREFIX}lanes:newest_claimed"
TASK_PREFIX = f"{PREFIX}task:"
TASK_EVENTS_PREFIX = f"{PREFIX}task_events:"
EVENT_CHANNEL_PREFIX = f"{PREFIX}events:"
WITHDRAWALS = f"{PREFIX}tasks:withdrawals"
BATCH_PREFIX = f"{PREFIX}batch:"
BATCH_TASKS_SUFFIX = ":tasks"
BATCH_OPEN_SUFFIX = ":open"
STARTED_PREFIX = f"{PREFIX}trainings_started:"
RECONCILED = f"{PREFIX}reconciled"


def live_key(meter: Meter | None) -> str:
    """Return the key that holds the open task of a meter; that of no meter is never written."""
    return f"{PREFIX}live:" + (f"{meter.meter_type}:{meter.meter_id}" if meter else "")
