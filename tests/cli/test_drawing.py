"""Tables drawn without rich have to be what rich makes of them."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.cli import render
from slurmtorc.cli.drawing import WIDTH, drawn

Names = list[str]
Table = tuple[Names, list[Names], dict[str, Any]]

words = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
words = words.map(str.rstrip)
names = st.text(alphabet="ABCxyz_", min_size=1, max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    line = st.lists(words, min_size=len(columns), max_size=len(columns))
    rows = draw(st.lists(line, max_size=4))
    total = draw(st.just([]) | st.lists(names, min_size=len(columns), max_size=len(columns)))
    right = draw(st.sets(st.sampled_from(columns)))
    return columns, rows, {"right": right, "total": total}


def printed(columns: Names, rows: list[Names], options: Any, *, by_rich: bool = False) -> str:
    with pytest.MonkeyPatch.context() as patch:
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        patch.setattr(sys, "stdout", stream)
        if by_rich:
            patch.setattr(render, "drawn", lambda *_, **__: None)
        render.print_table(columns, rows, **options)
        stream.flush()
        return stream.buffer.getvalue().decode()


@given(tables())
def test_a_drawn_table_has_the_characters_of_richs(table: Table) -> None:
    columns, rows, options = table
    drawing = drawn(columns, rows, **options)
    assert drawing is not None
    assert printed(*table) == drawing + "\n" == printed(*table, by_rich=True)


@pytest.mark.parametrize(
    "cell", ["naïve", "two\nlines", "x" * WIDTH, "\x1b[31mred", "日本", "blank "]
)
def test_what_takes_more_than_ascii_on_one_line_is_left_to_rich(cell: str) -> None:
    assert drawn(["Name"], [[cell]]) is None
    assert printed(["Name"], [[cell]], {}) == printed(["Name"], [[cell]], {}, by_rich=True)


def test_colours_that_are_asked_for_are_there_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    options = {"styles": {"failed": "red"}}
    assert "\x1b[31m" in printed(["Status"], [["failed"]], options)


def test_where_boxes_cannot_be_encoded_rich_draws_with_what_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    render.print_table(["Status"], [["failed"]])
    stream.flush()
    assert "| failed |" in stream.buffer.getvalue().decode("ascii")
