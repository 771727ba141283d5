"""From what is given to a bucket or database that may be read."""

from dataclasses import dataclass

from energy_forecasting.doctor.access import (
    UNKNOWN,
    Access,
    connection_values,
    dialect_of,
    likely_dialect,
)
from energy_forecasting.doctor.finding import Outcome, Step, bad, care, good
from energy_forecasting.doctor.given import Given
from energy_forecasting.doctor.notes import Notes, Stopped
from energy_forecasting.doctor.reaching import Address, reach
from energy_forecasting.doctor.server import (
    is_tls_spoken_to_plainly,
    judge_container,
    judge_version,
    look_for_containers,
)
from energy_forecasting.doctor.wording import joined, listed, plain, plain_sentence
from energy_forecasting.domain.errors import EnergyForecastingError
from energy_forecasting.meters.influx.catalog import Names
from energy_forecasting.meters.influx.config import Dialect, check_influx_values


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """Where the way led."""

    connection: dict[str, object]  #: keys of the configuration, secrets among them
    dialect: Dialect
    version: str


class Approach:
    """The way to one InfluxDB.

    Args:
        given: what the operator has given.
        notes: take what is found on the way.
    """

    def __init__(self, given: Given, notes: Notes) -> None:
        self._given = given
        self._notes = notes
        self._values = dict(given.values)

    def arrive(self) -> Arrival:
        """Go there step by step.

        Raises:
            Stopped: a step failed, and what failed is noted.
        """
        self._note_configuration()
        address = self._address()
        self._reach(address)
        version = self._ask_version(address)
        dialect = dialect_of(version, self._values)
        self._notes.add(judge_version(version, dialect, self._values))
        names = self._look_for_containers(dialect)
        self._complete(dialect, names)
        with self._access(dialect) as access:
            container = judge_container(access, names)
        self._notes.add(container)
        if container.outcome is Outcome.BAD:
            raise Stopped("The readings cannot be reached with what is given.")
        connection = connection_values(self._values, dialect)
        return Arrival(connection=connection, dialect=dialect, version=version)

    def _note_configuration(self) -> None:
        given = self._given
        if given.remark is not None:
            self._notes.add(care(Step.CONFIGURATION, f"{given.remark}."))
        where = [f"the file {given.path}"] if given.is_file_used else []
        where += ["INFLUXDB_* variables"] if given.are_variables_used else []
        where += ["the command line"] if given.has_options else []
        told = f"Given by {joined(where)}" if where else "What is given"
        if given.problem is None:
            self._notes.add(good(Step.CONFIGURATION, f"{told}: the configuration is complete."))
        else:
            self._notes.add(bad(Step.CONFIGURATION, f"{told}, but: {given.problem}."))

    def _address(self) -> Address:
        if not self._values.get("url"):
            self._notes.add(
                bad(
                    Step.HOST,
                    "It is not known where InfluxDB is.",
                    "Set INFLUXDB_URL, or give --url http://localhost:8086.",
                )
            )
            raise Stopped("There is no address to go to.")
        connection = connection_values(self._values, likely_dialect(self._values))
        try:
            config = check_influx_values(connection, self._given.path)
        except EnergyForecastingError as error:
            if self._given.problem is None:
                self._notes.add(bad(Step.CONFIGURATION, plain_sentence(error)))
            raise Stopped("The address or the credentials cannot be used as they are.") from error
        return Address(url=config.url, verify_tls=config.verify_tls, ca_file=config.ca_file)

    def _reach(self, address: Address) -> None:
        for finding in reach(address):
            self._notes.add(finding)
            if finding.outcome is Outcome.BAD:
                raise Stopped("InfluxDB cannot be reached.")

    def _ask_version(self, address: Address) -> str:
        with self._access(likely_dialect(self._values)) as access:
            try:
                version = access.source.version(access.deadline())
            except EnergyForecastingError as error:
                self._notes.add(bad(Step.SERVER, plain_sentence(error)))
                raise Stopped("What answers there does not answer as InfluxDB.") from error
        if is_tls_spoken_to_plainly(address, version):
            self._notes.add(
                bad(
                    Step.TLS,
                    f"Port {address.port} of {plain(address.host)} speaks TLS.",
                    "The url must begin with https://.",
                )
            )
            raise Stopped("InfluxDB cannot be reached by plain HTTP.")
        return version

    def _look_for_containers(self, dialect: Dialect) -> Names:
        """Return the buckets or databases; the only organization is taken on the way."""
        if dialect is Dialect.FLUX and not self._values.get("token"):
            self._notes.add(
                bad(
                    Step.CREDENTIALS,
                    "InfluxDB 2.x wants a token, and none is given.",
                    "Set INFLUXDB_TOKEN, or INFLUXDB_TOKEN_FILE to the name of a file that holds "
                    "it; never write it on the command line, where every user of this machine "
                    "could read it.",
                )
            )
            raise Stopped("InfluxDB answers, but a token is missing.")
        with self._access(dialect) as access:
            findings, names = look_for_containers(access)
            self._notes.add(*findings)
            if names is None:
                raise Stopped("InfluxDB cannot be asked with what is given.")
            if dialect is Dialect.FLUX and not self._values.get("org"):
                self._take_only_organization(access)
        return names

    def _take_only_organization(self, access: Access) -> None:
        try:
            found = access.catalog.organizations(access.deadline()).names
        except EnergyForecastingError:
            found = ()
        if len(found) == 1:
            self._values["org"] = found[0]
            self._notes.add(
                care(Step.CONTAINER, f"org is not given; the only one is {listed(found)}.")
            )
            return
        told = f"org is not given; the token sees {listed(found)}."
        self._notes.add(bad(Step.CONTAINER, told, "Give --org NAME, or INFLUXDB_ORG."))
        raise Stopped("It is not known which organization the readings belong to.")

    def _complete(self, dialect: Dialect, names: Names) -> None:
        """Take the only bucket or database when none is given."""
        key = "bucket" if dialect is Dialect.FLUX else "database"
        if connection_values(self._values, dialect)[key] != UNKNOWN:
            return
        seen = listed(names.names, complete=names.complete)
        if len(names.names) == 1 and names.complete:
            self._values[key] = names.names[0]
            self._notes.add(care(Step.CONTAINER, f"{key} is not given; the only one is {seen}."))
            return
        told = f"{key} is not given; there are {seen}." if names.names else f"{key} is not given."
        self._notes.add(bad(Step.CONTAINER, told, f"Run this again with --{key} NAME."))
        raise Stopped(f"It is not known in which {key} the readings lie.")

    def _access(self, dialect: Dialect) -> Access:
        connection = connection_values(self._values, dialect)
        return Access.of(check_influx_values(connection, self._given.path))
