"""The order to stop: whether this worker process still takes tasks, and how long running ones may.

It cannot stop anything itself: threads ask it between their steps, and one that hangs in a call
does not ask.
"""

import time


class StopOrder:
    """Given by one thread, read by all."""

    def __init__(self) -> None:
        #: Monotonic moment until which running trainings may go on; None: no order was given.
        self.deadline: float | None = None

    @property
    def is_given(self) -> bool:
        """Whether nothing new may be begun."""
        return self.deadline is not None

    def give(self, *, within_s: float) -> None:
        """Order to stop; a second order can only bring the end nearer."""
        deadline = time.monotonic() + within_s
        self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)

    def is_overdue(self) -> bool:
        """Whether running trainings must go back to the queue now."""
        return self.deadline is not None and time.monotonic() >= self.deadline
