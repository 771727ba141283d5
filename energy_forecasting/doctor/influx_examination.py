"""One InfluxDB examined from its address to its readings, and a configuration proposed."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from energy_forecasting.doctor.access import Access
from energy_forecasting.doctor.approach import Approach, Arrival
from energy_forecasting.doctor.finding import Diagnosis, Finding, Proposal, Step, bad, care, good
from energy_forecasting.doctor.given import CONNECTION_KEYS, SECRET_KEYS, Given
from energy_forecasting.doctor.guess import Guess, guess, with_reading_kinds, worth_looking_at
from energy_forecasting.doctor.layout_findings import judge, wanted_names
from energy_forecasting.doctor.notes import Notes, Stopped
from energy_forecasting.doctor.server import judge_keeping
from energy_forecasting.doctor.sight import Measurement, look_at
from energy_forecasting.doctor.terms import Terms
from energy_forecasting.doctor.trial import Trial, try_out
from energy_forecasting.doctor.wording import begun, how_many, joined, listed, plain_sentence
from energy_forecasting.domain.errors import EnergyForecastingError, InvalidRequest
from energy_forecasting.meters.influx.catalog import Kept, Names
from energy_forecasting.meters.influx.config import InfluxConfig, check_influx_values
from energy_forecasting.meters.influx.layout import Layout, Place
from energy_forecasting.meters.influx.schema import InfluxSchema
from energy_forecasting.meters.spans import Span

_DEFAULT_MEASUREMENT = str(InfluxSchema.model_fields["measurement"].default)

#: Measurements that are looked at for a guess.
_MOST_MEASUREMENTS = 20

#: Of a layout that does not fit, what may be right all the same.
_KEPT_KEYS = {"timezone", "country", "forecasts", "retention_policy"}


class InfluxExamination:
    """One examination.

    Args:
        given: what the operator has given.
        terms: what the service asks of meters.
        show: takes each finding as it comes.
    """

    def __init__(self, given: Given, terms: Terms, show: Callable[[Finding], None]) -> None:
        self._given = given
        self._terms = terms
        self._notes = Notes(show)

    def diagnose(self) -> Diagnosis:
        """Examine step by step; never raises for what is wrong with InfluxDB."""
        diagnosis = Diagnosis(findings=(), verdict="", can_train=False)
        try:
            arrival = Approach(self._given, self._notes).arrive()
            diagnosis = replace(
                diagnosis, store=f"influxdb-{arrival.dialect}", version=arrival.version
            )
            diagnosis = self._of_readings(arrival, diagnosis)
        except Stopped as stopped:
            diagnosis = replace(diagnosis, verdict=stopped.verdict)
        return replace(diagnosis, findings=self._notes.findings)

    def _of_readings(self, arrival: Arrival, diagnosis: Diagnosis) -> Diagnosis:
        with Access.of(self._checked(arrival.connection)) as access:
            policies = self._of_keeping(access)
            measurements = self._measurements(access)
        layout = {
            key: value for key, value in self._given.values.items() if key not in CONNECTION_KEYS
        }
        trial = Trial()
        if layout.keys() - _KEPT_KEYS or _DEFAULT_MEASUREMENT in measurements.names:
            trial = self._of_given_layout(arrival, layout, measurements, policies)
            diagnosis = replace(diagnosis, meters=trial.by_type)
        else:
            told = f"How readings are named is not given, and there is no {_DEFAULT_MEASUREMENT}."
            self._notes.add(bad(Step.LAYOUT, told, "See the configuration below."))
        if trial.corrections:
            layout = with_reading_kinds(layout, trial.corrections, trial.types_looked_at)
        if trial.trainable:
            return self._trainable(diagnosis, trial, arrival, layout)
        if trial.corrections:
            return self._proposed(diagnosis, Guess(layout=layout), arrival, layout)
        found = self._guessed(arrival, measurements, policies)
        if found is None:
            raise Stopped("Nothing that looks like readings of meters was found.")
        return self._proposed(diagnosis, found, arrival, layout)

    # --- What is there ------------------------------------------------------------------------

    def _of_keeping(self, access: Access) -> tuple[Kept, ...]:
        try:
            kept = access.catalog.kept(access.config.container, access.deadline())
        except EnergyForecastingError:
            return ()  # not everybody may ask, and the readings tell as well
        policy = self._given.values.get("retention_policy")
        finding = judge_keeping(kept, None if policy is None else str(policy))
        if finding is not None:
            self._notes.add(finding)
        return kept

    def _measurements(self, access: Access) -> Names:
        try:
            names = access.catalog.measurements(access.config.container, access.deadline())
        except EnergyForecastingError as error:
            self._notes.add(bad(Step.LAYOUT, plain_sentence(error)))
            raise Stopped("InfluxDB does not tell what it holds.") from error
        if not names.names:
            self._notes.add(
                bad(
                    Step.LAYOUT,
                    "It is empty.",
                    "Check that what writes the readings runs and writes them here.",
                )
            )
            raise Stopped("There are no readings yet.")
        shown = listed(names.names, complete=names.complete)
        self._notes.add(good(Step.LAYOUT, f"It holds {how_many(names, 'measurement')}: {shown}."))
        return names

    # --- The layout that is given -------------------------------------------------------------

    def _of_given_layout(
        self,
        arrival: Arrival,
        layout: Mapping[str, object],
        measurements: Names,
        policies: tuple[Kept, ...],
    ) -> Trial:
        try:
            config = self._checked({**arrival.connection, **layout})
        except InvalidRequest as wrong:
            if self._given.problem is None:
                self._notes.add(bad(Step.CONFIGURATION, plain_sentence(wrong)))
            return Trial()
        self._of_places(layout)
        with Access.of(config) as access:
            self._compare_names(access, measurements)
            trial = try_out(access, self._terms, self._notes)
            if trial.found is not None and not trial.found.newest:
                self._look_into_other_policies(access, policies)
        return trial

    def _of_places(self, layout: Mapping[str, object]) -> None:
        """Warn of what cannot be found out from readings."""
        types = layout.get("types")
        parts = [layout, *(types.values() if isinstance(types, dict) else ())]
        missing = [
            key
            for key in ("timezone", "country")
            if not any(isinstance(part, Mapping) and part.get(key) for part in parts)
        ]
        if missing:
            are = "is" if len(missing) == 1 else "are"
            told = f"{joined(missing)} {are} not given: habits follow the local clock and holidays."
            advice = (
                'Write where the meters are, such as "timezone": "Europe/Rome", "country": "IT".'
            )
            self._notes.add(care(Step.LAYOUT, begun(told), advice))

    def _compare_names(self, access: Access, measurements: Names) -> None:
        seen: dict[Place, Measurement] = {}
        for wanted in wanted_names(access.config):
            place = replace(wanted.place, tags=())
            try:
                if place not in seen:
                    seen[place] = look_at(access, place, *wanted.names)
            except EnergyForecastingError as error:
                self._notes.add(care(wanted.step, plain_sentence(error)))
                continue
            if seen[place].exists or not wanted.is_remainder:
                self._notes.add(judge(wanted, seen[place], measurements))

    def _look_into_other_policies(self, access: Access, policies: tuple[Kept, ...]) -> None:
        """Look for the readings in the retention policies that nobody asked so far."""
        if access.config.retention_policy is not None:
            return
        for policy in [kept.policy for kept in policies if kept.policy and not kept.is_default]:
            for group in Layout(access.config).groups():
                place = replace(group.place, retention_policy=policy)
                deadline = access.deadline()
                try:
                    last = access.source.edge(place, group.consumption, Span(), "last", deadline)
                except EnergyForecastingError:
                    continue
                if last is not None:
                    told = "There are readings, but not in the default retention policy."
                    advice = f'Write "retention_policy": "{policy}" in the configuration.'
                    self._notes.add(care(Step.METERS, told, advice))
                    return

    # --- What follows -------------------------------------------------------------------------

    def _trainable(
        self,
        diagnosis: Diagnosis,
        trial: Trial,
        arrival: Arrival,
        layout: Mapping[str, object],
    ) -> Diagnosis:
        given, looked_at = self._given, len(trial.samples)
        verdict = (
            f"Trainings work: {trial.trainable} of {looked_at} meters looked at can be trained."
        )
        fits = given.config is not None and given.config.dialect is arrival.dialect
        if fits and not given.has_options and not trial.corrections:
            return replace(diagnosis, verdict=verdict, can_train=True)
        proposal = Proposal(
            configuration=_without_secrets({**arrival.connection, **layout}),
            remarks=_about_secrets(arrival),
        )
        if trial.corrections:
            verdict = f"{verdict} The configuration below corrects what others are declared to be."
        else:
            told = "with the configuration below; the service is not told so yet"
            verdict = f"{verdict[:-1]} {told}."
        return replace(diagnosis, verdict=verdict, can_train=fits, proposal=proposal)

    def _guessed(
        self, arrival: Arrival, measurements: Names, policies: tuple[Kept, ...]
    ) -> Guess | None:
        """Guess a layout in the default retention policy or, where that has none, in another."""
        others = [kept.policy for kept in policies if not kept.is_default]
        wanted = self._given.values.get("retention_policy")
        for policy in [None, *others] if wanted is None else [str(wanted)]:
            found = guess(self._looked_at(arrival, measurements, policy), self._terms.meter_types)
            if found is not None:
                named = {} if policy is None else {"retention_policy": policy}
                return replace(found, layout={**found.layout, **named})
        return None

    def _looked_at(
        self, arrival: Arrival, measurements: Names, policy: str | None
    ) -> list[Measurement]:
        seen = []
        with Access.of(self._checked(arrival.connection)) as access:
            for name in worth_looking_at(measurements.names, _MOST_MEASUREMENTS):
                container = access.config.container
                place = Place(container=container, retention_policy=policy, measurement=name)
                try:
                    seen.append(look_at(access, place))
                except EnergyForecastingError as error:
                    self._notes.add(care(Step.LAYOUT, plain_sentence(error)))
                    break
        return seen

    def _proposed(
        self,
        diagnosis: Diagnosis,
        found: Guess,
        arrival: Arrival,
        layout: Mapping[str, object],
    ) -> Diagnosis:
        """Try a layout, correct it by what its readings show, and propose it."""
        kept = {key: value for key, value in layout.items() if key in _KEPT_KEYS}
        values = {**arrival.connection, **found.layout, **kept}
        trial, findings = self._tried(values)
        if trial.corrections:
            values = with_reading_kinds(values, trial.corrections, trial.types_looked_at)
            trial, findings = self._tried(values)
        if trial.trainable:
            told = "What follows was found with the configuration below."
            self._notes.add(good(Step.LAYOUT, told), *findings)
        values.setdefault("timezone", "UTC")
        proposal = Proposal(
            configuration=_without_secrets(values),
            remarks=(*found.remarks, *_about_places(values), *_about_secrets(arrival)),
        )
        verdict = "Trainings do not work yet. The configuration below is a guess to begin with."
        if trial.trainable and trial.by_type is not None:
            kinds = joined([f"{number:,} of {name}" for name, number in trial.by_type.items()])
            verdict = (
                "Trainings do not work yet. With the configuration below they would: it finds "
                f"meters ({kinds}), and {trial.trainable} of {len(trial.samples)} looked at can be "
                "trained."
            )
        return replace(diagnosis, verdict=verdict, proposal=proposal)

    def _tried(self, values: Mapping[str, object]) -> tuple[Trial, tuple[Finding, ...]]:
        """Try a guess in silence."""
        notes = Notes(lambda _finding: None)
        try:
            config = self._checked(values)
        except InvalidRequest:
            return Trial(), ()
        with Access.of(config) as access:
            trial = try_out(access, self._terms, notes)
        return trial, notes.findings

    def _checked(self, values: Mapping[str, object]) -> InfluxConfig:
        return check_influx_values(values, self._given.path)


def _without_secrets(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if key not in SECRET_KEYS}


def _about_places(values: Mapping[str, object]) -> list[str]:
    remarks = []
    if values["timezone"] == "UTC":
        remarks.append("Set timezone to that of the meters, such as Europe/Rome; habits follow it.")
    if not values.get("country"):
        remarks.append('Add "country", such as "IT", for its public holidays.')
    return remarks


def _about_secrets(arrival: Arrival) -> tuple[str, ...]:
    secrets = [key for key in SECRET_KEYS if key in arrival.connection]
    return tuple(
        f"The {key} is left out: set INFLUXDB_{key.upper()} or INFLUXDB_{key.upper()}_FILE, or add "
        f'"{key}" to the file and let nobody else read it (chmod 600).'
        for key in secrets
    )
