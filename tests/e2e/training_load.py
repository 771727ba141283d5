"""A steady stream of trainings over HTTP, posted and followed to their ends by several clients."""

import itertools
import threading
import time
from collections import Counter
from typing import Any

import httpx

ENDED = {"SUCCESS", "FAILED", "CANCELLED"}


class TrainingLoad:
    """Posts and polls until stopped; remembers every fault.

    Args:
        url: of the API.
        bodies: of ``POST /trainmodel/``, taken in turn.
        pause_s: between two posts of one client.
        keeps_connections: False opens a connection for each request; True keeps one per client
            and asks once more when the server has closed it instead of answering, as a client of
            HTTP/1.1 must.

    A 503 that says when to come back is obeyed: on a busy machine Redis' answer may be late.
    """

    def __init__(
        self,
        url: str,
        bodies: list[dict[str, Any]],
        *,
        pause_s: float,
        clients: int,
        keeps_connections: bool,
    ) -> None:
        self.accepted: set[str] = set()
        self.ended: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        self.requests: Counter[str] = Counter()
        self._url = url
        self._bodies = itertools.cycle(bodies)
        self._pause_s = pause_s
        self._keeps_connections = keeps_connections
        self._lock = threading.Lock()
        self._must_end = threading.Event()
        self._posters = [threading.Thread(target=self._post) for _ in range(clients)]
        self._pollers = [threading.Thread(target=self._poll) for _ in range(clients)]

    def start(self) -> None:
        for thread in (*self._posters, *self._pollers):
            thread.start()

    def stop_posting(self) -> None:
        self._must_end.set()
        for thread in self._posters:
            thread.join(60)

    def wait_for_all(self, *, within_s: float) -> None:
        """Follow what was accepted to its end."""
        deadline = time.monotonic() + within_s
        for thread in self._pollers:
            thread.join(max(deadline - time.monotonic(), 0))
            assert not thread.is_alive(), self.accepted - self.ended.keys()

    def _post(self) -> None:
        with self._client() as client:
            while not self._must_end.wait(self._pause_s):
                with self._lock:
                    body = next(self._bodies)
                answer = self._ask(client, "POST", "/trainmodel/", json=body)
                if answer is not None:
                    with self._lock:
                        self.accepted.add(answer["task_id"])

    def _poll(self) -> None:
        with self._client() as client:
            while True:
                with self._lock:
                    still_open = self.accepted - self.ended.keys()
                if not still_open and self._must_end.is_set():
                    return
                for task_id in still_open:
                    record = self._ask(client, "GET", f"/trainmodel/status/{task_id}")
                    if record is not None and record["status"] in ENDED:
                        with self._lock:
                            self.ended[task_id] = record
                time.sleep(0.5)

    def _client(self) -> httpx.Client:
        kept = 1 if self._keeps_connections else 0
        limits = httpx.Limits(max_keepalive_connections=kept)
        return httpx.Client(base_url=self._url, timeout=30, limits=limits, trust_env=False)

    def _ask(
        self, client: httpx.Client, method: str, path: str, *, json: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        is_last = not self._keeps_connections
        while True:
            try:
                answer = client.request(method, path, json=json)
            except httpx.TransportError as error:
                with self._lock:
                    self.requests["cut off"] += 1
                    if is_last:
                        self.faults.append(f"{method} {path}: {error!r}")
                        return None
                is_last = True
                continue
            with self._lock:
                self.requests[f"{method} {answer.status_code}"] += 1
                if answer.is_error and "Retry-After" not in answer.headers:
                    self.faults.append(f"{method} {path}: {answer.status_code} {answer.text}")
                    return None
            if answer.is_success:
                return dict(answer.json())
            time.sleep(float(answer.headers["Retry-After"]))
