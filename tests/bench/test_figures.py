"""What is made of measurements: medians, ratios within a round, targets, the baseline."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import (
    Figure,
    Row,
    Spread,
    as_json,
    figures,
    from_json,
    quantile,
    ratio,
    shown,
    shown_target,
    spread,
    value,
    worsening,
)

RATE = Row("rate", "jobs/s", ("torc", "rate"), ("C", "rate"), higher=True, target=ratio(0.5))


def rounds(*pairs: tuple[float, float]) -> list[dict[str, dict[str, float]]]:
    return [{"torc": {"rate": ours}, "C": {"rate": theirs}} for ours, theirs in pairs]


def a_figure(median: float, beside: float | None = None, **fields: object) -> Figure:
    given: dict[str, object] = {"benchmark": "b", "row": "r", "unit": "s", "higher": False}
    if beside is not None:
        given |= {"beside": "C", "reference": beside, "ratio": median / beside}
    return Figure(value=Spread(median, median, median), **given | fields)  # type: ignore[arg-type]


def test_a_ratio_is_taken_within_each_round_and_not_between_medians() -> None:
    (found,) = figures("b", [RATE], rounds((10, 10), (20, 100), (100, 50)))
    assert found.ratio == 1
    assert found.value == Spread(10, 20, 100)
    assert found.reference == 50


def test_a_line_whose_contender_is_missing_in_any_round_is_left_out() -> None:
    measured = rounds((60, 100), (30, 50))
    del measured[1]["C"]
    alone = Row("alone", "jobs/s", ("torc", "rate"))
    assert [found.row for found in figures("b", [RATE, alone], measured)] == ["alone"]


def test_no_rounds_give_no_lines() -> None:
    assert figures("b", [RATE], []) == []


def test_a_cost_that_is_not_ours_is_taken_off_in_its_own_round() -> None:
    row = Row("own", "ms", ("torc", "rate"), less=("C", "rate"))
    (found,) = figures("b", [row], rounds((5, 1), (9, 2), (10, 9)))
    assert found.value == Spread(1, 4, 7)


def test_a_reference_of_nothing_gives_no_ratio() -> None:
    (found,) = figures("b", [RATE], rounds((5, 0)))
    assert found.ratio is None
    assert found.reached is None


@pytest.mark.parametrize(
    ("figure", "reached", "reach"),
    [
        (a_figure(2, target=value(4)), True, 2),
        (a_figure(4, target=value(4)), True, 1),
        (a_figure(8, target=value(4)), False, 0.5),
        (a_figure(8, target=value(4), higher=True), True, 2),
        (a_figure(2, 4, target=ratio(0.5)), True, 1),
        (a_figure(2, 4, target=ratio(0.25)), False, 0.5),
        (a_figure(2, 4, target=ratio(0.25), higher=True), True, 2),
        (a_figure(0, target=value(1)), True, math.inf),
        (a_figure(2), None, None),
    ],
)
def test_a_target_is_reached_from_the_better_side(
    figure: Figure, reached: bool | None, reach: float | None
) -> None:
    assert (figure.reached, figure.reach) == (reached, reach)


@pytest.mark.parametrize(
    ("now", "before", "higher", "worse"),
    [
        (a_figure(1.2), a_figure(1.0), False, 0.2),
        (a_figure(1.0), a_figure(1.25), False, -0.2),
        (a_figure(80), a_figure(100), True, 0.25),
        (a_figure(100), a_figure(80), True, -0.2),
        (a_figure(20, 10), a_figure(1, 1), False, 1.0),
        (a_figure(20, 10), a_figure(2), False, None),
        (a_figure(0), a_figure(2), False, None),
    ],
)
def test_worse_is_counted_from_the_better_one(
    now: Figure, before: Figure, higher: bool, worse: float | None
) -> None:
    now, before = (from_json(as_json(one) | {"higher": higher}) for one in (now, before))
    assert worsening(now, before) == (worse if worse is None else pytest.approx(worse))


def test_lines_beside_different_references_have_different_keys() -> None:
    assert a_figure(1, 2).key != a_figure(1).key


@pytest.mark.parametrize("figure", [a_figure(1), a_figure(1, 2, target=ratio(3))])
def test_what_is_written_is_read_back(figure: Figure) -> None:
    assert from_json(as_json(figure)) == figure


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_the_median_lies_between_the_extremes(values: list[float]) -> None:
    found = spread(values)
    assert found.low == min(values)
    assert found.high == max(values)
    assert found.low <= found.median <= found.high


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_quantile_is_one_of_the_values(share: float, expected: float) -> None:
    assert quantile(range(100, 0, -1), share) == expected


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0"), (0.01234, "0.0123"), (5.678, "5.68"), (99.96, "100"), (12345.6, "12,346")],
)
def test_numbers_are_shown_with_three_figures(number: float, words: str) -> None:
    assert shown(number) == words


def test_targets_are_shown_as_people_write_them() -> None:
    assert shown_target(a_figure(1, target=value(4))) == "≤ 4 s"
    assert shown_target(a_figure(1, 2, target=ratio(0.55), higher=True)) == "≥ 0.55 x"
    assert not shown_target(a_figure(1))
