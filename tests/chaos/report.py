"""The figures of a run: a table for people, JSON for programs, and where to look when it fails."""

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.fault_kinds import Fault
from tests.chaos.faults import Injury
from tests.chaos.storm import StormResult
from tests.chaos.task_story import TaskStory
from tests.chaos.violation import Violation, Wrong

_SHOWN_PER_KIND = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultFigures:
    """What one kind of fault did over the whole run."""

    fault: str
    injected: int
    missed: int  #: what was to be struck was not there
    tasks_hit: int
    median_s: float | None  #: of the recoveries
    worst_s: float | None


class Report:
    """The results of a run's storms."""

    def __init__(
        self,
        results: Sequence[StormResult],
        *,
        seed: int,
        left_out: Sequence[str],
        end: Sequence[Violation],
    ) -> None:
        self._results = results
        self._seed = seed
        self._left_out = left_out
        self._end = end

    @property
    def violations(self) -> list[Violation]:
        """Everything that is wrong."""
        return [*(each for result in self._results for each in result.violations), *self._end]

    def lines(self) -> Iterator[str]:
        """Yield the report as text."""
        yield f"seed {self._seed}"
        yield from self._storm_table()
        yield ""
        yield from self._fault_table()
        yield ""
        yield f"champions read meanwhile: {sum(r.champions_read for r in self._results)}"
        yield f"unfinished files swept: {sum(r.swept for r in self._results)}"
        yield f"ends: {_told(self._ends())}"
        yield f"answers: {_told(self._answers())}"
        for what in self._left_out:
            yield f"left out: {what}"
        yield from self._findings()

    def write(self, folder: Path) -> None:
        """Write ``report.txt`` and ``report.json``."""
        folder.joinpath("report.txt").write_text("\n".join(self.lines()) + "\n")
        told = {
            "seed": self._seed,
            "storms": [
                {
                    "name": result.plan.name,
                    "seconds": round(result.seconds, 1),
                    "tasks": len(result.stories),
                    "accepted": result.accepted,
                    "strikes": [
                        _strike_told(injury, seconds)
                        for injury, seconds in zip(result.injuries, result.recoveries, strict=True)
                    ],
                    **{wrong.value: _count(result.violations, wrong) for wrong in Wrong},
                }
                for result in self._results
            ],
            "faults": [asdict(figures) for figures in self._faults()],
            "ends": self._ends(),
            "answers": self._answers(),
            "champions_read": sum(result.champions_read for result in self._results),
            "swept": sum(result.swept for result in self._results),
            "left_out": list(self._left_out),
            "violations": [asdict(each) for each in self.violations],
        }
        folder.joinpath("report.json").write_text(json.dumps(told, indent=2) + "\n")

    def _storm_table(self) -> Iterator[str]:
        heads = ["storm", "s", "tasks", "accepted", "faults", *(wrong.value for wrong in Wrong)]
        rows = [
            [
                round(result.seconds),
                len(result.stories),
                result.accepted,
                sum(injury.struck for injury in result.injuries),
                *(_count(result.violations, wrong) for wrong in Wrong),
            ]
            for result in self._results
        ]
        names = [result.plan.name for result in self._results]
        sums = [sum(column) for column in zip(*rows, strict=True)]
        yield from _table(
            [heads, *([name, *row] for name, row in zip(names, rows, strict=True)), ["all", *sums]]
        )

    def _fault_table(self) -> Iterator[str]:
        heads = ["fault", "injected", "missed", "tasks hit", "recovery, median s", "worst s"]
        rows = [
            [
                figures.fault,
                figures.injected,
                figures.missed,
                figures.tasks_hit,
                "-" if figures.median_s is None else f"{figures.median_s:.1f}",
                "-" if figures.worst_s is None else f"{figures.worst_s:.1f}",
            ]
            for figures in self._faults()
        ]
        yield from _table([heads, *rows])

    def _faults(self) -> Iterator[FaultFigures]:
        made = [
            (injury, seconds)
            for result in self._results
            for injury, seconds in zip(result.injuries, result.recoveries, strict=True)
        ]
        for fault in Fault:
            of_kind = [(injury, s) for injury, s in made if injury.strike.fault is fault]
            struck = [(injury, seconds) for injury, seconds in of_kind if injury.struck]
            known = [seconds for _, seconds in struck if seconds is not None]
            if of_kind:
                yield FaultFigures(
                    fault=fault.value,
                    injected=len(struck),
                    missed=len(of_kind) - len(struck),
                    tasks_hit=sum(len(injury.affected) for injury, _ in struck),
                    median_s=statistics.median(known) if known else None,
                    worst_s=max(known, default=None),
                )

    def _ends(self) -> dict[str, int]:
        return dict(Counter(_end(s) for result in self._results for s in result.stories.values()))

    def _answers(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for result in self._results:
            total.update(result.answers)
        return dict(total)

    def _findings(self) -> Iterator[str]:
        stories = {k: v for result in self._results for k, v in result.stories.items()}
        yield ""
        yield f"violations: {len(self.violations)}"
        for wrong in Wrong:
            found = [each for each in self.violations if each.wrong is wrong]
            for each in found[:_SHOWN_PER_KIND]:
                yield f"  {wrong}: {each.sentence}"
                if each.task_id in stories:
                    for event in stories[each.task_id].events:
                        yield f"      {event}"
            if len(found) > _SHOWN_PER_KIND:
                yield f"  {wrong}: ... and {len(found) - _SHOWN_PER_KIND} more in report.json"


def _strike_told(injury: Injury, seconds: float | None) -> dict[str, object]:
    return {
        **asdict(injury.strike),
        "begun_ms": injury.begun_ms,
        "over_ms": injury.over_ms,
        "struck": injury.struck,
        "affected": sorted(injury.affected),
        "recovery_s": seconds,
    }


def _end(story: TaskStory) -> str:
    if story.stage is None:
        return "no record"
    return f"{story.stage} {story.error_type}" if story.error_type else str(story.stage)


def _count(violations: Sequence[Violation], wrong: Wrong) -> int:
    return sum(each.wrong is wrong for each in violations)


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _table(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *others = (str(cell) for cell in row)
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        yield "  ".join(cells)
