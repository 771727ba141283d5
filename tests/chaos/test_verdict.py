"""The verdict and the witness find what they are there to find, in stories made up for them."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from energy_forecasting.domain.stages import STAGE_PROGRESS, Stage
from energy_forecasting.tasks.record import TaskRecord
from tests.chaos.patience import DidNotHappen, end_thread
from tests.chaos.storm_plan import plan_storm
from tests.chaos.task_story import TaskEvent, TaskStory
from tests.chaos.verdict import judge_models, judge_tasks
from tests.chaos.violation import Wrong
from tests.chaos.witness import Witness

RUN = [
    Stage.PENDING,
    Stage.STARTED,
    Stage.CONNECTING,
    Stage.FETCHING_DATA,
    Stage.VALIDATING_DATA,
    Stage.TRAINING_MODEL,
    Stage.SAVING_MODEL,
]


def events(*stages: Stage, attempt: int = 1, since: int = 1) -> list[TaskEvent]:
    return [
        TaskEvent(
            stage=stage,
            attempt=attempt,
            progress=STAGE_PROGRESS.get(stage, 0),
            at_ms=since + number,
            message="",
        )
        for number, stage in enumerate(stages)
    ]


def story(task_id: str, *told: TaskEvent, result: dict[str, Any] | None = None) -> TaskStory:
    """Return a task whose record says what its last event says."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    record = TaskRecord(
        task_id=task_id,
        meter_id="house",
        meter_type="gas",
        status=told[-1].stage,
        progress=told[-1].progress,
        attempt=told[-1].attempt,
        message="",
        created_at=moment,
        updated_at=moment,
        result=result,
    )
    return TaskStory(task_id=task_id, record=record, events=list(told))


def wrongs(*stories: TaskStory, cancelled: set[str] | None = None) -> set[Wrong]:
    told = {each.task_id: each for each in stories}
    accepted = dict.fromkeys(told, "house")
    return {each.wrong for each in judge_tasks(told, accepted, cancelled or set())}


GOOD = events(*RUN, Stage.SUCCESS)


def test_a_success_after_a_retry_is_as_it_should_be() -> None:
    first = events(*RUN[:4])
    second = events(*RUN, Stage.SUCCESS, attempt=2, since=10)

    assert wrongs(story("a", *first, *second)) == set()


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        (events(*RUN), Wrong.LOST),
        (events(*RUN, Stage.SUCCESS, Stage.CANCELLED), Wrong.DOUBLED),
        (events(*RUN[:3], *RUN[4:], Stage.SUCCESS), Wrong.DISORDER),  # a gap
        (events(*RUN[:3], Stage.CONNECTING, *RUN[3:], Stage.SUCCESS), Wrong.DISORDER),  # repeated
        ([*GOOD[:-1], replace(GOOD[-1], at_ms=0)], Wrong.DISORDER),
        ([*GOOD[:-1], replace(GOOD[-1], attempt=2)], Wrong.DISORDER),
        ([*GOOD[:-1], replace(GOOD[-1], progress=40)], Wrong.DISORDER),
        ([*events(*RUN[:4]), *events(*RUN, Stage.SUCCESS, since=10)], Wrong.DISORDER),
        (events(*RUN, Stage.FAILED), Wrong.UNTRUTHFUL),  # without a reason
    ],
)
def test_a_task_that_went_wrong_is_found(told: list[TaskEvent], wrong: Wrong) -> None:
    assert wrong in wrongs(story("a", *told))


def test_a_record_that_differs_from_its_last_event_is_found() -> None:
    told = story("a", *GOOD)

    assert wrongs(replace(told, events=GOOD[:-1])) == {Wrong.DISORDER}


def test_a_task_without_a_record_is_lost() -> None:
    assert Wrong.LOST in wrongs(TaskStory(task_id="a", record=None, events=[]))


def test_a_cancellation_that_did_not_happen_is_untruthful() -> None:
    assert wrongs(story("a", *GOOD), cancelled={"a"}) == {Wrong.UNTRUTHFUL}


def test_two_open_tasks_of_a_meter_are_found() -> None:
    first, second = story("a", *GOOD), story("b", *events(*RUN, Stage.SUCCESS, since=4))

    assert wrongs(first, second) == {Wrong.DOUBLED}


def test_a_version_that_no_success_names_and_one_that_is_gone_are_found(tmp_path: Path) -> None:
    # Given
    versions = tmp_path / "gas" / "house.versions"
    versions.mkdir(parents=True)
    (versions / "of_nobody.h5").write_bytes(b"half a mod")
    result = {"details": {"model_version": "gone", "promoted": True}}
    told = {"a": story("a", *GOOD, result=result)}
    # When
    found = [each.sentence for each in judge_models(told, tmp_path)]
    # Then
    assert any("cannot be opened" in sentence for sentence in found)
    assert any("of_nobody that no successful task names" in sentence for sentence in found)
    assert any("has lost version gone" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("SUCCESS", 1, 100), ("PENDING", 2, 0)),
        (("STARTED", 2, 0), ("STARTED", 1, 0)),
        (("TRAINING_MODEL", 1, 80), ("TRAINING_MODEL", 1, 60)),
        (("TRAINING_MODEL", 1, 50), ("FETCHING_DATA", 1, 50)),
    ],
)
def test_a_status_that_goes_back_is_seen(
    before: tuple[str, int, int], after: tuple[str, int, int]
) -> None:
    witness = Witness()
    for status, attempt, progress in (before, after):
        told = {"status": status, "attempt": attempt, "progress": progress, "message": ""}
        witness.note_status("a", httpx.Response(200, json=told))

    assert [each.wrong for each in witness.violations] == [Wrong.DISORDER]


def test_an_accepted_task_that_is_unknown_later_is_lost() -> None:
    witness = Witness()
    witness.note_status("a", httpx.Response(404))

    assert [each.wrong for each in witness.violations] == [Wrong.LOST]


def test_a_champion_that_does_not_open_is_torn(tmp_path: Path) -> None:
    (tmp_path / "gas").mkdir()
    (tmp_path / "gas" / "house.h5").write_bytes(b"half a mod")
    witness = Witness()
    witness.read_champions(tmp_path)

    assert [each.wrong for each in witness.violations] == [Wrong.TORN]


def test_a_dead_thread_of_the_harness_is_no_silence() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()

    with pytest.raises(DidNotHappen, match="died"):
        end_thread(thread, threading.Event())


def test_a_seed_repeats_its_strikes() -> None:
    assert plan_storm("everything", seed=7) == plan_storm("everything", seed=7)
    assert plan_storm("everything", seed=7) != plan_storm("everything", seed=8)
