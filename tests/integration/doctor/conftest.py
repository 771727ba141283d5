"""The doctor, sent to servers as an operator sends it, but within the process."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from energy_forecasting.doctor.finding import Diagnosis, Finding, Outcome, Step
from energy_forecasting.doctor.given import Options, gather
from energy_forecasting.doctor.influx_examination import InfluxExamination
from energy_forecasting.doctor.terms import Terms

Examine = Callable[..., Diagnosis]


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    """Return where the configuration would be."""
    return tmp_path / "influxdb_config.json"


@pytest.fixture
def examine(config_path: Path) -> Examine:
    """Return the examination of what options and variables name; the file counts, too."""

    def examine(
        variables: Mapping[str, str] | None = None, terms: Terms | None = None, **options: str
    ) -> Diagnosis:
        given = gather(Options(**options), config_path, variables or {})
        shown: list[Finding] = []
        diagnosis = InfluxExamination(given, terms or Terms(), shown.append).diagnose()
        assert tuple(shown) == diagnosis.findings, "each finding is shown once, as it comes"
        for finding in diagnosis.findings:
            assert finding.sentence.isprintable(), finding
            assert finding.advice.isprintable(), finding
            assert finding.sentence.endswith("."), finding
        return diagnosis

    return examine


def told(diagnosis: Diagnosis, step: Step, outcome: Outcome) -> str:
    """Return what was told of a step with an outcome, sentences and advice, a line each."""
    return "\n".join(
        f"{finding.sentence} {finding.advice}".strip()
        for finding in diagnosis.findings
        if (finding.step, finding.outcome) == (step, outcome)
    )


def proposed(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the proposed configuration; there must be one, and no secret in it."""
    assert diagnosis.proposal is not None
    configuration = dict(diagnosis.proposal.configuration)
    assert not {"token", "password"} & configuration.keys()
    return configuration
