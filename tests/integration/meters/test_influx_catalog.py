"""Names of a database, asked of a real 1.x and of the double of 2.x: the same answers."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from energy_forecasting.doctor.access import Access
from energy_forecasting.domain.errors import AuthenticationFailed, InvalidRequest
from energy_forecasting.meters.influx.catalog import FieldType, Kept
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.layout import Place
from tests.influx_server import InfluxServer
from tests.integration.meters.influx_double import InfluxDouble
from tests.integration.meters.written_series import series_of

Write = Callable[[str], None]
LINES = """\
energy,id=a,kind=gas kwh=1.5,state="on",ok=true,n=3i 1700000000000000000
energy,id=b\\ 2,kind=water kwh=2 1700000000000000000
other,x=y v=1 1000000000000000000"""


@pytest.fixture(params=[pytest.param("1.x", marks=pytest.mark.influxdb), "2.x"])
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Access, Write]]:
    """Yield an access and a way to write."""
    if request.param == "2.x":
        double: InfluxDouble = request.getfixturevalue("double")
        config = {"token": double.token, "org": double.org, "bucket": double.bucket}
        with Access.of(InfluxConfig.model_validate({"url": double.url, **config})) as access:
            yield access, lambda lines: double.series.extend(series_of(lines.split("\n")))
        return
    server: InfluxServer = request.getfixturevalue("influx_server")
    database: str = request.getfixturevalue("influx_database")
    user = server.reader
    who = {"username": user.name, "password": user.password, "database": database}
    with Access.of(InfluxConfig.model_validate({"url": server.url, **who})) as access:
        yield access, lambda lines: server.write(database, lines, precision="ns")


def test_a_database_tells_its_names(opened: tuple[Access, Write]) -> None:
    # Given
    access, write = opened
    write(LINES)
    catalog, container = access.catalog, access.config.container
    place = Place(container=container, measurement="energy")
    # When, Then
    assert container in catalog.containers(access.deadline()).names
    assert sorted(catalog.measurements(container, access.deadline()).names) == ["energy", "other"]
    assert sorted(catalog.tags(place, access.deadline()).names) == ["id", "kind"]
    fields = catalog.fields(place, access.deadline()).names
    assert sorted(fields) == ["kwh", "n", "ok", "state"]
    assert catalog.field_types(place, (*fields, "nothing"), access.deadline()) == {
        "kwh": FieldType.NUMBER,
        "n": FieldType.NUMBER,
        "ok": FieldType.BOOLEAN,
        "state": FieldType.TEXT,
        "nothing": FieldType.UNKNOWN,
    }
    assert sorted(catalog.tag_values(place, "id", access.deadline()).names) == ["a", "b 2"]
    narrowed = place.narrowed("kind", "water")
    assert catalog.tag_values(narrowed, "id", access.deadline()).names == ("b 2",)


def test_a_field_that_changed_its_type_is_mixed(opened: tuple[Access, Write]) -> None:
    access, write = opened
    for lines in ("m,id=a v=1 1700000000000000000", 'm,id=b v="text" 1600000000000000000'):
        write(lines)
    place = Place(container=access.config.container, measurement="m")
    types = access.catalog.field_types(place, ("v",), access.deadline())
    assert types == {"v": FieldType.MIXED}


def test_what_is_not_there_has_no_names(opened: tuple[Access, Write]) -> None:
    access, _ = opened
    place = Place(container=access.config.container, measurement="nothing")
    assert access.catalog.measurements(place.container, access.deadline()).names == ()
    assert access.catalog.tags(place, access.deadline()).names == ()
    assert access.catalog.fields(place, access.deadline()).names == ()
    assert access.catalog.tag_values(place, "id", access.deadline()).names == ()
    with pytest.raises((InvalidRequest, AuthenticationFailed)):  # 1.x does not tell apart
        access.catalog.measurements("nowhere", access.deadline())


def test_long_lists_are_cut_and_say_so(opened: tuple[Access, Write]) -> None:
    access, write = opened
    write("\n".join(f"m,id=i{number} v=1 1700000000000000000" for number in range(1_005)))
    place = Place(container=access.config.container, measurement="m")
    ids = access.catalog.tag_values(place, "id", access.deadline())
    assert (len(ids.names), ids.complete) == (1_000, False)


@pytest.mark.parametrize("name", ["a\"b'c", "a\\b", "${x}", 'x") |> drop()', "''; DROP"])
def test_names_are_quoted_in_questions(opened: tuple[Access, Write], name: str) -> None:
    # Given a measurement, a tag and a value of that name
    access, write = opened
    escaped = name.replace(" ", "\\ ").replace("=", "\\=")
    write(f"{escaped},{escaped}={escaped} {escaped}=1 1700000000000000000")
    place = Place(container=access.config.container, measurement=name, tags=((name, name),))
    # When, Then
    assert access.catalog.tag_values(place, name, access.deadline()).names == (name,)
    types = access.catalog.field_types(place, (name,), access.deadline())
    assert types == {name: FieldType.NUMBER}


def test_a_bucket_says_how_long_it_keeps_values(double: InfluxDouble) -> None:
    config = {"token": double.token, "org": double.org, "bucket": double.bucket}
    with Access.of(InfluxConfig.model_validate({"url": double.url, **config})) as access:
        double.bucket_keeps_s = 86_400
        kept = access.catalog.kept(double.bucket, access.deadline())
        assert kept == (Kept(policy=None, is_default=True, duration=timedelta(days=1)),)
        double.tells_buckets = False
        assert access.catalog.kept(double.bucket, access.deadline()) == ()


@pytest.mark.influxdb
def test_a_database_says_how_long_its_policies_keep_values(
    influx_server: InfluxServer, influx_database: str
) -> None:
    user = influx_server.reader
    who = {"username": user.name, "password": user.password, "database": influx_database}
    influx_server.ask(
        f'CREATE RETENTION POLICY "two weeks" ON "{influx_database}" DURATION 2w REPLICATION 1'
    )
    with Access.of(InfluxConfig.model_validate({"url": influx_server.url, **who})) as access:
        kept = access.catalog.kept(influx_database, access.deadline())
    assert kept == (
        Kept(policy="autogen", is_default=True, duration=None),
        Kept(policy="two weeks", is_default=False, duration=timedelta(days=14)),
    )
