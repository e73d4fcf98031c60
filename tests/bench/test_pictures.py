"""Pictures are well-formed whatever things are called, and say what was measured."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Figure, Spread, Target
from bench.flame import boxes, flame, shares, tree
from bench.picture import BAD, GOOD, NONE, picture
from bench.profile import AREAS, OTHER, area_of, parts

SVG = "{http://www.w3.org/2000/svg}"

NAMES = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters=";"), min_size=1
)
STACKS = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=5).map(";".join), st.floats(0.001, 10), max_size=12
)


def a_figure(reach: float | None, **names: str) -> Figure:
    named = {"benchmark": "b", "row": "r", "unit": "s", "beside": "C", **names}
    target = None if reach is None else Target(10 * reach, of_ratio=False)
    return Figure(higher=False, value=Spread(10, 10, 10), ratio=1.0, target=target, **named)  # type: ignore[arg-type]


def bars(figures: list[Figure]) -> list[ET.Element]:
    """The bars, without the ground."""
    return ET.fromstring(picture(figures, "p")).findall(f"{SVG}rect")[1:]


def test_a_bar_ends_right_of_the_middle_where_the_target_is_reached() -> None:
    good, bad = bars([a_figure(2), a_figure(0.5), a_figure(None)])
    assert good.get("fill") == GOOD
    assert bad.get("fill") == BAD
    assert float(good.get("x", "")) == pytest.approx(
        float(bad.get("x", "")) + float(bad.get("width", ""))
    )
    assert good.get("width") == bad.get("width")


def test_a_line_without_a_target_has_numbers_and_no_bar() -> None:
    assert not bars([a_figure(None)])
    assert NONE in picture([a_figure(None)], "p")


@pytest.mark.parametrize("reach", [0, 1e-9, 1e9, float("inf")])
def test_bars_stay_on_the_scale(reach: float) -> None:
    (bar,) = bars([a_figure(reach)])
    assert float(bar.get("x", "")) >= 420
    assert float(bar.get("x", "")) + float(bar.get("width", "")) <= 740.1


@given(NAMES, NAMES)
def test_any_name_makes_a_well_formed_picture(row: str, beside: str) -> None:
    (bar,) = bars([a_figure(1, row=row, beside=beside)])
    assert bar.findtext(f"{SVG}title") == f"b: {row} / {beside}: 1 of the target"


@given(STACKS)
def test_any_stacks_make_a_well_formed_flame_graph(stacks: dict[str, float]) -> None:
    drawn = ET.fromstring(flame(stacks, "f")).findall(f"{SVG}rect")[1:]
    hints = [box.findtext(f"{SVG}title", "") for box in drawn]
    named = [box.name for box in boxes(tree(stacks))]
    assert len(hints) == len(named)
    assert all(hint.startswith(f"{name}: ") for hint, name in zip(hints, named, strict=True))


@given(STACKS)
def test_what_is_called_lies_within_what_calls_it(stacks: dict[str, float]) -> None:
    drawn = boxes(tree(stacks))
    for box in drawn:
        below = [
            other
            for other in drawn
            if other.level == box.level - 1
            and other.start <= box.start + 1e-9
            and box.start + box.part <= other.start + other.part + 1e-9
        ]
        assert len(below) == (1 if box.level else 0)


def test_a_flame_graph_adds_up_what_functions_share() -> None:
    drawn = {box.name: box for box in boxes(tree({"a;b": 1, "a;c": 2, "a": 1}))}
    assert drawn["a"].part == 1
    assert (drawn["b"].start, drawn["b"].part) == (0, 0.25)
    assert (drawn["c"].start, drawn["c"].part) == (0.25, 0.5)


def test_a_function_that_calls_itself_is_counted_once() -> None:
    assert shares({"a;b;a": 1, "b": 3}) == {"b": 1.0, "a": 0.25}


@pytest.mark.parametrize(
    ("stack", "area"),
    [
        ("slurmtorc.cli.run.run;slurmtorc.worker.worker.Worker.tick;sqlalchemy.x", AREAS[2][0]),
        ("slurmtorc.store.sql.x;(import)", AREAS[0][0]),
        ("slurmtorc.worker.launch.start;subprocess.Popen.__init__;os.fsencode", AREAS[3][0]),
        ("threading.Thread.run", OTHER),
    ],
)
def test_a_stack_belongs_to_the_innermost_area(stack: str, area: str) -> None:
    assert area_of(stack) == area


@given(STACKS.filter(bool))
def test_parts_make_a_whole(stacks: dict[str, float]) -> None:
    assert sum(parts(stacks).values()) == pytest.approx(1)
