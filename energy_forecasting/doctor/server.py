"""Which InfluxDB answers, who may ask it, and which buckets or databases there are."""

from collections.abc import Mapping

from energy_forecasting.doctor.access import UNKNOWN, Access
from energy_forecasting.doctor.finding import Finding, Step, bad, care, good
from energy_forecasting.doctor.reaching import Address, speaks_tls
from energy_forecasting.doctor.wording import in_words, listed, named, plain, plain_sentence
from energy_forecasting.domain.errors import (
    AuthenticationFailed,
    EnergyForecastingError,
    InvalidRequest,
)
from energy_forecasting.meters.influx.catalog import Kept, Names
from energy_forecasting.meters.influx.config import Dialect
from energy_forecasting.meters.influx.layout import Place

UNTOLD = "unknown"  #: as ``InfluxHttp.ping`` says it

_IN_LANGUAGE = {Dialect.FLUX: "Flux", Dialect.INFLUXQL: "InfluxQL"}
_SHORTEST_KEEPING_DAYS = 224  #: that the network needs


def judge_version(version: str, dialect: Dialect, values: Mapping[str, object]) -> Finding:
    """Say what a version means for the form of the configuration.

    Args:
        version: as the server tells it.
        dialect: the language in which it will be asked.
        values: what is given so far.
    """
    language = _IN_LANGUAGE[dialect]
    if version == UNTOLD:
        return care(
            Step.SERVER,
            "The server does not tell its version, as behind a proxy, in InfluxDB Cloud, or where "
            f"even /ping asks for a token; it is asked in {language}, as what is given suggests.",
        )
    major = version.lstrip("v").partition(".")[0]
    if major in {"1", "3"} and (values.get("bucket") or values.get("org")):
        return bad(
            Step.SERVER,
            f"InfluxDB {plain(version)} has no Flux, but org and bucket are given, which are for "
            "Flux.",
            "Give database in place of org and bucket, with username and password or, for 3.x, "
            "token; the bucket is taken as the database now.",
        )
    why = {
        "1": "which every 1.x understands",
        "2": "as 2.x understands best"
        if dialect is Dialect.FLUX
        else "as database is given; 2.x needs a DBRP mapping for it (influx v1 dbrp create)",
        "3": "which 3.x understands; it has no Flux",
    }.get(major, "as what is given suggests")
    return good(Step.SERVER, f"InfluxDB {plain(version)}, asked in {language}, {why}.")


def is_tls_spoken_to_plainly(address: Address, version: str) -> bool:
    """Tell whether a server that tells nothing expects https."""
    return version == UNTOLD and not address.is_https and speaks_tls(address)


def look_for_containers(access: Access) -> tuple[list[Finding], Names | None]:
    """Return what the credentials may see; None when they are refused, or the server is none."""
    what = container_word(access.config.dialect)
    try:
        names = access.catalog.containers(access.deadline())
    except EnergyForecastingError as error:
        if _may_read(access):
            told = f"{_who(access)} is accepted, though the {what}s are not told."
            return [good(Step.CREDENTIALS, told)], Names(names=(), complete=False)
        if isinstance(error, AuthenticationFailed):
            return [_refused(access)], None
        return [bad(Step.CREDENTIALS, plain_sentence(error))], None
    findings = [_accepted(access)]
    if names.names:
        shown = listed(names.names, complete=names.complete)
        findings.append(good(Step.CONTAINER, f"Of the {what}s it may see {shown}."))
    return findings, names


def judge_container(access: Access, names: Names) -> Finding:
    """Say whether the named bucket or database may be read."""
    what, name = container_word(access.config.dialect), access.config.container
    try:
        access.source.probe(_anything(access), access.deadline())
    except AuthenticationFailed:
        return bad(
            Step.CONTAINER,
            f"{_who(access)} may not read the {what} {named(name)}, or there is none.",
            f"It may see {listed(names.names, complete=names.complete)}. {_how_to_grant(access)}",
        )
    except InvalidRequest:
        seen = listed(names.names, complete=names.complete)
        return bad(
            Step.CONTAINER,
            f"There is no {what} {named(name)}"
            + (" in this organization" if access.config.dialect is Dialect.FLUX else "")
            + f", or {_who(access).lower()} may not see it.",
            f"It may see {seen}; names are told apart by capitals, too.",
        )
    except EnergyForecastingError as error:
        return bad(Step.CONTAINER, plain_sentence(error))
    return good(Step.CONTAINER, f"The {what} {named(name)} may be read.")


def judge_keeping(kept: tuple[Kept, ...], policy: str | None) -> Finding | None:
    """Warn when readings are deleted before they are many enough; None when all is well."""
    for each in kept:
        if each.policy == policy or (policy is None and each.is_default):
            if each.duration is None or each.duration.days >= _SHORTEST_KEEPING_DAYS:
                return None
            return care(
                Step.CONTAINER,
                f"Readings are deleted after {in_words(each.duration)}.",
                f"Keep them for {_SHORTEST_KEEPING_DAYS} days at least, better for two years: the "
                "full model needs them.",
            )
    if policy is not None and kept:
        return bad(
            Step.CONTAINER,
            f"There is no retention policy {named(policy)}.",
            f"There are {listed(each.policy or '' for each in kept)}; correct retention_policy.",
        )
    return None


def container_word(dialect: Dialect) -> str:
    """Return what a container is called."""
    return "bucket" if dialect is Dialect.FLUX else "database"


def _accepted(access: Access) -> Finding:
    if access.has_credentials:
        return good(Step.CREDENTIALS, f"{_who(access)} is accepted.")
    return care(
        Step.CREDENTIALS,
        "Nobody has to log in here: whoever reaches this port may read and delete everything.",
        "Turn authentication on ([http] auth-enabled = true) unless nobody else can reach it.",
    )


def _refused(access: Access) -> Finding:
    if not access.has_credentials:
        return bad(
            Step.CREDENTIALS,
            "The server wants to know who asks, and nobody is named.",
            "Set INFLUXDB_USERNAME and INFLUXDB_PASSWORD (1.x), or INFLUXDB_TOKEN (3.x; for 2.x "
            "with INFLUXDB_ORG and INFLUXDB_BUCKET). INFLUXDB_PASSWORD_FILE and "
            "INFLUXDB_TOKEN_FILE name files instead. Never write them on the command line: every "
            "user of this machine could read them there.",
        )
    return bad(
        Step.CREDENTIALS,
        f"The server refuses {_who(access).lower()}.",
        "Check it, and that it comes from where you think: variables win over the file, and a file "
        "that INFLUXDB_TOKEN_FILE or INFLUXDB_PASSWORD_FILE names is read anew at each start.",
    )


def _may_read(access: Access) -> bool:
    if access.config.container == UNKNOWN:
        return False
    try:
        access.source.probe(_anything(access), access.deadline())
    except EnergyForecastingError:
        return False
    return True


def _anything(access: Access) -> Place:
    return Place(container=access.config.container, measurement="anything")


def _who(access: Access) -> str:
    if access.config.token is not None:
        return "The token"
    if access.config.username is None:
        return "Nobody"
    return f"The user {plain(access.config.username)}"


def _how_to_grant(access: Access) -> str:
    container = plain(access.config.container)
    if access.config.username is not None:
        user = plain(access.config.username)
        return f'As administrator: GRANT READ ON "{container}" TO "{user}".'
    return f"Make a token that may read {container}."
