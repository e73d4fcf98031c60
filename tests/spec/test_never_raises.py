"""Whatever stands in a file, a check gives faults or a draft, and nothing else."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from everything import EVERYTHING
from hypothesis import given
from hypothesis import strategies as st
from specs import source, texts

from slurmtorc import spec

Place = tuple[str | int, ...]


def places(tree: Any, path: Place = ()) -> list[Place]:
    entries: Any = ()
    if isinstance(tree, dict):
        entries = tree.items()
    elif isinstance(tree, list):
        entries = enumerate(tree)
    return [*([path] if path else []), *(p for k, v in entries for p in places(v, (*path, k)))]


PLACES = places(EVERYTHING)
WORDS = ["", "a", "{i}", "{seed:zz}", "${files.input.in}", "1:3", "@x", "^", "[", "prep", "cpu"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**65) | st.floats(-2, 2) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=4,
)
KEYS = sorted({part for path in PLACES for part in path if isinstance(part, str)})


@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES, st.sampled_from(KEYS)), max_size=4))
def test_a_workflow_with_wrong_things_in_it_has_faults_or_a_draft(
    changes: list[tuple[Place, Any, str]],
) -> None:
    tree = deepcopy(EVERYTHING)
    for path, value, key in changes:
        _change(tree, path, value, key)
    file = source(tree)
    before = json.dumps(tree)
    checked = spec.check(file)
    assert json.dumps(tree) == before
    assert (checked.draft is None) == any(not fault.warning for fault in checked.faults)
    assert (checked.draft is None) == (checked.summary is None)
    for fault in checked.faults:
        assert "\n" not in fault.message
        assert fault.line is not None or not fault.path
    if checked.draft is not None:
        once = spec.expand(file)
        assert spec.expand(source(once)) == once, texts(checked)


def _change(tree: Any, path: Place, value: Any, key: str) -> None:
    """Put a value at a place, if the place is still there; or a key beside it."""
    for part in path[:-1]:
        if not isinstance(tree, dict | list):
            return
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(tree, dict):
        tree[path[-1] if len(key) % 2 else key] = value
    elif isinstance(tree, list) and isinstance(path[-1], int) and path[-1] < len(tree):
        tree[path[-1]] = value


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, ["x"], {"x": 1}, True], ids=repr)
def test_any_value_at_any_place_is_a_fault_or_accepted(value: Any) -> None:
    for path in PLACES:
        tree = deepcopy(EVERYTHING)
        holder: Any = tree
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = value
        checked = spec.check(source(tree))
        assert (checked.draft is None) == any(not fault.warning for fault in checked.faults)
