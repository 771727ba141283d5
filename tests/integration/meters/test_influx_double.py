"""The double does what InfluxDB's documents say, where the store relies on it."""

from datetime import UTC, datetime

import pytest

from tests.integration.meters.annotated_csv_writer import annotated_csv
from tests.integration.meters.flux_database import FluxDatabase
from tests.integration.meters.flux_tables import Series, Table
from tests.integration.meters.influx_double import nanoseconds
from tests.integration.meters.influx_refusal import Refusal
from tests.integration.meters.line_protocol_reader import points

START = datetime(2021, 1, 1, tzinfo=UTC)
#: The series t1 of the examples of ``aggregateWindow``.
EXAMPLE = (-2.18, 10.92, 7.35, 17.53, 15.23, 4.43)


def double_of(*values: object, step_s: int = 10, kind: str = "double", **tags: str) -> FluxDatabase:
    double = FluxDatabase()
    at = nanoseconds(START)
    held = [(at + step * step_s * 10**9, value) for step, value in enumerate(values)]
    named = {"_measurement": "m", "_field": "f", **tags}
    double.series.append(Series(named, kind, held))  # type: ignore[arg-type]
    return double


def run(double: FluxDatabase, *calls: str, stop: str = "2021-01-01T00:01:00Z") -> list[Table]:
    start = "2021-01-01T00:00:00Z"
    source = [f'from(bucket: "the-bucket") |> range(start: {start}, stop: {stop})']
    return double.run(" |> ".join([*source, *calls]))


def seconds(table: Table) -> list[int]:
    return [(int(row["_time"] or 0) - nanoseconds(START)) // 10**9 for row in table.rows]


def values(table: Table) -> list[object]:
    return [row["_value"] for row in table.rows]


class TestAggregateWindow:
    def test_the_example_with_defaults(self) -> None:
        (table,) = run(double_of(*EXAMPLE), "aggregateWindow(every: 20s, fn: mean)")
        assert seconds(table) == [20, 40, 60]
        assert values(table) == pytest.approx([4.37, 12.44, 9.83])

    def test_windows_are_named_by_their_start_when_asked_to(self) -> None:
        (table,) = run(
            double_of(*EXAMPLE), 'aggregateWindow(every: 20s, fn: sum, timeSrc: "_start")'
        )
        assert seconds(table) == [0, 20, 40]
        assert values(table) == pytest.approx([8.74, 24.88, 19.66])

    def test_empty_windows_are_made_unless_asked_not_to(self) -> None:
        double = double_of(1.0, 2.0, step_s=45)
        (empty,) = run(double, "aggregateWindow(every: 20s, fn: count)")
        assert list(zip(seconds(empty), values(empty), strict=True)) == [(20, 1), (40, 0), (60, 1)]
        (table,) = run(double, "aggregateWindow(every: 20s, fn: count, createEmpty: false)")
        assert list(zip(seconds(table), values(table), strict=True)) == [(20, 1), (60, 1)]
        (summed,) = run(double, "aggregateWindow(every: 20s, fn: sum)")
        assert values(summed) == [1.0, None, 2.0]

    def test_the_first_and_last_window_are_cut_to_the_range(self) -> None:
        double = double_of(*EXAMPLE)
        (table,) = double.run(
            'from(bucket: "the-bucket") '
            "|> range(start: 2021-01-01T00:00:10Z, stop: 2021-01-01T00:00:50Z) "
            '|> aggregateWindow(every: 20s, fn: count, timeSrc: "_start")'
        )
        assert list(zip(seconds(table), values(table), strict=True)) == [(10, 1), (20, 2), (40, 1)]

    @pytest.mark.parametrize("week", ["1w", "7d", "168h"])
    def test_weeks_begin_on_thursdays(self, week: str) -> None:
        day = 86_400
        (table,) = run(
            double_of(*range(14), step_s=day, kind="long"),
            f'aggregateWindow(every: {week}, fn: count, createEmpty: false, timeSrc: "_start")',
            stop="2021-02-01T00:00:00Z",
        )
        # 1 January 2021 was a Friday.
        assert seconds(table) == [0, 6 * day, 13 * day]
        assert values(table) == [6, 7, 1]

    def test_a_null_is_counted_and_otherwise_skipped(self) -> None:
        double = double_of(1.0, None, None, None)
        (counted,) = run(double, "aggregateWindow(every: 20s, fn: count, createEmpty: false)")
        (summed,) = run(double, "aggregateWindow(every: 20s, fn: sum, createEmpty: false)")
        assert values(counted) == [2, 2]
        assert values(summed) == [1.0, None]

    @pytest.mark.parametrize(
        ("function", "kind"), [("count", "long"), ("sum", "long"), ("mean", "double")]
    )
    def test_only_a_mean_of_whole_numbers_is_a_decimal(self, function: str, kind: str) -> None:
        (table,) = run(double_of(1, 2, kind="long"), f"aggregateWindow(every: 1m, fn: {function})")
        assert table.columns["_value"] == kind

    def test_text_can_be_counted_and_not_added_up(self) -> None:
        double = double_of("on", "off", kind="string")
        assert values(run(double, "aggregateWindow(every: 1m, fn: count)")[0]) == [2]
        with pytest.raises(Refusal, match="unsupported input type"):
            run(double, "aggregateWindow(every: 1m, fn: sum)")

    @pytest.mark.parametrize(
        "call",
        [
            "aggregateWindow(every: 1m)",
            "aggregateWindow(fn: sum)",
            'aggregateWindow(every: "1m", fn: sum)',
            "aggregateWindow(every: 1mo, fn: sum)",
            "aggregateWindow(every: 1m, fn: total)",
            "aggregateWindow(every: 1m, fn: sum, createEmpty: no)",
            "aggregateWindow(every: 1m, fn: sum, every: 2m)",
            "aggregateWindow(every: 1m, fn: sum, empty: false)",
            'aggregateWindow(every: 1m, fn: sum, timeSrc: "_time")',
        ],
    )
    def test_anything_else_is_refused(self, call: str) -> None:
        with pytest.raises(Refusal):
            run(double_of(1.0), call)


class TestMerging:
    def test_keep_merges_series_and_refuses_to_mix_types(self) -> None:
        double = double_of(1.0, logger="a")
        double.series += double_of(2.0, logger="b").series
        (table,) = run(double, 'keep(columns: ["_value"])')
        assert sorted(map(str, values(table))) == ["1.0", "2.0"]
        double.series += double_of(3, kind="long", logger="c").series
        with pytest.raises(Refusal, match="different schemas"):
            run(double, 'keep(columns: ["_value"])')

    def test_group_fills_up_what_a_table_lacks(self) -> None:
        double = double_of(1.0, logger="a")
        double.series += double_of(2.0).series
        (table,) = run(double, "last()", 'keep(columns: ["logger", "_time"])', "group()")
        assert [row.get("logger") for row in table.rows] == [None, "a"]

    def test_a_series_that_changes_its_type_is_read_up_to_there_but_for_last(self) -> None:
        double = double_of(1.0, 2.0)
        later = [(nanoseconds(START) + 30 * 10**9, 3)]
        double.series.append(Series(dict(double.series[0].tags), "long", [*later]))
        assert values(run(double)[0]) == [1.0, 2.0]
        assert values(run(double, "count()")[0]) == [2]
        assert seconds(run(double, "last()")[0]) == [30]

    def test_a_point_is_replaced_by_a_later_one_of_its_time(self) -> None:
        double = double_of(1.0)
        double.series[0].points.append((nanoseconds(START), 2.0))
        assert values(run(double)[0]) == [2.0]


class TestAnnotatedCsv:
    def test_tables_of_like_columns_stand_under_one_header(self) -> None:
        double = double_of(1.0, 1e-7, logger="a")
        double.series += double_of(2.5, logger="b").series
        tables = run(double, 'keep(columns: ["_value", "logger"])')
        assert annotated_csv(tables).decode().split("\r\n") == [
            "#datatype,string,long,double,string",
            "#group,false,false,false,true",
            "#default,_result,,,",
            ",result,table,_value,logger",
            ",,0,1,a",
            ",,0,0.0000001,a",
            ",,1,2.5,b",
            "",
            "",
        ]

    def test_an_error_after_the_first_rows_is_a_table(self) -> None:
        tables = run(double_of(1), 'keep(columns: ["_time"])')
        assert annotated_csv(tables, error='"no" memory').decode().split("\r\n") == [
            "#datatype,string,long,dateTime:RFC3339",
            "#group,false,false,false",
            "#default,_result,,",
            ",result,table,_time",
            ",,0,2021-01-01T00:00:00Z",
            "",
            "#datatype,string,string",
            "#group,true,true",
            "#default,,",
            ",error,reference",
            ',"""no"" memory",',
            "",
        ]

    def test_nothing_is_a_blank_line(self) -> None:
        assert annotated_csv([]) == b"\r\n"


class TestLineProtocol:
    def test_escapes_are_undone(self) -> None:
        line = r'my\ m\,x=,tag\ k\=1=v\,a\ l\=,b="q" f\,1=1.5e-3,n=-7i,s="a \"b\" \\ ,=",ok=true 60'
        (point,) = points(line.encode())
        assert point.tags == {"_measurement": "my m,x=", "tag k=1": "v,a l=", "b": '"q"'}
        assert point.fields == {
            "f,1": ("double", 0.0015),
            "n": ("long", -7),
            "s": ("string", 'a "b" \\ ,='),
            "ok": ("boolean", "true"),
        }
        assert point.time == 60

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "m",
            "m v=1",
            "m v= 1",
            "m  v=1 1",
            "m,t= v=1 1",
            "m,=x v=1 1",
            "m,t v=1 1",
            "m v=nan 1",
            "m v=1e 1",
            "m v=1 1.5",
            "m v=1 1\n",
            "m v=1,v=2 1",
            "m,t=a,t=b v=1 1",
            "m _v=1 1",
            "m,time=1 v=1 1",
            "# m v=1 1",
            'm v="open 1',
            "m v=1 1 ",
        ],
    )
    def test_what_is_no_line_is_refused(self, line: str) -> None:
        with pytest.raises(Refusal, match="unable to parse"):
            points(line.encode())

    def test_what_is_no_utf_8_is_refused(self) -> None:
        with pytest.raises(Refusal, match="UTF-8"):
            points(b"m v=\xff 1")
