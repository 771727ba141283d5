"""A diagnosis on a terminal, in a pipe, and as JSON for programs.

The marks tell good from bad without colour, and are letters where the output knows no others.
"""

import io
import json
import sys

from rich.console import Console
from rich.markup import escape

from energy_forecasting.doctor.finding import Diagnosis, Finding, Outcome
from energy_forecasting.doctor.wording import as_json

_PIPE_WIDTH = 100
_MARKS = {Outcome.GOOD: ("✓", "ok"), Outcome.CARE: ("!", "!!"), Outcome.BAD: ("✗", "XX")}
_COLOURS = {Outcome.GOOD: "green", Outcome.CARE: "yellow", Outcome.BAD: "red"}


class DoctorScreen:
    """The terminal, or the file that stands in its place."""

    def __init__(self) -> None:
        is_live = sys.stdout.isatty()
        self._console = Console(
            force_terminal=is_live, width=None if is_live else _PIPE_WIDTH, highlight=False
        )
        self._only_ascii = not _can_write("".join(mark for mark, _ in _MARKS.values()))
        if isinstance(sys.stdout, io.TextIOWrapper):  # a name may hold what it cannot write
            sys.stdout.reconfigure(errors="backslashreplace")

    def show(self, finding: Finding) -> None:
        """Print one finding, and under it what to do."""
        mark, letters = _MARKS[finding.outcome]
        colour = _COLOURS[finding.outcome]
        self._line(f"[{colour}]{letters if self._only_ascii else mark}[/] ", finding.sentence)
        if finding.advice:
            self._line("[dim]  - [/]", finding.advice)

    def conclude(self, diagnosis: Diagnosis) -> None:
        """Print what follows, and the configuration to write."""
        self._console.print()
        colour = "green" if diagnosis.can_train else "red"
        self._console.print(f"[bold {colour}]{escape(diagnosis.verdict)}[/]", soft_wrap=True)
        proposal = diagnosis.proposal
        if proposal is None:
            return
        self._console.print("\nThe configuration to write, config/influxdb_config.json:\n")
        configuration = as_json(proposal.configuration, only_ascii=self._only_ascii)
        self._console.print(configuration, markup=False, soft_wrap=True, emoji=False)
        self._console.print()
        for remark in proposal.remarks:
            self._line("[dim]- [/]", remark)

    def _line(self, mark: str, text: str) -> None:
        self._console.print(f"{mark}{escape(text)}", soft_wrap=True, emoji=False)


def as_document(diagnosis: Diagnosis) -> str:
    """Return everything as one JSON object, in ASCII."""
    proposal = diagnosis.proposal
    return json.dumps(
        {
            "can_train": diagnosis.can_train,
            "verdict": diagnosis.verdict,
            "store": diagnosis.store,
            "version": diagnosis.version,
            "meters": diagnosis.meters,
            "findings": [
                {
                    "step": finding.step,
                    "outcome": finding.outcome,
                    "message": finding.sentence,
                    "advice": finding.advice or None,
                }
                for finding in diagnosis.findings
            ],
            "configuration": None if proposal is None else proposal.configuration,
            "remarks": [] if proposal is None else proposal.remarks,
        },
        indent=2,
    )


def _can_write(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
