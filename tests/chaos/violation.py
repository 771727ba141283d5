"""What a storm must never bring to light."""

from dataclasses import dataclass
from enum import StrEnum


class Wrong(StrEnum):
    """Kinds of violations; the value is the column in the report."""

    LOST = "lost"  #: an accepted task without an end, or without a record
    DOUBLED = "doubled"  #: two ends, two open tasks of a meter, a version that no success names
    TORN = "torn"  #: a model that cannot be opened, or is missing, or is the wrong champion
    DISORDER = "out of order"  #: events or answers that contradict each other
    UNTRUTHFUL = "untruthful"  #: an end that does not say what happened
    ORPHAN = "orphans"  #: processes that nobody owns, or that would not stop
    REMNANT = "remnants"  #: queues, leases, indexes and unfinished files that nobody will use
    SERVER_ERROR = "server errors"  #: answers of 500
    SLOW = "slow"  #: a recovery over its limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One thing that is wrong."""

    wrong: Wrong
    sentence: str  #: what is wrong, with the task's id or the file
    task_id: str | None = None  #: whose story is to be shown with it
