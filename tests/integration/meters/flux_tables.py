"""Flux's functions over tables in memory, as the Flux standard library documents them.

Where the documents are silent it follows what InfluxDB 2.x is known to do: a series whose field
changes its type is read up to the change, from whichever end the reading begins.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby

from tests.integration.meters.flux_language import Call, Duration, Moment, Name, Row, Value
from tests.integration.meters.influx_refusal import Refusal, compile_error, runtime_error

_TIME = "dateTime:RFC3339"
_NUMBERS = ("double", "long", "unsignedLong")


@dataclass
class Series:
    """Points of one field with one set of tags; of points at the same time the last one holds."""

    tags: dict[str, str]
    datatype: str
    points: list[tuple[int, Value]] = field(default_factory=list)


@dataclass
class Table:
    """A table of a stream: rows that share the values of the group key."""

    key: Row
    columns: dict[str, str]  #: label to datatype, those of the key included
    rows: list[Row]  #: the columns that are not in the key
    newest: tuple[Row, str] | None = None  #: from storage: the last row and its datatype


def applied(call: Call, series: list[Series], tables: list[Table]) -> list[Table]:  # noqa: PLR0911
    """Run one call after ``from``; an argument that is not known here is a compile error."""
    match (call.name, call.arguments):
        case ("range", {"start": Moment(start), "stop": Moment(stop), **rest}) if not rest:
            return between(series, start, stop)
        case ("filter", {"fn": predicate, **rest}) if callable(predicate) and not rest:
            return [table for table in tables if predicate(table.key)]
        case ("first", {**none}) if not none:
            return [_with(table, table.rows[:1], table.columns["_value"]) for table in tables]
        case ("last", {**none}) if not none:
            return [_last(table) for table in tables]
        case ("count", {**none}) if not none:
            return [_counted(table) for table in tables]
        case ("aggregateWindow", arguments):
            windows = _windows(arguments)
            return [windows.of(table) for table in tables]
        case ("keep", {"columns": list(labels), **rest}) if not rest:
            return _kept(tables, labels)
        case ("group", {**none}) if not none:
            return _ungrouped(tables)
        case _:
            raise compile_error(f"undefined {call.name} with {sorted(call.arguments)}")


def between(series: list[Series], start: int, stop: int) -> list[Table]:
    """Return the tables of a range, one per series; ``start`` is in it and ``stop`` is not."""
    if start >= stop:
        raise Refusal(400, "invalid", "cannot query an empty range")
    tables = []
    for tags, same in groupby(sorted(series, key=_series_key), _series_key):
        points = {
            at: (value, each.datatype)
            for each in same
            for at, value in each.points
            if start <= at < stop
        }
        if points:
            tables.append(_from_storage({"_start": start, "_stop": stop, **dict(tags)}, points))
    return tables


def _from_storage(key: Row, points: dict[int, tuple[Value, str]]) -> Table:
    ordered = sorted(points)
    datatype = points[ordered[0]][1]
    rows: list[Row] = []
    for at in ordered:
        value, kind = points[at]
        if kind != datatype:
            break
        rows.append({"_time": at, "_value": value})
    value, kind = points[ordered[-1]]
    return Table(
        key,
        {
            "_start": _TIME,
            "_stop": _TIME,
            "_time": _TIME,
            "_value": datatype,
            **{label: "string" for label in key if label not in {"_start", "_stop"}},
        },
        rows,
        ({"_time": ordered[-1], "_value": value}, kind),
    )


def _series_key(series: Series) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(series.tags.items()))


def _with(table: Table, rows: list[Row], datatype: str) -> Table:
    return Table(table.key, {**table.columns, "_value": datatype}, rows)


def _last(table: Table) -> Table:
    if table.newest is None:
        return _with(table, table.rows[-1:], table.columns["_value"])
    row, datatype = table.newest
    return _with(table, [row], datatype)


def _counted(table: Table) -> Table:
    columns = {label: kind for label, kind in table.columns.items() if label in table.key}
    return Table(table.key, {**columns, "_value": "long"}, [{"_value": len(table.rows)}])


# --- aggregateWindow -------------------------------------------------------------------------


def _sum(values: list[Value]) -> Value:
    known = [value for value in values if value is not None]
    return sum(known) if known else None  # type: ignore[arg-type] # numbers, as was checked


def _mean(values: list[Value]) -> Value:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None  # type: ignore[arg-type]


_AGGREGATES: dict[str, Callable[[list[Value]], Value]] = {"count": len, "sum": _sum, "mean": _mean}
_SELECTORS = {"first": 0, "last": -1}


@dataclass(frozen=True, kw_only=True)
class _Windows:
    """Windows of UTC, laid from 1970 on and cut to the range."""

    every: int
    offset: int
    function: str
    source: str
    create_empty: bool

    def of(self, table: Table) -> Table:
        datatype = self._datatype(table.columns["_value"])
        columns = {label: kind for label, kind in table.columns.items() if label in table.key}
        rows = [row for at, held in self._windows(table) for row in self._row(table, at, held)]
        return Table(table.key, {**columns, "_time": _TIME, "_value": datatype}, rows)

    def _windows(self, table: Table) -> Iterable[tuple[int, list[Row]]]:
        """Yield the unclipped start of each window and the rows in it."""
        held: dict[int, list[Row]] = {}
        for row in table.rows:
            held.setdefault(self._start(_moment(row["_time"])), []).append(row)
        if self.create_empty:
            first = self._start(_moment(table.key["_start"]))
            for at in range(first, _moment(table.key["_stop"]), self.every):
                held.setdefault(at, [])
        return sorted(held.items())

    def _start(self, at: int) -> int:
        return (at - self.offset) // self.every * self.every + self.offset

    def _row(self, table: Table, at: int, held: list[Row]) -> Iterable[Row]:
        times = {
            "_start": max(at, _moment(table.key["_start"])),
            "_stop": min(at + self.every, _moment(table.key["_stop"])),
        }
        if self.function in _SELECTORS:
            if held:
                row = held[_SELECTORS[self.function]]
                times["_time"] = _moment(row["_time"])
                yield {"_time": times[self.source], "_value": row["_value"]}
        elif self.source in times:
            value = _AGGREGATES[self.function]([row["_value"] for row in held])
            yield {"_time": times[self.source], "_value": value}
        else:  # an aggregate drops _time
            raise runtime_error("duplicate", f'column "{self.source}" does not exist')

    def _datatype(self, datatype: str) -> str:
        if self.function == "count":
            return "long"
        if self.function in _SELECTORS:
            return datatype
        if self.function not in _AGGREGATES:
            raise compile_error(f"undefined identifier {self.function}")
        if datatype not in _NUMBERS:
            kind = f"unsupported input type for {self.function} aggregate: {datatype}"
            raise Refusal(400, "invalid", kind)
        return "double" if self.function == "mean" else datatype


_DEFAULTS: dict[str, object] = {
    "offset": Duration(0),
    "column": "_value",
    "timeSrc": "_stop",
    "timeDst": "_time",
    "createEmpty": Name("true"),
}


def _windows(given: dict[str, object]) -> _Windows:
    """Understand the arguments of ``aggregateWindow``, with its defaults."""
    arguments = {"period": given.get("every"), **_DEFAULTS, **given}
    match arguments:
        case {
            "every": Duration(every),
            "period": Duration(period),
            "offset": Duration(offset),
            "fn": Name(function),
            "column": "_value",
            "timeDst": "_time",
            "timeSrc": "_start" | "_stop" | "_time" as source,
            "createEmpty": Name("true" | "false") as empty,
            **rest,
        } if every > 0 and period == every and not rest:
            return _Windows(
                every=every,
                offset=offset,
                function=function,
                source=str(source),
                create_empty=empty == Name("true"),
            )
        case _:
            raise compile_error(f"the double knows no aggregateWindow with {sorted(given)}")


def _moment(value: Value) -> int:
    assert isinstance(value, int)
    return value


# --- keep and group --------------------------------------------------------------------------


def _kept(tables: list[Table], labels: list[str]) -> list[Table]:
    kept: list[Table] = []
    for table in tables:
        cut = Table(
            {label: value for label, value in table.key.items() if label in labels},
            {label: kind for label, kind in table.columns.items() if label in labels},
            [{label: row[label] for label in labels if label in row} for row in table.rows],
        )
        same = next((other for other in kept if other.key == cut.key), None)
        if same is None:
            kept.append(cut)
            continue
        if same.columns != cut.columns:
            what = "numbers of columns" if len(same.columns) != len(cut.columns) else "schemas"
            told = f"requested operation merges tables with different {what} for group key"
            raise runtime_error("keep", f"{told} {{{cut.key}}}")
        same.rows = [*same.rows, *cut.rows]
    return kept


def _ungrouped(tables: list[Table]) -> list[Table]:
    """Make one table of all; a column that a table lacks is null in its rows."""
    if not tables:
        return []
    columns: dict[str, str] = {}
    for table in tables:
        for label, kind in table.columns.items():
            if columns.setdefault(label, kind) != kind:
                told = f'schema collision detected: column "{label}" is both of type'
                raise runtime_error("group", f"{told} {kind} and {columns[label]}")
    return [Table({}, columns, [{**table.key, **row} for table in tables for row in table.rows])]
