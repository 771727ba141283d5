"""What a client sees while the storm lasts: every answer is compared with those before.

A witness asks through the API as any client does, and reads champions as the API does. It judges
only what a client can know: a status that goes back, an end that changes, a model that does not
open, an answer of 500.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from energy_forecasting.domain.errors import StorageFailed
from energy_forecasting.domain.stages import PIPELINE, TERMINAL_STAGES, Stage
from energy_forecasting.registry.artifact import read_artifact
from energy_forecasting.registry.model_registry import SUFFIX
from tests.chaos.patience import end_thread
from tests.chaos.violation import Violation, Wrong

#: Of every so many looks at open tasks, one at the ended ones.
_ENDED_EVERY = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """One answer about one task."""

    stage: Stage
    attempt: int
    progress: int
    message: str

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "Sight":
        """Read a task record."""
        return cls(
            stage=Stage(answer["status"]),
            attempt=answer["attempt"],
            progress=answer["progress"],
            message=answer["message"],
        )


class Witness:
    """Notes what clients are told; safe to share between threads."""

    def __init__(self) -> None:
        self.accepted: dict[str, str] = {}  #: task id to meter id, of every answer of 200
        self.answers: Counter[str] = Counter()  #: how often each kind of answer was given
        self.champions_read = 0
        self.violations: list[Violation] = []
        self._last: dict[str, Sight] = {}
        self._lock = threading.Lock()

    def accept(self, task_id: str, meter_id: str) -> None:
        """Note a task that the API has accepted."""
        with self._lock:
            self.accepted[task_id] = meter_id

    def open_tasks(self) -> list[str]:
        """Return accepted tasks that have not been seen to end."""
        with self._lock:
            return [each for each in self.accepted if not self._has_ended(each)]

    def ended_tasks(self) -> list[str]:
        """Return accepted tasks that have been seen to end."""
        with self._lock:
            return [each for each in self.accepted if self._has_ended(each)]

    def note_answer(self, answer: httpx.Response | httpx.TransportError) -> None:
        """Count an answer; one of 500 is nobody's to see."""
        with self._lock:
            if isinstance(answer, httpx.TransportError):
                self.answers[type(answer).__name__] += 1
                return
            self.answers[f"{answer.request.method} {answer.status_code}"] += 1
            if answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
                self._object(
                    Wrong.SERVER_ERROR, f"{answer.request.url.path} answered {answer.text[:300]}"
                )

    def note_status(self, task_id: str, answer: httpx.Response) -> None:
        """Compare what is told of a task with what was told before."""
        if answer.status_code == httpx.codes.NOT_FOUND:
            self.object(Wrong.LOST, f"accepted task {task_id} is unknown to the API", task_id)
            return
        if answer.status_code != httpx.codes.OK:
            return
        sight = Sight.of(answer.json())
        with self._lock:
            before = self._last.get(task_id)
            self._last[task_id] = sight
            if before is not None and (wrong := _contradiction(before, sight)):
                self._object(Wrong.DISORDER, f"task {task_id} {wrong}", task_id)

    def read_champions(self, root: Path) -> None:
        """Open every champion that there is."""
        for path in sorted(root.glob(f"[!.]*/*{SUFFIX}")):
            try:
                read_artifact(path)
            except StorageFailed as error:
                if not path.exists():  # taken back meanwhile: nothing was read
                    continue
                self.object(Wrong.TORN, f"{path.name} could not be read: {error.message}")
            self.champions_read += 1

    def object(self, wrong: Wrong, sentence: str, task_id: str | None = None) -> None:
        """Note a violation."""
        with self._lock:
            self._object(wrong, sentence, task_id)

    def _object(self, wrong: Wrong, sentence: str, task_id: str | None = None) -> None:
        self.violations.append(Violation(wrong=wrong, sentence=sentence, task_id=task_id))

    def _has_ended(self, task_id: str) -> bool:
        sight = self._last.get(task_id)
        return sight is not None and sight.stage in TERMINAL_STAGES


class Onlooker:
    """A thread that asks for the status of every accepted task and reads champions."""

    def __init__(self, witness: Witness, *, url: str, models: Path, every_s: float) -> None:
        self._witness = witness
        self._http = httpx.Client(base_url=url, timeout=5)
        self._models = models
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="onlooker", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look at every task once more, then no more."""
        end_thread(self._thread, self._stop)
        self._look_at(self._witness.accepted)
        self._witness.read_champions(self._models)
        self._http.close()

    def _run(self) -> None:
        rounds = 0
        while not self._stop.wait(self._every_s):
            rounds += 1
            self._look_at(self._witness.open_tasks())
            if rounds % _ENDED_EVERY == 0:
                self._look_at(self._witness.ended_tasks())
            self._witness.read_champions(self._models)

    def _look_at(self, task_ids: "list[str] | dict[str, str]") -> None:
        for task_id, answer in self._answers(list(task_ids)):
            self._witness.note_status(task_id, answer)

    def _answers(self, task_ids: list[str]) -> Iterator[tuple[str, httpx.Response]]:
        for task_id in task_ids:
            try:
                answer = self._http.get(f"/trainmodel/status/{task_id}")
            except httpx.TransportError as error:
                self._witness.note_answer(error)
                return  # the API is away: the next round asks again
            self._witness.note_answer(answer)
            yield task_id, answer


def _contradiction(before: Sight, now: Sight) -> str | None:
    """Say in words how two answers contradict each other."""
    told = f"was {before}, then {now}"
    if before.stage in TERMINAL_STAGES:
        return None if now == before else f"changed after its end: {told}"
    if now.attempt < before.attempt:
        return f"went back to an earlier attempt: {told}"
    if now.attempt > before.attempt:
        return None
    if now.progress < before.progress:
        return f"lost progress: {told}"
    if now.stage in PIPELINE and PIPELINE.index(now.stage) < PIPELINE.index(before.stage):
        return f"went back: {told}"
    return None
