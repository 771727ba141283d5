"""Series that Flux answers one by one are put together as one; no socket is opened."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from energy_forecasting.domain.errors import DataQualityError
from energy_forecasting.domain.meters import MeterProfile
from energy_forecasting.meters.influx import http
from energy_forecasting.meters.influx.config import InfluxConfig
from energy_forecasting.meters.influx.deadline import Deadline
from energy_forecasting.meters.influx.flux_source import FluxSource
from energy_forecasting.meters.influx.layout import MeterGroup, Place
from energy_forecasting.meters.influx.source import Series
from energy_forecasting.meters.spans import Span

PLACE = Place(container="b", measurement="m")
DAY = Span(start=0, end=86_400)
BOTH = ("kWh", "degrees")

Rows = Sequence[tuple[str, ...]]


class Answers:
    """What is answered to the queries that hold some text, as rows of several tables."""

    def __init__(self) -> None:
        self.columns: dict[str, tuple[tuple[str, str], ...]] = {}
        self.tables: dict[str, list[Rows]] = {}
        self.queries: list[str] = []

    def to(self, text: str, columns: str, *tables: Rows) -> None:
        """Answer with tables of columns, given as ``label:datatype`` each."""
        named = tuple(
            (label, kind) for label, _, kind in (c.partition(":") for c in columns.split())
        )
        self.columns[text], self.tables[text] = named, [*tables]

    def send(self, flux: str, _deadline: Deadline) -> bytes:
        self.queries.append(flux)
        for text, columns in self.columns.items():
            if text in flux:
                kinds = {"time": "dateTime:RFC3339"}
                lines = [
                    "#datatype,string,long," + ",".join(kinds.get(k, k) for _, k in columns),
                    ",result,table," + ",".join(label for label, _ in columns),
                ]
                for number, rows in enumerate(self.tables[text]):
                    lines += [f",,{number},{','.join(row)}" for row in rows]
                return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
        return b"\r\n"


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def source(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Iterator[FluxSource]:
    values = {"url": "http://localhost:8086", "token": "t", "org": "o", "bucket": "b"}
    config = InfluxConfig.model_validate(values)
    monkeypatch.setattr(http, "_FIRST_WAIT_S", 0.001)
    made = FluxSource(config, http.InfluxHttp(config))
    monkeypatch.setattr(made, "_send", answers.send)
    yield made
    made.close()


def at(hour: int, minute: int = 0) -> str:
    return f"1970-01-01T{hour:02}:{minute:02}:00Z"


def seconds(times: np.ndarray[tuple[int], np.dtype[np.datetime64]]) -> list[int]:
    return times.astype("datetime64[s]").astype(np.int64).tolist()


class TestEdges:
    def test_the_first_of_all_series_is_the_first(
        self, source: FluxSource, answers: Answers
    ) -> None:
        answers.to("first()", "_time:time", [(at(3),)], [(at(1),), (at(2),)])
        found = source.edge(PLACE, "kWh", DAY, "first", Deadline(5))
        assert found == np.datetime64("1970-01-01T01:00:00")

    def test_the_last_of_all_series_is_the_last(self, source: FluxSource, answers: Answers) -> None:
        answers.to("last()", "_time:time", [(at(3),)], [(at(1),), (at(2),)])
        found = source.edge(PLACE, "kWh", DAY, "last", Deadline(5))
        assert found == np.datetime64("1970-01-01T03:00:00")

    def test_without_series_there_is_none(self, source: FluxSource) -> None:
        assert source.edge(PLACE, "kWh", DAY, "last", Deadline(5)) is None


class TestCounts:
    def test_series_are_counted_together(self, source: FluxSource, answers: Answers) -> None:
        answers.to("count()", "_value:long", [("3",)], [("4",)])
        assert source.count(PLACE, "kWh", Deadline(5)) == 7

    def test_nothing_counts_nothing(self, source: FluxSource) -> None:
        assert source.count(PLACE, "kWh", Deadline(5)) == 0

    def test_windows_of_several_series_add_up_in_order(
        self, source: FluxSource, answers: Answers
    ) -> None:
        # Given: two series, of which the second has a window of its own, before
        one, other = [(at(2), "5"), (at(3), "1")], [(at(1), "7"), (at(3), "2")]
        answers.to("fn: count", "_time:time _value:long", one, other)
        # When
        counted = source.window_counts(PLACE, "kWh", DAY, Deadline(5))
        # Then
        assert seconds(counted.starts) == [3600, 7200, 10_800]
        assert counted.counts.tolist() == [7, 5, 3]

    def test_a_window_that_begins_with_the_span_keeps_its_start(
        self, source: FluxSource, answers: Answers
    ) -> None:
        answers.to("fn: count", "_time:time _value:long", [(at(1, 20), "5")])
        counted = source.window_counts(PLACE, "kWh", DAY, Deadline(5))
        assert seconds(counted.starts) == [4800]


class TestHours:
    def test_sums_add_up_and_temperatures_average(
        self, source: FluxSource, answers: Answers
    ) -> None:
        # Given: two series that share the second hour, and a temperature less
        window = "_time:time _value:double"
        answers.to("fn: sum", window, [(at(1), "10"), (at(2), "20")], [(at(2), "5")])
        answers.to(
            "fn: count", "_time:time _value:long", [(at(1), "12"), (at(2), "12")], [(at(2), "3")]
        )
        answers.to("fn: mean", window, [(at(2), "4")], [(at(2), "8"), (at(9), "1")])
        # When
        sums = source.hour_sums(PLACE, BOTH, DAY, Deadline(5))
        # Then
        assert seconds(sums.hours) == [3600, 7200]
        assert sums.sums.tolist() == [10, 25]
        assert sums.counts.tolist() == [12, 15]
        np.testing.assert_array_equal(sums.temperature, [np.nan, 6])

    def test_readings_that_arrive_meanwhile_do_not_mix_hours_up(
        self, source: FluxSource, answers: Answers
    ) -> None:
        # Given: an hour that was summed and not yet counted, and one that was only counted
        answers.to("fn: sum", "_time:time _value:double", [(at(1), "10"), (at(3), "30")])
        answers.to("fn: count", "_time:time _value:long", [(at(2), "2"), (at(3), "3")])
        # When
        sums = source.hour_sums(PLACE, ("kWh", None), DAY, Deadline(5))
        # Then
        assert seconds(sums.hours) == [3600, 10_800]
        assert sums.counts.tolist() == [0, 3]

    def test_an_hour_is_named_by_its_start(self, source: FluxSource, answers: Answers) -> None:
        # Given: a span from twenty past one on
        for function in ("sum", "mean"):
            answers.to(
                f"fn: {function}", "_time:time _value:double", [(at(1, 20), "4"), (at(2), "5")]
            )
        answers.to("fn: count", "_time:time _value:long", [(at(1, 20), "8"), (at(2), "12")])
        # When
        sums = source.hour_sums(PLACE, BOTH, Span(start=4800, end=86_400), Deadline(5))
        means = source.hour_means(PLACE, "degrees", DAY, Deadline(5))
        # Then
        assert seconds(sums.hours) == seconds(means.times) == [3600, 7200]
        assert sums.temperature.tolist() == means.values.tolist() == [4, 5]

    def test_hours_before_1970_too(self, source: FluxSource, answers: Answers) -> None:
        answers.to("fn: mean", "_time:time _value:double", [("1969-12-31T22:20:00Z", "4")])
        means = source.hour_means(PLACE, "degrees", DAY, Deadline(5))
        assert seconds(means.times) == [-7200]

    def test_a_null_is_no_mean(self, source: FluxSource, answers: Answers) -> None:
        answers.to("fn: mean", "_time:time _value:double", [(at(1), ""), (at(2), "5")])
        means = source.hour_means(PLACE, "degrees", DAY, Deadline(5))
        assert means.values.tolist() == [5]

    def test_without_a_field_for_temperature_none_is_asked_for(
        self, source: FluxSource, answers: Answers
    ) -> None:
        answers.to("fn: sum", "_time:time _value:double", [(at(1), "10")])
        sums = source.hour_sums(PLACE, ("kWh", None), DAY, Deadline(5))
        assert np.isnan(sums.temperature).all()
        assert not any("fn: mean" in flux for flux in answers.queries)


class TestNewest:
    def group(self, type_tag: str | None) -> MeterGroup:
        return MeterGroup(
            place=PLACE,
            consumption="kWh",
            profile=MeterProfile(),
            id_tag="id",
            type_tag=type_tag,
        )

    def test_every_series_names_a_meter(self, source: FluxSource, answers: Answers) -> None:
        answers.to(
            "last()", "kind:string id:string _time:time", [("gas", "g", at(1)), ("", "h", at(2))]
        )
        found = list(source.newest(self.group("kind"), Deadline(5)))
        assert found == [
            ("gas", "g", np.datetime64("1970-01-01T01:00:00")),
            ("", "h", np.datetime64("1970-01-01T02:00:00")),
        ]

    def test_one_type_needs_no_tag(self, source: FluxSource, answers: Answers) -> None:
        answers.to("last()", "id:string _time:time", [("g", at(1))])
        ((named_type, name, _),) = source.newest(self.group(None), Deadline(5))
        assert (named_type, name) == (None, "g")

    def test_a_tag_that_no_series_has_is_empty(self, source: FluxSource, answers: Answers) -> None:
        answers.to("last()", "_time:time", [(at(1),)])
        ((named_type, name, _),) = source.newest(self.group("kind"), Deadline(5))
        assert (named_type, name) == ("", "")


class TestEnds:
    """An answer that ends before the field does is never taken."""

    def ends(self, answers: Answers, **last: str) -> None:
        rows: list[Rows] = [[(field, time)] for field, time in last.items()]
        answers.to("last()", "_field:string _time:time", *rows)

    def read(self, source: FluxSource) -> tuple[Series, Series]:
        return source.readings(PLACE, BOTH, DAY, Deadline(5))

    def test_an_answer_to_the_end_is_taken(self, source: FluxSource, answers: Answers) -> None:
        # Given: the server knows fractions of a second, the answer may go on meanwhile
        self.ends(answers, kWh="1970-01-01T02:00:00.9Z", degrees=at(1))
        answers.to(
            '"kWh"', "_time:time _value:double", [(at(1), "1"), ("1970-01-01T02:00:00.9Z", "2")]
        )
        answers.to('"degrees"', "_time:time _value:double", [(at(1), "20"), (at(3), "21")])
        # When
        consumption, temperature = self.read(source)
        # Then
        assert consumption.values.tolist() == [1, 2]
        assert temperature.values.tolist() == [20, 21]

    @pytest.mark.parametrize("field", BOTH)
    def test_one_that_stops_short_is_asked_for_again_and_refused(
        self, source: FluxSource, answers: Answers, field: str
    ) -> None:
        # Given
        self.ends(answers, kWh=at(5), degrees=at(5))
        for name in BOTH:
            rows: Rows = [(at(5), "1")] if name != field else [(at(4, 59), "1")]
            answers.to(f'"{name}"', "_time:time _value:double", rows)
        # When
        with pytest.raises(DataQualityError, match=f"{field} until 1970-01-01T05:00:00") as raised:
            self.read(source)
        # Then
        assert raised.value.details["field"] == field
        asked = [flux for flux in answers.queries if f'== "{field}"' in flux and "last" not in flux]
        assert len(asked) == 3

    def test_an_empty_one_is_refused_too(self, source: FluxSource, answers: Answers) -> None:
        self.ends(answers, kWh=at(5))
        with pytest.raises(DataQualityError, match="is empty"):
            self.read(source)

    def test_the_latest_of_several_series_counts(
        self, source: FluxSource, answers: Answers
    ) -> None:
        answers.to("last()", "_field:string _time:time", [("kWh", at(5))], [("kWh", at(3))])
        answers.to('"kWh"', "_time:time _value:double", [(at(4), "1")])
        with pytest.raises(DataQualityError, match="until 1970-01-01T05:00:00"):
            self.read(source)

    def test_an_hour_reaches_to_its_end(self, source: FluxSource, answers: Answers) -> None:
        # Given: the last value in the last second of the hour, and then in the next one
        answers.to("fn: mean", "_time:time _value:double", [(at(5), "1")])
        self.ends(answers, degrees="1970-01-01T05:59:59Z")
        # When, Then
        assert source.hour_means(PLACE, "degrees", DAY, Deadline(5)).values.tolist() == [1]
        self.ends(answers, degrees="1970-01-01T06:00:00Z")
        with pytest.raises(DataQualityError):
            source.hour_means(PLACE, "degrees", DAY, Deadline(5))

    def test_a_field_without_values_has_no_end(self, source: FluxSource) -> None:
        consumption, temperature = self.read(source)
        assert not len(consumption.times)
        assert not len(temperature.times)
