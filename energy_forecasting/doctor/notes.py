"""The findings of an examination as they come, and the way to end it early."""

from collections.abc import Callable

from energy_forecasting.doctor.finding import Finding


class Stopped(Exception):
    """Going on makes no sense; ``verdict`` says what follows from the findings so far."""

    def __init__(self, verdict: str) -> None:
        super().__init__(verdict)
        self.verdict = verdict


class Notes:
    """Findings in the order in which they came; each is shown at once.

    Args:
        show: takes each.
    """

    def __init__(self, show: Callable[[Finding], None]) -> None:
        self._show = show
        self._findings: list[Finding] = []

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them."""
        return tuple(self._findings)

    def add(self, *findings: Finding) -> None:
        """Note some."""
        for finding in findings:
            self._findings.append(finding)
            self._show(finding)
