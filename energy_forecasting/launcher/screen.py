"""What the launcher shows: on a terminal with colours and moving bars, else plain lines.

Plain means plain: no control character is written when standard output is a file or a pipe.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from energy_forecasting.launcher.failures import StartFailed

_FACT_WIDTH = 8
_PLAIN_WIDTH = 100


class Screen:
    """The terminal, or the file that stands in its place."""

    def __init__(self) -> None:
        self.is_live = sys.stdout.isatty()
        self.console = Console(
            force_terminal=self.is_live,
            width=None if self.is_live else _PLAIN_WIDTH,
            highlight=False,
        )

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        self.console.print(escape(sentence), soft_wrap=True)

    def heading(self, text: str) -> None:
        """Print the title of a part."""
        self.console.print(f"\n[bold]{escape(text)}[/bold]")

    def fact(self, name: str, text: str) -> None:
        """Print something that has been reached."""
        self.console.print(
            f"[green]{escape(name.ljust(_FACT_WIDTH))}[/green]{escape(text)}", soft_wrap=True
        )

    def warn(self, sentence: str) -> None:
        """Print a sentence about something that went wrong and was mended."""
        self.console.print(f"[yellow]{escape(sentence)}[/yellow]", soft_wrap=True)

    def fail(self, failure: StartFailed) -> None:
        """Print why it cannot go on, with the last words of the program that failed."""
        self.console.print(f"[red]{escape(failure.sentence)}[/red]", soft_wrap=True)
        for line in failure.log_lines:
            self.console.print(f"  | {escape(line)}", soft_wrap=True, style="dim")

    def draw(self, drawing: str) -> None:
        """Print a drawing made of characters and ANSI codes; colours go where they are welcome."""
        self.console.print(Text.from_ansi(drawing), no_wrap=True, crop=True)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show that something is going on."""
        with self.console.status(f"{what}..."):
            yield

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[float], None]]:
        """Show a bar; the function given takes the share that is done, 0 to 1."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            console=self.console,
            transient=True,
            disable=not self.is_live,
        )
        with bar:
            task = bar.add_task(what, total=1.0)
            yield lambda share: bar.update(task, completed=share)
