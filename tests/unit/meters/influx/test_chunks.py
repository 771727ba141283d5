"""A span is cut so that each piece holds about as many values as one answer may."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_forecasting.meters.influx.chunks import chunks
from energy_forecasting.meters.influx.source import WindowCounts

WEEK_S = 7 * 86_400


def counted(*counts: int, gap_after: int | None = None) -> WindowCounts:
    starts = [
        (week + (3 if gap_after is not None and week > gap_after else 0)) * WEEK_S
        for week in range(len(counts))
    ]
    return WindowCounts(
        starts=np.array(starts, dtype="datetime64[s]"), counts=np.array(counts, dtype=np.int64)
    )


def test_few_values_are_one_piece() -> None:
    (piece,) = chunks(counted(168, 168, 100), 3 * WEEK_S, most=1000)
    assert (piece.span.start, piece.span.end, piece.values) == (0, 3 * WEEK_S, 436)


def test_a_piece_ends_where_the_next_window_would_be_too_much() -> None:
    pieces = list(chunks(counted(60, 40, 1, 100), 4 * WEEK_S, most=100))
    assert [piece.values for piece in pieces] == [100, 1, 100]
    assert [piece.span.start for piece in pieces] == [0, 2 * WEEK_S, 3 * WEEK_S]


def test_a_window_of_too_many_values_is_a_piece_of_its_own() -> None:
    pieces = list(chunks(counted(10, 5000, 10), 3 * WEEK_S, most=100))
    assert [piece.values for piece in pieces] == [10, 5000, 10]


def test_no_values_need_no_question() -> None:
    assert list(chunks(counted(), WEEK_S)) == []


@pytest.mark.parametrize("most", [1, 100, 10**6])
def test_a_gap_between_windows_belongs_to_a_piece_or_to_none(most: int) -> None:
    pieces = list(chunks(counted(10, 10, 10, gap_after=0), 6 * WEEK_S, most=most))
    assert sum(piece.values for piece in pieces) == 30
    assert pieces[-1].span.end == 6 * WEEK_S


@given(st.lists(st.integers(1, 5000), max_size=40), st.integers(1, 6000))
def test_the_pieces_together_are_the_span_without_overlap(counts: list[int], most: int) -> None:
    pieces = list(chunks(counted(*counts), len(counts) * WEEK_S, most=most))
    assert sum(piece.values for piece in pieces) == sum(counts)
    edges = [(piece.span.start, piece.span.end) for piece in pieces]
    assert all(end == start for (_, end), (start, _) in pairwise(edges))
    assert all(piece.values <= max(most, 5000) for piece in pieces)
