"""Clients that ask for trainings without end, alone, in batches, twice at once; some are cancelled.

A client that got no answer, or one that says "try again", asks again, as its own users would. A
training that was asked for counts as accepted from the answer of 200 on, and no sooner.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import httpx

from tests.chaos.event_stream import EventStream
from tests.chaos.meter_fleet import meter_number
from tests.chaos.patience import end_thread
from tests.chaos.storm_plan import Order
from tests.chaos.violation import Wrong
from tests.chaos.witness import Witness

#: Trainings that are kept open: enough that no worker idles.
OPEN_AT_ONCE = 5
_FEED_EVERY_S = 0.05
_RETRY_AFTER_S = 0.3
#: How long a client goes on asking.
_PATIENCE_S = 90.0
#: How long a stage to cancel at is waited for.
_STAGE_LIMIT_S = 30.0


class Clients:
    """Threads that order trainings until told that it is enough."""

    def __init__(
        self, witness: Witness, events: EventStream, orders: Iterator[Order], *, url: str
    ) -> None:
        self._witness = witness
        self._events = events
        self._orders = orders
        self._http = httpx.Client(base_url=url, timeout=5)
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="client")
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="clients", daemon=True)
        self.cancelled: set[str] = set()  #: tasks whose cancelling was confirmed

    def start(self) -> None:
        """Begin to order."""
        self._thread.start()

    def finish(self) -> None:
        """Order no more; returns when every order and every cancelling has its answer."""
        end_thread(self._thread, self._enough)
        self._pool.shutdown()

    def order_one(self) -> None:
        """Order one more training, which nobody cancels."""
        self._ask(Order(meters=[1], twice=False, cancel_at=None))

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def _feed(self) -> None:
        while not self._enough.wait(_FEED_EVERY_S):
            if len(self._witness.open_tasks()) < OPEN_AT_ONCE:
                self._place(next(self._orders))

    def _place(self, order: Order) -> None:
        asked = [self._pool.submit(self._ask, order) for _ in range(2 if order.twice else 1)]
        task_ids = sorted({task_id for each in asked for task_id in each.result()})
        if order.cancel_at is not None and task_ids:
            self._pool.submit(self._cancel, task_ids[0], order)

    def _ask(self, order: Order) -> list[str]:
        """Ask until it is accepted; return the ids of the tasks."""
        meters = [asdict(meter_number(number)) for number in order.meters]
        is_batch = len(meters) > 1
        path, body = (
            ("/trainmodel/batch", {"meters": meters}) if is_batch else ("/trainmodel/", meters[0])
        )
        answer = self._insist("POST", path, body)
        if answer is None or answer.status_code != httpx.codes.OK:
            said = answer.text[:300] if answer else "nothing"
            self._witness.object(Wrong.LOST, f"meters {order.meters} could not be ordered: {said}")
            return []
        told = answer.json()
        accepted = told["tasks"] if is_batch else [told]
        for task in accepted:
            self._witness.accept(str(task["task_id"]), task["meter_id"])
        return [str(task["task_id"]) for task in accepted]

    def _cancel(self, task_id: str, order: Order) -> None:
        assert order.cancel_at is not None
        self._events.next_entry(order.cancel_at, within_s=_STAGE_LIMIT_S, task_id=task_id)
        answer = self._insist("DELETE", f"/trainmodel/{task_id}", None)
        if answer is not None and answer.status_code == httpx.codes.OK:
            self.cancelled.add(task_id)
        elif answer is None or answer.status_code != httpx.codes.CONFLICT:
            said = answer.text[:300] if answer else "nothing"
            self._witness.object(Wrong.LOST, f"{task_id} could not be cancelled: {said}", task_id)

    def _insist(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response | None:
        """Ask until the answer is final; None when patience ends."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                self._witness.note_answer(error)
            else:
                self._witness.note_answer(answer)
                if not answer.is_server_error:
                    return answer
            time.sleep(_RETRY_AFTER_S)
        return None
