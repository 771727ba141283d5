"""Measuring one method on one meter, in a process that does nothing else.

Seconds are wall time of one thread, after imports and warm-up. Memory is what Linux says of the
process: the peak of its resident memory while it trains and forecasts the meter, the libraries
included, and how far that peak lies above the memory held after the warm-up. What a warm-up
keeps allocated is missing from the growth; on other systems memory is not measured (NaN).
"""

import importlib
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType

from benchmarks.backtest import Backtest, Setting
from benchmarks.data_set import Case
from benchmarks.memory import forget_peak, memory_mb
from benchmarks.methods import METHODS, PRODUCT


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One line of the results."""

    meter_id: str
    meter_type: str
    setting: str
    history_weeks: int | None  #: of readings before the first origin; None when nothing was cut
    horizon: int  #: hours
    origin_hour: int  #: local hour of day of the origins
    every_days: int  #: days between the origins
    origins: int  #: forecasts scored
    method: str
    mase: float
    wape: float  #: NaN when nothing was used
    crps: float  #: in units of the MASE scale
    coverage80: float
    train_s: float
    predict_s: float  #: per forecast of a week
    peak_mb: float  #: resident memory of the whole process; NaN where not measured
    growth_mb: float  #: peak above what the warmed-up process held


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What to measure of a method on each meter."""

    method: str
    setting: Setting
    history_weeks: int | None
    origin_hours: tuple[int, ...]
    every_days: tuple[int, ...]  #: series of origins to score; the first one holds the others
    max_trials: int  #: tuning trials of the product


@contextmanager
def process_of_its_own() -> Iterator[ProcessPoolExecutor]:
    """Give a fresh interpreter for one method, ended afterwards."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as process:
        yield process


def measure(case: Case, question: Question) -> list[Score]:
    """Train a method once and score it on every series of origins."""
    module, held_mb = _loaded(question.method)
    fit = module.fit
    if question.method == PRODUCT:
        fit = partial(fit, max_trials=question.max_trials)
    backtest = Backtest.of(case, question.setting, history_weeks=question.history_weeks)
    forget_peak()
    started = time.perf_counter()
    predict = fit(backtest)
    train_s = time.perf_counter() - started
    scores: list[Score] = []
    for origin_hour in question.origin_hours:
        origins = backtest.origins(origin_hour, question.every_days[0])
        started = time.perf_counter()
        forecasts = {origin: backtest.forecast(predict, origin) for origin in origins}
        predict_s = (time.perf_counter() - started) / len(forecasts)
        peak_mb = memory_mb("VmHWM")
        scores += [
            Score(
                meter_id=case.meter.meter_id,
                meter_type=case.meter.meter_type,
                setting=question.setting.value,
                history_weeks=question.history_weeks,
                horizon=accuracy.horizon,
                origin_hour=origin_hour,
                every_days=every_days,
                origins=accuracy.origins,
                method=question.method,
                mase=accuracy.mase,
                wape=accuracy.wape,
                crps=accuracy.crps,
                coverage80=accuracy.coverage80,
                train_s=train_s,
                predict_s=predict_s,
                peak_mb=peak_mb,
                growth_mb=peak_mb - held_mb,
            )
            for every_days in question.every_days
            for accuracy in backtest.accuracies(
                backtest.origins(origin_hour, every_days), forecasts
            )
        ]
    return scores


@cache
def _loaded(method: str) -> tuple[ModuleType, float]:
    """Import and warm up a method, once per process; return the memory it then holds."""
    module = importlib.import_module(METHODS[method].module)
    if hasattr(module, "warm_up"):
        module.warm_up()
    return module, memory_mb("VmRSS")
