"""How accurate is the product on real meters? Rolling origins over the last eight weeks.

    OMP_NUM_THREADS=1 python benchmarks/accuracy.py --data DATA --meta META --out SCORES

The product's own ``train`` and ``Forecaster`` run here, not a copy of them. A model is trained
once on all but the last eight weeks and not refitted; it then forecasts 168 hours from every
origin. MASE and CRPS are in units of the seasonal naive's error on the training part; hours
without a reading are not scored.

Settings: ``temp`` gives the measured temperature of the hours ahead (as good as a forecast of
temperature can be), ``recent`` trains with temperature but forecasts without one, ``notemp``
hides temperature altogether. Caveats: one region of the world and one year per meter weigh
most; times are of this machine, one thread, after the warm-up.
"""

import argparse
import csv
import gzip
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from energy_forecasting.domain.calendar import LocalCalendar
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.domain.horizons import MAX_HORIZON_HOURS, Horizon
from energy_forecasting.domain.meters import Meter, MeterProfile
from energy_forecasting.domain.model_card import ForecastMethod
from energy_forecasting.domain.readings import History, Values
from energy_forecasting.domain.trainings import TrainingOptions
from energy_forecasting.forecasting import metrics
from energy_forecasting.forecasting.forecaster import Forecaster
from energy_forecasting.forecasting.grid import LocalGrid
from energy_forecasting.forecasting.imputation import interpolate
from energy_forecasting.forecasting.naive_training import fit_naive
from energy_forecasting.forecasting.network import weights_of
from energy_forecasting.forecasting.training import train
from energy_forecasting.forecasting.warm_up import warm_up

TEST_DAYS = 56
HORIZONS = (24, MAX_HORIZON_HOURS)
METHODS = ("product", "seasonal_naive")
SETTINGS = ("temp", "recent", "notemp")

#: Public holidays by time zone, for data sets that name no country.
COUNTRY_OF_ZONE = {
    "Africa/Casablanca": "MA",
    "America/Chicago": "US",
    "America/Los_Angeles": "US",
    "Asia/Seoul": "KR",
    "Australia/Melbourne": "AU",
    "Europe/Amsterdam": "NL",
    "Europe/Copenhagen": "DK",
    "Europe/London": "GB",
    "Europe/Madrid": "ES",
    "Europe/Rome": "IT",
    "US/Eastern": "US",
    "US/Mountain": "US",
    "US/Pacific": "US",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One meter of the data set."""

    meter: Meter
    profile: MeterProfile
    history: History


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One line of the results."""

    meter_id: str
    meter_type: str
    setting: str
    method: str
    serves: str  #: the method that the product chose
    origin_hour: int
    horizon: int
    mase: float
    crps: float
    coverage80: float
    train_s: float
    forecast_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """The origins of one meter and what happened after them."""

    case: Case
    grid: LocalGrid  #: the whole history
    first_origin: int  #: grid hour, a local midnight
    scale: float

    @classmethod
    def of(cls, case: Case) -> "Protocol":
        """Cut off the last eight whole local days' weeks."""
        calendar = LocalCalendar(timezone=case.profile.timezone, country=case.profile.country)
        grid = LocalGrid.from_history(case.history, calendar)
        first = (len(grid) // 24 - TEST_DAYS) * 24
        learnt = grid.consumption[:first]
        scale = float(np.nanmean(np.abs(learnt[168:] - learnt[:-168])))
        return cls(case=case, grid=grid, first_origin=first, scale=scale)

    def moment(self, hour: int) -> datetime:
        """Return the UTC moment of a grid hour."""
        local = (self.grid.start + hour).astype("datetime64[s]").item()
        zone = ZoneInfo(self.case.profile.timezone)
        return local.replace(tzinfo=zone).astimezone(UTC)  # type: ignore[no-any-return]

    def training_history(self) -> History:
        """Return the readings before the first origin."""
        return self.case.history.before(self.moment(self.first_origin))

    def scores(
        self, forecaster: Forecaster, *, knows_temperature: bool, origin_hour: int
    ) -> Iterator[tuple[int, float, float, float, float]]:
        """Forecast from every origin; yield horizon, MASE, CRPS, coverage and milliseconds."""
        origins = range(self.first_origin + origin_hour, len(self.grid) // 24 * 24, 24)
        started = time.perf_counter()
        forecasts = [self._forecast(forecaster, hour, knows_temperature) for hour in origins]
        elapsed_ms = 1000 * (time.perf_counter() - started) / len(forecasts)
        for horizon in HORIZONS:
            actual, quantiles = [], []
            for hour, (hours, values) in zip(origins, forecasts, strict=True):
                if hour + horizon <= len(self.grid):
                    actual.append(self.grid.consumption[hours[:horizon]])
                    quantiles.append(values[:horizon])
            happened, forecast = np.concatenate(actual), np.concatenate(quantiles)
            known = np.isfinite(happened)
            happened, forecast = happened[known], forecast[known]
            yield (
                horizon,
                metrics.mase(happened, forecast[:, 4], self.scale),
                metrics.crps(happened, forecast, QUANTILE_LEVELS) / self.scale,
                metrics.coverage(happened, forecast[:, 0], forecast[:, -1]),
                elapsed_ms,
            )

    def _forecast(
        self, forecaster: Forecaster, hour: int, knows_temperature: bool
    ) -> tuple[np.ndarray, Values]:
        origin = self.moment(hour)
        stamps = np.datetime64(origin.replace(tzinfo=None), "s") + np.arange(
            MAX_HORIZON_HOURS
        ) * np.timedelta64(3600, "s")
        hours = np.minimum(self.grid.hours_of(stamps), len(self.grid) - 1)
        temperature = interpolate(self.grid.temperature)[hours] if knows_temperature else None
        forecast = forecaster.forecast(
            self.case.history,
            Horizon(origin=origin, hours=MAX_HORIZON_HOURS),
            temperature=temperature,
        )
        return hours, forecast.quantiles


def read_cases(data: Path, meta: Path, limit: int | None) -> list[Case]:
    """Read the meters of a data set, ordered by id."""
    with meta.open(encoding="utf-8") as file:
        profiles = {
            row["meter_id"]: MeterProfile(
                unit=row["unit"], timezone=row["tz"], country=COUNTRY_OF_ZONE.get(row["tz"])
            )
            for row in csv.DictReader(file)
        }
    readings: dict[Meter, list[tuple[str, float, float]]] = {}
    with gzip.open(data, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            meter = Meter(meter_type=row["meter_type"], meter_id=row["meter_id"])
            readings.setdefault(meter, []).append(
                (
                    row["timestamp"].replace("+00:00", "").removesuffix("Z"),
                    float(row["consumption"] or "nan"),
                    float(row["temperature"] or "nan"),
                )
            )
    cases = []
    for meter in sorted(readings, key=lambda meter: meter.meter_id)[:limit]:
        stamps, consumption, temperature = zip(*readings[meter], strict=True)
        history = History.from_readings(
            np.array(stamps, dtype="datetime64[s]"), np.array(consumption), np.array(temperature)
        )
        cases.append(Case(meter=meter, profile=profiles[meter.meter_id], history=history))
    return cases


def measure(
    case: Case, setting: str, method: str, origin_hours: list[int], max_trials: int
) -> Iterator[Score]:
    """Train and score one meter under one setting."""
    if setting == "notemp":
        unknown = np.full(len(case.history), np.nan)
        case = replace(case, history=replace(case.history, temperature=unknown))
    elif not case.history.has_temperature:
        return
    protocol = Protocol.of(case)
    options = TrainingOptions(max_trials=max_trials)
    trained = train(protocol.training_history(), case.meter, case.profile, options, lambda _: None)
    card, weights = trained.card, weights_of(trained.network)
    if method == "seasonal_naive":
        end = protocol.first_origin
        learnt = replace(protocol.grid, consumption=protocol.grid.consumption[:end])
        card = card.model_copy(update={"method": ForecastMethod.SEASONAL_NAIVE})
        weights = dict(fit_naive(learnt).weights)
    for origin_hour in origin_hours:
        for horizon, mase, crps, coverage80, forecast_ms in protocol.scores(
            Forecaster(card, weights),
            knows_temperature=setting == "temp",
            origin_hour=origin_hour,
        ):
            yield Score(
                meter_id=case.meter.meter_id,
                meter_type=case.meter.meter_type,
                setting=setting,
                method=method,
                serves=card.method.value,
                origin_hour=origin_hour,
                horizon=horizon,
                mase=mase,
                crps=crps,
                coverage80=coverage80,
                train_s=card.training_seconds,
                forecast_ms=forecast_ms,
            )


def print_table(scores: list[Score]) -> None:
    """Print means over meters for each setting, method, origin hour and horizon."""
    print(
        f"{'setting':8} {'method':15} {'origin':>6} {'h':>4} {'meters':>6} {'MASE':>7} "
        f"{'median':>7} {'CRPS':>7} {'cover80':>7} {'train s':>8} {'ms':>6} {'naive':>6}"
    )
    keys = dict.fromkeys((s.setting, s.method, s.origin_hour, s.horizon) for s in scores)
    for key in keys:
        group = [s for s in scores if (s.setting, s.method, s.origin_hour, s.horizon) == key]
        mase = [s.mase for s in group]
        print(
            f"{key[0]:8} {key[1]:15} {key[2]:6d} {key[3]:4d} {len(group):6d} "
            f"{np.mean(mase):7.4f} {np.median(mase):7.4f} "
            f"{np.mean([s.crps for s in group]):7.4f} "
            f"{np.mean([s.coverage80 for s in group]):7.3f} "
            f"{np.mean([s.train_s for s in group]):8.2f} "
            f"{np.mean([s.forecast_ms for s in group]):6.1f} "
            f"{sum(s.serves == 'seasonal_naive' for s in group):6d}"
        )


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="readings, CSV.gz")
    parser.add_argument("--meta", type=Path, required=True, help="CSV with meter_id, unit, tz")
    parser.add_argument("--out", type=Path, required=True, help="CSV of scores to write")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--settings", default="temp,notemp", help="of " + ",".join(SETTINGS))
    parser.add_argument("--meters", type=int, default=None, help="only the first N")
    parser.add_argument("--origin-hours", default="0", help="local hours of the origins")
    parser.add_argument("--max-trials", type=int, default=0, help="tuning alternatives")
    arguments = parser.parse_args()

    warm_up()
    origin_hours = [int(hour) for hour in arguments.origin_hours.split(",")]
    scores: list[Score] = []
    cases = read_cases(arguments.data, arguments.meta, arguments.meters)
    for setting in arguments.settings.split(","):
        for method in arguments.methods.split(","):
            for case in cases:
                scores += measure(case, setting, method, origin_hours, arguments.max_trials)
    with arguments.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(scores[0])))
        writer.writeheader()
        writer.writerows(asdict(score) for score in scores)
    print_table(scores)


if __name__ == "__main__":
    main()
