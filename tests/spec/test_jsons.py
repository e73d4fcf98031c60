from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import write

from slurmtorc import spec
from slurmtorc.errors import Fault, SpecError
from slurmtorc.spec.jsons import locate, parse_json, parse_json5

if TYPE_CHECKING:
    from pathlib import Path


def fault(tmp_path: Path, name: str, text: str) -> Fault:
    with pytest.raises(SpecError) as caught:
        spec.read(write(tmp_path / name, text))
    (found,) = caught.value.faults
    return found


BAD = [
    ("w.json", '{"a": 1,\n "b": 2,\n "a": 3}', 3, 2, "the key 'a' is given twice, first on line 1"),
    ("w.json", '{"a": [{"b": 1, "b": 2}]}', 1, 17, "the key 'b' is given twice, first on line 1"),
    ("w.json", '{"a": NaN}', None, None, "not JSON: NaN is not a number of JSON"),
    ("w.json", '{"a": -Infinity}', None, None, "not JSON: -Infinity is not a number of JSON"),
    ("w.json", '{"a":\n 1e999}', 1, 2, "inf is not a finite number"),
    ("w.json", '{"a": "\\ud800"}', 1, 2, "the character U+D800 is not allowed"),
    ("w.json", '{"a": {"x\\u0000": 1}}', 1, 2, "the character U+0000 is not allowed"),
    ("w.json", '{"a": 1,}', 1, 9, "not JSON: expecting property name"),
    ("w.json", "[1]", 1, 1, "the top level is not a map"),
    ("w.json", '"text"', 1, 1, "the top level is not a map"),
    ("w.json", '{"a":' * 5000, None, None, "nested deeper than 100 levels"),
    ("w.json", '{"a":' * 150 + "1" + "}" * 150, None, None, "nested deeper than 100 levels"),
    ("w.json", '{"a": ' + "9" * 5000 + "}", None, None, "not JSON: Exceeds the limit"),
    ("w.json5", "{a: 1, // one\n 'a': 2}", 2, 2, "the key 'a' is given twice, first on line 1"),
    ("w.json5", '{a: {b: 1, "\\u0062": 2}}', 1, 12, "the key 'b' is given twice, first on line 1"),
    ("w.json5", "{a: [1, Infinity]}", 1, 9, "inf is not a finite number"),
    ("w.json5", "{a: 1\n b: 2}", 2, 2, "not JSON5: Expected"),
    ("w.json5", "{a: 1", 1, 1, "not JSON5: Unclosed 'object'"),
    ("w.json5", "[1]", None, None, "the top level is not a map"),
    ("w.json5", "{a:" * 5000, None, None, "nested deeper than 100 levels"),
]


@pytest.mark.parametrize(("name", "text", "line", "column", "message"), BAD)
def test_what_is_not_a_workflow_is_refused_at_its_place(
    tmp_path: Path, name: str, text: str, line: int | None, column: int | None, message: str
) -> None:
    found = fault(tmp_path, name, text)
    assert found.message.startswith(message)
    assert (found.line, found.column) == (line, column)


def test_json5_has_comments_bare_keys_and_trailing_commas(tmp_path: Path) -> None:
    text = "/* top */ {a: 'it\\'s', // here\n b: [1, .5, 0x10,], 'c d': null,}"
    assert spec.read(write(tmp_path / "w.json5", text)).tree == {
        "a": "it's",
        "b": [1, 0.5, 16],
        "c d": None,
    }


def test_faults_have_the_places_of_keys_and_entries_in_json_and_json5(tmp_path: Path) -> None:
    text = """\
        {
          "name": "x", // "jobs": [
          "jobs": [
            {"name": "a", "command": "{[,:]}", "depends_on": ["b", 5]},
            {"name": "c", "zzzzzz": /* , */ "d"}
          ]
        }
        """
    checked = spec.check(spec.read(write(tmp_path / "w.json5", text)))
    assert {fault.path: (fault.line, fault.column) for fault in checked.faults} == {
        ("jobs", 0, "depends_on", 1): (4, 60),
        ("jobs", 1, "zzzzzz"): (5, 19),
        ("jobs", 1, "command"): (5, 5),
    }


TREES = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=12,
    ),
)


def paths(tree: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every key and entry of a tree."""
    found: set[tuple[str | int, ...]] = {path} if path else set()
    entries: object = ()
    if isinstance(tree, dict):
        entries = tree.items()
    elif isinstance(tree, list):
        entries = enumerate(tree)
    return found.union(*(paths(value, (*path, key)) for key, value in entries))  # type: ignore[attr-defined]


@given(TREES, st.sampled_from([None, 1]))
def test_every_key_and_entry_has_a_place_where_it_stands(
    tree: dict[str, object], indent: int
) -> None:
    text = json.dumps(tree, indent=indent, ensure_ascii=False)
    assert parse_json(text, "w") == parse_json5(text, "w") == tree
    places = locate(text, paths(tree))
    assert places.keys() == paths(tree)
    lines = text.split("\n")
    for path, (line, column) in places.items():
        if isinstance(path[-1], str):
            key = json.dumps(path[-1], ensure_ascii=False)
            assert lines[line - 1][column - 1 :].startswith(key)


@pytest.mark.parametrize("suffix", [".json", ".json5"])
def test_every_key_that_is_given_twice_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_text('{"a": {"b": 1, "b": 2},\n "c": 3,\n "c": 4, "a": 5, "c": 6}')
    with pytest.raises(SpecError) as raised:
        spec.read(str(path))
    found = [(one.line, one.column, one.message) for one in raised.value.faults]
    assert found == [
        (1, 16, "the key 'b' is given twice, first on line 1"),
        (3, 2, "the key 'c' is given twice, first on line 2"),
        (3, 10, "the key 'a' is given twice, first on line 1"),
        (3, 18, "the key 'c' is given twice, first on line 2"),
    ]
