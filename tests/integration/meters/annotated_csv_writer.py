"""Tables as annotated CSV, as InfluxDB 2.x writes it.

Lines end in CRLF. Tables of like columns stand under one header; before others comes a blank line
and a new header. A null is an empty cell, a float never has an exponent, and a result ends in a
blank line. A fault after the first table is a table of its own.
"""

import csv
import io
from datetime import UTC, datetime

import numpy as np

from tests.integration.meters.flux_language import SECOND_NS, Value
from tests.integration.meters.flux_tables import Table


def annotated_csv(
    tables: list[Table], *, rows_per_table: int | None = None, error: str | None = None
) -> bytes:
    """Write one result.

    Args:
        tables: of the result.
        rows_per_table: split each into several of so many rows.
        error: what went wrong after them.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    number, described = 0, None
    for table in tables:
        labels = list(table.columns)
        if described != (table.columns, table.key.keys()):
            if described is not None:
                text.write("\r\n")
            described = (table.columns, table.key.keys())
            group = [str(label in table.key).lower() for label in labels]
            writer.writerow(["#datatype", "string", "long", *table.columns.values()])
            writer.writerow(["#group", "false", "false", *group])
            writer.writerow(["#default", "_result", "", *[""] * len(labels)])
            writer.writerow(["", "result", "table", *labels])
        step = rows_per_table or max(len(table.rows), 1)
        for at in range(0, len(table.rows), step):
            for row in table.rows[at : at + step]:
                values = ({**table.key, **row}.get(label) for label in labels)
                cells = map(_cell, values, table.columns.values())
                writer.writerow(["", "", number, *cells])
            number += 1
    if error is None:
        text.write("\r\n")
    else:
        if described is not None:
            text.write("\r\n")
        writer.writerow(["#datatype", "string", "string"])
        writer.writerow(["#group", "true", "true"])
        writer.writerow(["#default", "", ""])
        writer.writerow(["", "error", "reference"])
        writer.writerow(["", error, ""])
    return text.getvalue().encode()


def _cell(value: Value, datatype: str) -> str:
    if value is None:
        return ""
    if datatype.startswith("dateTime"):
        seconds, nanoseconds = divmod(int(value), SECOND_NS)
        moment = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
        return f"{moment}{fraction}Z"
    if isinstance(value, float):
        return np.format_float_positional(value, trim="-")
    return str(value)
