"""The verdict over a storm: what Redis, the models and the processes say once it has settled.

Nothing here depends on when things happened, so a slow machine changes no verdict.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import cast

import redis

from energy_forecasting.domain.errors import StorageFailed
from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import ENTERED_FROM, Stage
from energy_forecasting.registry.artifact import read_artifact
from energy_forecasting.registry.model_registry import INCOMING, SUFFIX
from energy_forecasting.tasks.task_keys import (
    BATCH_OPEN_SUFFIX,
    BATCH_PREFIX,
    LEASES,
    OPEN,
    WAITING_PREFIX,
    WITHDRAWALS,
    live_key,
)
from tests.chaos.task_story import TaskEvent, TaskStory
from tests.chaos.violation import Violation, Wrong

#: How a task may fail by what a storm does: trainer or worker killed, disk full, store away.
EXPLAINED = frozenset({"MEMORY_ERROR", "WORKER_LOST", "STORAGE_ERROR", "CONNECTION_ERROR"})

_AGAIN = frozenset({Stage.TRAINING_MODEL})  #: stages that report progress without being left


def judge_tasks(
    stories: Mapping[str, TaskStory], accepted: Mapping[str, str], cancelled: set[str]
) -> Iterator[Violation]:
    """Judge every task on its own, and every meter's tasks together."""
    for task_id, story in stories.items():
        if story.record is None or not story.is_over:
            where = story.stage or "without a record"
            told = "accepted " if task_id in accepted else ""
            yield Violation(
                wrong=Wrong.LOST, sentence=f"{told}task {task_id} is {where}", task_id=task_id
            )
        if task_id in cancelled and story.stage is not Stage.CANCELLED:
            yield Violation(
                wrong=Wrong.UNTRUTHFUL,
                sentence=f"task {task_id} was confirmed as cancelled and is {story.stage}",
                task_id=task_id,
            )
        if story.stage is Stage.FAILED and story.error_type not in EXPLAINED:
            yield Violation(
                wrong=Wrong.UNTRUTHFUL,
                sentence=f"task {task_id} failed with {story.error_type}, which nothing explains",
                task_id=task_id,
            )
        yield from _judge_events(story)
    yield from _judge_turns(stories)


def _judge_events(story: TaskStory) -> Iterator[Violation]:
    """One end, which is the last event; every event follows from the one before."""

    def wrong(kind: Wrong, what: str) -> Violation:
        return Violation(wrong=kind, sentence=f"task {story.task_id} {what}", task_id=story.task_id)

    if not story.events:
        yield wrong(Wrong.LOST, "has no event")
        return
    ends = [event for event in story.events if event.stage.is_terminal]
    if len(ends) > 1:
        yield wrong(Wrong.DOUBLED, f"ended {len(ends)} times")
    first, last = story.events[0], story.events[-1]
    if (first.stage, first.attempt, first.progress) != (Stage.PENDING, 1, 0):
        yield wrong(Wrong.DISORDER, f"begins with {first}")
    for before, after in pairwise(story.events):
        if what := _break(before, after):
            yield wrong(Wrong.DISORDER, f"{what}: {before} -> {after}")
    record = story.record
    if record and (record.status, record.attempt, record.progress) != (
        last.stage,
        last.attempt,
        last.progress,
    ):
        yield wrong(Wrong.DISORDER, f"is {record.status} by its record, its last event is {last}")


def _break(before: TaskEvent, after: TaskEvent) -> str | None:
    """Say in words why an event cannot follow another; None when it can."""
    if after.stage is before.stage:
        if after.stage not in _AGAIN:
            return "the same stage twice"
    elif before.stage not in ENTERED_FROM[after.stage]:
        return "a stage is missing"
    if after.at_ms < before.at_ms:
        return "time goes back"
    # A retry, or a task that fails because it has lost its last worker.
    grows = after.stage is Stage.PENDING or (
        after.stage is Stage.FAILED and after.attempt != before.attempt
    )
    if after.attempt != before.attempt + grows:
        return "the attempt is wrong"
    if after.progress < before.progress and after.stage is not Stage.PENDING:
        return "progress goes back"
    return None


def _judge_turns(stories: Mapping[str, TaskStory]) -> Iterator[Violation]:
    """No meter has two open tasks at a time."""
    for meter, tasks in _by_meter(stories).items():
        for before, after in pairwise(tasks):
            if before.ended_ms is None or before.ended_ms > after.events[0].at_ms:
                yield Violation(
                    wrong=Wrong.DOUBLED,
                    sentence=f"{meter} had two open tasks: {before.task_id} and {after.task_id}",
                    task_id=after.task_id,
                )


def judge_models(stories: Mapping[str, TaskStory], root: Path) -> Iterator[Violation]:
    """Every model opens, belongs to a success, and the latest that passed its gate serves."""
    for path in sorted(root.glob(f"[!.]*/**/*{SUFFIX}")):
        try:
            read_artifact(path)
        except StorageFailed as error:
            yield Violation(wrong=Wrong.TORN, sentence=f"{path.relative_to(root)}: {error.message}")
    tasks = _by_meter(stories)
    for path in root.glob("[!.]*/*.versions"):
        meter = Meter(meter_type=path.parent.name, meter_id=path.name.removesuffix(".versions"))
        tasks.setdefault(meter, [])
    for meter, of_meter in tasks.items():
        yield from _judge_models_of(meter, of_meter, root)


def _judge_models_of(meter: Meter, tasks: list[TaskStory], root: Path) -> Iterator[Violation]:
    folder = root / meter.meter_type / f"{meter.meter_id}.versions"
    there = {path.stem for path in folder.glob(f"*{SUFFIX}")}
    named = {task.version: task for task in tasks if task.version is not None}
    for version in sorted(there - named.keys()):
        yield Violation(
            wrong=Wrong.DOUBLED,
            sentence=f"{meter} has a version {version} that no successful task names",
        )
    for version in sorted(named.keys() - there):
        yield Violation(
            wrong=Wrong.TORN,
            sentence=f"{meter} has lost version {version} of task {named[version].task_id}",
            task_id=named[version].task_id,
        )
    promoted = [task for task in tasks if task.version in there and task.is_promoted]
    expected = max(promoted, key=lambda task: task.ended_ms or 0).version if promoted else None
    serving = _version_at(root / meter.meter_type / f"{meter.meter_id}{SUFFIX}")
    if serving != expected:
        yield Violation(
            wrong=Wrong.TORN,
            sentence=f"{meter} is served by {serving}, its latest success made {expected}",
            task_id=named[expected].task_id if expected else None,
        )


def judge_remnants(client: redis.Redis, root: Path) -> Iterator[Violation]:
    """Queues, leases and indexes are empty, and no half-written model lies about."""
    yield from judge_queues(client)
    for path in sorted((root / INCOMING).glob("*")):
        yield Violation(wrong=Wrong.REMNANT, sentence=f"{path.relative_to(root)} was left behind")


def judge_queues(client: redis.Redis) -> Iterator[Violation]:
    """Nobody waits, and nothing waits for anybody."""
    for name in sorted(cast("list[str]", client.keys("dramatiq:*"))):
        if name.endswith("__heartbeats__"):  # who is there, not what is to be done
            continue
        held = _length(client, name)
        if held:
            yield Violation(wrong=Wrong.REMNANT, sentence=f"{name} still holds {held}")
    waiting = sorted(cast("list[str]", client.keys(f"{WAITING_PREFIX}*")))
    for name in (OPEN, LEASES, WITHDRAWALS, *waiting):
        if held := client.zcard(name):
            yield Violation(wrong=Wrong.REMNANT, sentence=f"{name} still holds {held}")
    for name in sorted(cast("list[str]", client.keys(f"{BATCH_PREFIX}*{BATCH_OPEN_SUFFIX}"))):
        yield Violation(wrong=Wrong.REMNANT, sentence=f"{name} still holds {client.scard(name)}")
    for name in sorted(cast("list[str]", client.keys(f"{live_key(None)}*"))):
        yield Violation(wrong=Wrong.REMNANT, sentence=f"{name} still names a task")


def _length(client: redis.Redis, name: str) -> int:
    count = {"list": client.llen, "set": client.scard, "hash": client.hlen, "zset": client.zcard}
    kind = str(client.type(name))
    return count[kind](name) if kind in count else 0


def _by_meter(stories: Mapping[str, TaskStory]) -> dict[Meter, list[TaskStory]]:
    """Return each meter's tasks in the order of their admission."""
    tasks: dict[Meter, list[TaskStory]] = defaultdict(list)
    for story in stories.values():
        if story.meter is not None and story.events:
            tasks[story.meter].append(story)
    for of_meter in tasks.values():
        of_meter.sort(key=lambda story: story.events[0].at_ms)
    return dict(tasks)


def _version_at(path: Path) -> str | None:
    try:
        return read_artifact(path)[0].version
    except StorageFailed:
        return None
