"""The embedded store examined: what serves while no InfluxDB is configured."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from energy_forecasting.doctor.finding import Diagnosis, Finding, Step, bad, care, good
from energy_forecasting.doctor.notes import Notes
from energy_forecasting.doctor.samples import choose, look_at_meter
from energy_forecasting.doctor.terms import Terms
from energy_forecasting.doctor.wording import count, joined, plain_sentence
from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.meters.sqlite import SqliteMeterStore

_HOW_TO_CONNECT = (
    "To connect InfluxDB, run this again with --url http://HOST:8086, and with INFLUXDB_USERNAME "
    "and INFLUXDB_PASSWORD (1.x) or INFLUXDB_TOKEN (2.x, 3.x) in the environment; it looks around "
    "there and says what to write."
)


def examine_embedded(
    path: Path, why: str, terms: Terms, show: Callable[[Finding], None]
) -> Diagnosis:
    """Examine the store in a file; it is not created when it is not there.

    Args:
        path: of the store.
        why: it serves and not InfluxDB, the beginning of a sentence.
        terms: what the service asks of meters.
        show: takes each finding as it comes.
    """
    notes = Notes(show)
    notes.add(good(Step.CONFIGURATION, f"{why}: the embedded store serves."))
    if not path.exists():
        notes.add(
            care(
                Step.STORE,
                f"The embedded store {path} does not exist yet; it is made when it is first used.",
                "Import readings: python -m energy_forecasting import readings.csv; or try the "
                f"sample: python -m energy_forecasting demo. {_HOW_TO_CONNECT}",
            )
        )
        return Diagnosis(
            findings=notes.findings,
            verdict="There are no readings to train on yet.",
            can_train=False,
            store="sqlite",
        )
    return _examined(SqliteMeterStore(path), terms, notes)


def _examined(store: SqliteMeterStore, terms: Terms, notes: Notes) -> Diagnosis:
    try:
        status = store.check()
        newest = {
            summary.meter: summary.last_reading
            for summary in store.list_meters()
            if summary.last_reading is not None
        }
    except EnergyForecastingError as error:
        notes.add(bad(Step.STORE, plain_sentence(error)))
        return Diagnosis(
            findings=notes.findings,
            verdict="The embedded store cannot be read.",
            can_train=False,
            store=store.kind,
        )
    notes.add(good(Step.STORE, f"The embedded store can be read (SQLite {status.version})."))
    by_type = dict(sorted(Counter(meter.meter_type for meter in newest).items()))
    trainable = looked_at = 0
    if newest:
        kinds = joined([f"{number:,} of {name}" for name, number in by_type.items()])
        notes.add(good(Step.METERS, f"{count(len(newest), 'meter')}: {kinds}."))
    else:
        advice = "Import some: python -m energy_forecasting import readings.csv."
        notes.add(care(Step.METERS, "It holds no readings.", f"{advice} {_HOW_TO_CONNECT}"))
    for meter in choose(newest):
        sample = look_at_meter(
            store, meter, history=terms.history, limits=terms.limits, now=datetime.now(tz=UTC)
        )
        notes.add(*sample.findings)
        looked_at += 1
        trainable += sample.can_train
    verdict = f"Trainings work: {trainable} of {looked_at} meters looked at can be trained."
    if not trainable:
        verdict = "Trainings do not work yet: no meter that was looked at can be trained."
    return Diagnosis(
        findings=notes.findings,
        verdict=f"{verdict} {_HOW_TO_CONNECT}" if newest else verdict,
        can_train=bool(trainable),
        store=store.kind,
        version=status.version,
        meters=by_type,
    )
