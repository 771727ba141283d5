"""How accurate is the product on real meters, and what else could one have used?

    OMP_NUM_THREADS=1 python benchmarks/accuracy.py --data DATA --meta META --out SCORES

The product's own ``train`` and ``Forecaster`` run here, not a copy of them, and its opponents
run beside it: same grid, same origins, same scoring (``backtest.py``). A model is trained once on
all but the last eight weeks and not refitted; it then forecasts 168 hours from every origin.
MASE and CRPS are in units of the seasonal naive's error on the training part. Each method runs
in a process of its own (``measuring.py`` says what its seconds and megabytes mean).
``pip install -r requirements-bench.txt`` brings the opponents; a missing one is skipped.

Settings: ``temp`` gives the measured temperature of the hours ahead (as good as a forecast of
temperature can be); ``forecast`` adds to it what a weather forecast errs, 1 K in the first hour
growing to 2.5 K after a week; in ``recent`` the product trains with temperature and forecasts
without one, while its opponents do without altogether; ``notemp`` hides temperature. MSTL, fitted
anew at every origin, gets every eighth origin; all methods are scored on those, too.

With ``--history-weeks`` a meter's history begins so many weeks before the test, for every method.
Models are still trained once, so the weeks known at prediction grow during the test; the MASE
scale stays that of the whole training part, so that lengths compare. The baselines ``yesterday``
and ``weeks_mean`` (mean of the known ones of the last four weeks) matter there.

Caveats: a few regions of the world and one year per meter weigh most; times are of this machine,
one thread, and whatever else it does; the opponents are set up with care, but not tuned.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path

# Also when it runs as a file rather than as ``python -m benchmarks.accuracy``.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.backtest import Setting
from benchmarks.comparison import print_tables
from benchmarks.data_set import Case, read_cases
from benchmarks.measuring import Question, Score, measure, process_of_its_own
from benchmarks.methods import METHODS


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="readings, CSV.gz")
    parser.add_argument("--meta", type=Path, required=True, help="CSV with meter_id, unit, tz")
    parser.add_argument("--out", type=Path, required=True, help="CSV of scores to write")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--settings", default="temp,notemp", help="of " + ",".join(Setting))
    parser.add_argument("--meters", type=int, default=None, help="only the first N")
    parser.add_argument(
        "--history-weeks", default=None, help="cut histories to so many weeks, e.g. 2,4,8,12,26"
    )
    parser.add_argument("--origin-hours", default="0", help="local hours of the origins")
    parser.add_argument("--max-trials", type=int, default=0, help="tuning alternatives")
    arguments = parser.parse_args()

    cut = arguments.history_weeks
    try:
        lengths = [int(weeks) for weeks in cut.split(",")] if cut else [None]
        settings = [Setting(name) for name in arguments.settings.split(",")]
        methods = available(arguments.methods.split(","))
    except (KeyError, ValueError) as error:
        parser.error(f"unknown setting or method, or no number: {error}")
    # The children read it when they import their libraries.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    questions = [
        Question(
            method=method,
            setting=setting,
            history_weeks=weeks,
            origin_hours=tuple(int(hour) for hour in arguments.origin_hours.split(",")),
            every_days=series_of_origins(method, methods),
            max_trials=arguments.max_trials,
        )
        for weeks in lengths
        for setting in settings
        for method in methods
    ]
    cases = read_cases(arguments.data, arguments.meta, arguments.meters)
    scores: list[Score] = []
    with arguments.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=[field.name for field in fields(Score)])
        writer.writeheader()
        for question in questions:
            for measured in run(question, cases):
                scores += measured
                writer.writerows(asdict(score) for score in measured)
                file.flush()
    print_tables(scores)


def available(names: Sequence[str]) -> list[str]:
    """Return the methods that can run here; say of the others what they need.

    Raises:
        KeyError: there is no method of that name.
    """
    if find_spec("scipy") is None:
        say("No p-values: scipy is not installed (pip install -r requirements-bench.txt).")
    for name in names:
        if not METHODS[name].is_installed:
            say(
                f"{name} is skipped: {METHODS[name].needs} is not installed "
                "(pip install -r requirements-bench.txt)."
            )
    return [name for name in names if METHODS[name].is_installed]


def series_of_origins(method: str, methods: Sequence[str]) -> tuple[int, ...]:
    """Return the days between origins: the method's own, and the rarer ones of the others."""
    steps = {METHODS[name].every_days for name in methods}
    return tuple(sorted(step for step in steps if step >= METHODS[method].every_days))


def run(question: Question, cases: Sequence[Case]) -> Iterator[list[Score]]:
    """Measure one method under one setting, meter by meter."""
    asked = [
        case for case in cases if question.setting is Setting.NOTEMP or case.history.has_temperature
    ]
    with process_of_its_own() as process:
        for count, case in enumerate(asked, start=1):
            started = time.perf_counter()
            scores = process.submit(measure, case, question).result()
            say(
                f"{question.setting.value} {question.history_weeks or 'all'} weeks "
                f"{question.method} {count}/{len(asked)} "
                f"{case.meter.meter_id}: MASE "
                + " / ".join(f"{score.mase:.3f}" for score in scores)
                + f", {time.perf_counter() - started:.1f} s"
            )
            yield scores


def say(sentence: str) -> None:
    """Tell the one who waits, apart from the results."""
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
