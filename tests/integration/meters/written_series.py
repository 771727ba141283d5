"""Lines of line protocol as the series of the double of InfluxDB 2.x, quicker than writing them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.integration.meters.flux_language import Value
from tests.integration.meters.flux_tables import Series
from tests.integration.meters.line_protocol_reader import points


def series_of(lines: Iterable[str]) -> Iterator[Series]:
    """Yield a series for each field and set of tags; times in nanoseconds."""
    held: dict[tuple[tuple[tuple[str, str], ...], str, str], list[tuple[int, Value]]]
    held = defaultdict(list)
    for point in points("\n".join(lines).encode()):
        for name, (kind, value) in point.fields.items():
            held[tuple(sorted(point.tags.items())), name, kind].append((point.time, value))
    for (tags, name, kind), values in held.items():
        yield Series({**dict(tags), "_field": name}, kind, values)
