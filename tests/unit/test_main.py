"""The command line's end: the exit code that was promised, whatever the interpreter thinks."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT_DIR

#: Ctrl-C while a dataclass is being imported: the interrupt passes through a string run by exec().
STAND_IN = """
import runpy, sys
from energy_forecasting.launcher import session
session.run = lambda options: exec("raise KeyboardInterrupt")
sys.argv = ["energy_forecasting", "run"]
runpy.run_module("energy_forecasting", run_name="__main__", alter_sys=True)
"""


def test_an_interrupt_within_an_import_ends_in_the_sentence_and_its_exit_code(
    tmp_path: Path,
) -> None:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    search = os.pathsep.join([str(tmp_path), str(PROJECT_DIR)])

    ended = subprocess.run(
        [sys.executable, "-m", "stand_in"],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 130
    assert ended.stderr == "Stopped early; nothing had been started.\n"


def test_what_was_printed_arrives_before_the_end() -> None:
    helped = subprocess.run(
        [sys.executable, "-m", "energy_forecasting", "demo", "--help"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )

    assert helped.returncode == 0
    assert "--picture" in helped.stdout
