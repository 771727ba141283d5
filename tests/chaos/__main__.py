"""Let storms loose on the real system and print what came of it: ``make chaos``.

    python -m tests.chaos [--seed N] [--tasks 200] [--storms workers,replies] [--store sqlite]

Ends with 1 when anything was lost, doubled, torn, out of order or left behind.
"""

import argparse
import secrets
import shutil
import signal
import sys
from pathlib import Path

from energy_forecasting.settings import PROJECT_DIR
from tests.chaos.fault_kinds import STORMS
from tests.chaos.run import run
from tests.chaos.stack import remove_earlier_run
from tests.chaos.storm_plan import BRIEF_STORM

_SEEDS = 10_000


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make chaos", description="Storms over the real system")
    parser.add_argument("--seed", type=int, default=None, help="of every choice; default: any")
    parser.add_argument("--tasks", type=int, default=200, help="trainings in all, at least")
    parser.add_argument(
        "--storms",
        default=",".join(STORMS),
        help=f"of {', '.join([*STORMS, BRIEF_STORM])}; default: all but {BRIEF_STORM}",
    )
    parser.add_argument(
        "--store", choices=("auto", "sqlite"), default="auto", help="auto: InfluxDB if installed"
    )
    parser.add_argument("--out", type=Path, default=PROJECT_DIR / "test_output")
    arguments = parser.parse_args()
    names = arguments.storms.split(",")
    unknown = set(names).difference(STORMS, {BRIEF_STORM})
    if unknown:
        parser.error(f"there is no storm {', '.join(sorted(unknown))}")
    seed = secrets.randbelow(_SEEDS) if arguments.seed is None else arguments.seed
    folder = arguments.out / f"chaos_{seed}"
    remove_earlier_run(folder)
    # So that disk and processes go in good order when the run is stopped, too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit("Stopped."))
    influxd = None if arguments.store == "sqlite" else shutil.which("influxd")
    print(f"seed {seed}; logs and models stay in {folder}", flush=True)
    report = run(folder, names=names, seed=seed, tasks=arguments.tasks, influxd=influxd)
    report.write(folder)
    print("\n".join(report.lines()))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
