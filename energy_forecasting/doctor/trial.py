"""A configuration tried: the meters that it finds, and a close look at a few of them."""

from dataclasses import dataclass
from datetime import UTC, datetime

from energy_forecasting.doctor.access import Access
from energy_forecasting.doctor.finding import Step, bad
from energy_forecasting.doctor.meters import FoundMeters, find_meters, judge_meters
from energy_forecasting.doctor.notes import Notes
from energy_forecasting.doctor.samples import Sample, choose, look_at_meter
from energy_forecasting.doctor.terms import Terms
from energy_forecasting.doctor.wording import plain_sentence
from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.meters.influx.store import InfluxMeterStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """How it went."""

    found: FoundMeters | None = None  #: None when they could not be listed
    samples: tuple[Sample, ...] = ()

    @property
    def trainable(self) -> int:
        """How many of the meters looked at can be trained."""
        return sum(sample.can_train for sample in self.samples)

    @property
    def by_type(self) -> dict[str, int] | None:
        """How many meters there are, by type."""
        return None if self.found is None else self.found.by_type

    @property
    def corrections(self) -> dict[str, str]:
        """Reading kinds that are not the declared ones, by meter type."""
        return {
            sample.meter.meter_type: sample.right_kind.value
            for sample in self.samples
            if sample.right_kind is not None
        }

    @property
    def types_looked_at(self) -> set[str]:
        """Meter types of the meters that were looked at."""
        return {sample.meter.meter_type for sample in self.samples}


def try_out(access: Access, terms: Terms, notes: Notes) -> Trial:
    """Try the configuration of an access.

    Args:
        access: its configuration is complete.
        terms: what the service asks of meters.
        notes: take what is found.
    """
    try:
        found = find_meters(access)
    except EnergyForecastingError as error:
        notes.add(bad(Step.METERS, plain_sentence(error)))
        return Trial()
    notes.add(*judge_meters(found, terms.meter_types))
    samples = []
    store = InfluxMeterStore(access.config)
    try:
        for meter in choose(found.newest):
            sample = look_at_meter(
                store, meter, history=terms.history, limits=terms.limits, now=datetime.now(tz=UTC)
            )
            notes.add(*sample.findings)
            samples.append(sample)
    finally:
        store.close()
    return Trial(found=found, samples=tuple(samples))
