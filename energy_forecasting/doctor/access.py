"""A way to ask one InfluxDB, even before its configuration is complete."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from energy_forecasting.doctor.given import CONNECTION_KEYS
from energy_forecasting.meters.influx.catalog import Catalog
from energy_forecasting.meters.influx.config import Dialect, InfluxConfig
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.http import InfluxHttp
from energy_forecasting.meters.influx.influxql_catalog import InfluxqlCatalog
from energy_forecasting.meters.influx.influxql_source import InfluxqlSource
from energy_forecasting.meters.influx.source import InfluxSource

#: Stands where a name is not known yet; no question that needs the name is asked with it.
UNKNOWN = "not-known-yet"

#: Of one question; a database that takes longer is too slow to look around in.
_QUESTION_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Access(AbstractContextManager["Access"]):
    """Connections to one InfluxDB in one language."""

    config: InfluxConfig  #: names of it may be ``UNKNOWN``
    source: InfluxSource
    catalog: Catalog
    http: InfluxHttp

    @classmethod
    def of(cls, config: InfluxConfig) -> Self:
        """Open connections; nothing is asked yet."""
        http = InfluxHttp(config)
        if config.dialect is Dialect.INFLUXQL:
            source = InfluxqlSource(http)
            return cls(config=config, source=source, catalog=InfluxqlCatalog(source), http=http)
        from energy_forecasting.meters.influx.flux_catalog import (  # noqa: PLC0415 - slow to import
            FluxCatalog,
        )
        from energy_forecasting.meters.influx.flux_source import FluxSource  # noqa: PLC0415 - as above

        flux = FluxSource(config, http)
        org = None if config.org == UNKNOWN else config.org
        return cls(config=config, source=flux, catalog=FluxCatalog(flux, http, org), http=http)

    @property
    def has_credentials(self) -> bool:
        """Whether anybody is named who asks."""
        return self.config.username is not None or self.config.token is not None

    def deadline(self) -> Deadline:
        """Return the deadline of one question from now on."""
        return Deadline(min(_QUESTION_S, self.config.timeout_s))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.source.close()
        self.http.close()


def likely_dialect(values: Mapping[str, object]) -> Dialect:
    """Return the language that what is given so far looks like."""
    if values.get("database") or values.get("username") or not values.get("token"):
        return Dialect.INFLUXQL
    return Dialect.FLUX


def dialect_of(version: str, values: Mapping[str, object]) -> Dialect:
    """Return the language in which to ask a version, given what there is to ask with."""
    match version.lstrip("v").partition(".")[0]:
        case "1" | "3":
            return Dialect.INFLUXQL
        case "2":
            # InfluxQL needs a mapping there, which only who says database will have made.
            return Dialect.INFLUXQL if values.get("database") else Dialect.FLUX
        case _:
            return likely_dialect(values)


def connection_values(values: Mapping[str, object], dialect: Dialect) -> dict[str, object]:
    """Return the keys of a connection in the form of a language; ``UNKNOWN`` for missing names."""
    known = {key: values[key] for key in CONNECTION_KEYS if values.get(key) is not None}
    bucket, database = known.pop("bucket", None), known.pop("database", None)
    org = known.pop("org", None)
    if dialect is Dialect.FLUX:
        known.pop("username", None)
        known.pop("password", None)
        known.setdefault("token", UNKNOWN)
        return {**known, "org": org or UNKNOWN, "bucket": bucket or database or UNKNOWN}
    if {"username", "password"} <= known.keys():
        known.pop("token", None)
    else:
        known.pop("username", None)
        known.pop("password", None)
    return {**known, "database": database or bucket or UNKNOWN}
