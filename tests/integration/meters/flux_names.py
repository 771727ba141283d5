"""Flux's functions that tell names instead of values, as its standard library documents them."""

from tests.integration.meters.flux_language import Call, Row
from tests.integration.meters.flux_tables import Table
from tests.integration.meters.influx_refusal import compile_error

NAMING = {"keys", "distinct", "limit"}


def named(call: Call, tables: list[Table]) -> list[Table]:
    """Run one of the calls of ``NAMING``."""
    match (call.name, call.arguments):
        case ("keys", {**none}) if not none:
            return [_keys(table) for table in tables]
        case ("distinct", {**given}) if given.keys() <= {"column"}:
            return [_distinct(table, str(given.get("column", "_value"))) for table in tables]
        case ("limit", {"n": int(most), **rest}) if not rest:
            return [Table(table.key, table.columns, table.rows[:most]) for table in tables]
        case _:
            raise compile_error(f"undefined {call.name} with {sorted(call.arguments)}")


def _keys(table: Table) -> Table:
    """Tell the names of the group key's columns, as ``keys`` does."""
    columns = {label: kind for label, kind in table.columns.items() if label in table.key}
    rows: list[Row] = [{"_value": label} for label in sorted(table.key)]
    return Table(table.key, {**columns, "_value": "string"}, rows)


def _distinct(table: Table, column: str) -> Table:
    """Tell the different values of a column, in the order in which they come."""
    values = dict.fromkeys(table.key.get(column, row.get(column)) for row in table.rows)
    kind = table.columns.get(column, "string")
    columns = {label: kind for label, kind in table.columns.items() if label in table.key}
    rows: list[Row] = [{"_value": value} for value in values if value is not None]
    return Table(table.key, {**columns, "_value": kind}, rows)
