"""Shows trainings while they run: a bar for each meter, or a line for each step."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from energy_forecasting.domain.meters import Meter
from energy_forecasting.domain.stages import Stage
from energy_forecasting.launcher.screen import Screen

_STYLES = {Stage.SUCCESS: "green", Stage.FAILED: "red", Stage.CANCELLED: "red"}


class TrainingBoard:
    """Takes the records of tasks as they are read and shows what has changed."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            Elapsed(),
            TextColumn("{task.fields[message]}"),
            console=screen.console,
            disable=not screen.is_live,
        )
        self._bar_of: dict[Meter, TaskID] = {}
        self._shown: dict[Meter, str] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def show(self, meter: Meter, record: Mapping[str, Any]) -> None:
        """Show the present state of one meter's task."""
        if self._screen.is_live:
            self._move_bar(meter, record)
        else:
            self._print_change(meter, record)

    def _move_bar(self, meter: Meter, record: Mapping[str, Any]) -> None:
        stage = Stage(record["status"])
        if meter not in self._bar_of:
            self._bar_of[meter] = self._bars.add_task(escape(str(meter)), total=100, message="")
        style = _STYLES.get(stage, "cyan")
        bar = self._bar_of[meter]
        self._bars.update(
            bar,
            completed=record["progress"],
            message=f"[{style}]{escape(record['message'])}[/{style}]",
        )
        if stage.is_terminal:
            self._bars.stop_task(bar)

    def _print_change(self, meter: Meter, record: Mapping[str, Any]) -> None:
        if self._shown.get(meter) != record["message"]:
            self._shown[meter] = record["message"]
            elapsed_s = time.monotonic() - self._started
            self._screen.say(
                f"{elapsed_s:6.1f} s  {meter!s:<28} {record['progress']:3d} %  {record['message']}"
            )
