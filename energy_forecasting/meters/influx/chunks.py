"""How a long span is read in pieces, so that memory and a repeated question stay small."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from energy_forecasting.meters.influx.source import WindowCounts
from energy_forecasting.meters.spans import Span

#: Values that one question answers with; some 5 MB of text.
CHUNK_VALUES = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A part of a span and how many values it holds."""

    span: Span
    values: int


def chunks(counted: WindowCounts, beyond: int, most: int = CHUNK_VALUES) -> Iterator[Chunk]:
    """Yield spans that together hold every counted value, each about ``most`` or one window.

    Args:
        counted: values by window.
        beyond: end of the last window, seconds since 1970.
        most: values of a chunk.
    """
    starts = counted.starts.astype("datetime64[s]").astype(np.int64).tolist()
    counts = counted.counts.tolist()
    first, held = 0, 0
    for window, count in enumerate(counts):
        if held and held + count > most:
            yield Chunk(span=Span(start=starts[first], end=starts[window]), values=held)
            first, held = window, 0
        held += count
    if held:
        yield Chunk(span=Span(start=starts[first], end=beyond), values=held)
