from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from everything import EVERYTHING
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from specs import source

from slurmtorc import spec
from slurmtorc.errors import InvalidValue
from slurmtorc.spec.write import FORMATS

if TYPE_CHECKING:
    from pathlib import Path


def again(folder: Path, tree: dict[str, Any], form: str) -> dict[str, Any]:
    """What reading gives after writing."""
    file = folder / f"w.{form}"
    file.write_text(spec.write(tree, form), encoding="utf-8", newline="")
    return spec.read(str(file)).tree


@pytest.mark.parametrize("form", FORMATS)
def test_a_rich_workflow_survives_every_format(tmp_path: Path, form: str) -> None:
    expanded = spec.expand(source(EVERYTHING))
    assert again(tmp_path, expanded, form) == expanded


AWKWARD = [
    "", " ", "yes", "No", "null", "Null", "~", "true", "FALSE", "1", "017", "0o17", "0x1f", "1e5",
    ".5", "1:20", "10:00:00", "2024-01-01", "-", "- a", "a: b", "a #b", "# a", "|", "a\n", "a\n\n",
    "\na", " a\nb", "a \nb", "a\n b\n", "'", '"', "<<", "=", "...", "---", "@x", "%x", ".inf",
    "a\\nb", "#true", "\ufeffa", "x" * 2000, "\U0001f600", "a\tb", "inf", "nan", "(a)b", "/-a",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12),
    st.text("ab01 \n\t:#-'\"\\{}[],&*!|>%@`~=?.xXeE+_é\u2028\x85\ufeff\x7f\r", max_size=12),
    st.sampled_from(AWKWARD),
)
SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
NULLABLE = st.recursive(
    st.none() | SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
NAMES = st.lists(TEXTS, max_size=3)


def trees(values: Any) -> Any:
    """Trees in the shape of a workflow, with anything where anything may stand."""
    job = st.fixed_dictionaries(
        {"name": TEXTS, "command": TEXTS},
        optional={
            "env": st.dictionaries(TEXTS, TEXTS, max_size=2),
            "depends_on": NAMES,
            "input_files": NAMES,
            "output_user_data_regexes": NAMES,
            "priority": st.integers(0, 99),
            "parameters": st.dictionaries(TEXTS, st.lists(SCALARS, max_size=2) | SCALARS),
        },
    )
    return st.fixed_dictionaries(
        {"name": TEXTS, "jobs": st.lists(job, max_size=2)},
        optional={
            "description": TEXTS,
            "metadata": st.dictionaries(TEXTS, values, max_size=3),
            "slurm_defaults": st.dictionaries(TEXTS, SCALARS, max_size=2),
            "user_data": st.lists(
                st.fixed_dictionaries({"name": TEXTS, "data": values}), max_size=2
            ),
        },
    ).map(lambda tree: {k: v for k, v in tree.items() if v != [] or k == "jobs"})


IN_ONE_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


@pytest.mark.parametrize("form", ["yaml", "json", "json5"])
@given(tree=trees(NULLABLE))
@IN_ONE_FOLDER
def test_what_is_written_is_what_is_read(tmp_path: Path, form: str, tree: dict[str, Any]) -> None:
    assert again(tmp_path, tree, form) == tree


@given(tree=trees(VALUES))
@IN_ONE_FOLDER
def test_what_is_written_is_what_is_read_in_toml(tmp_path: Path, tree: dict[str, Any]) -> None:
    assert again(tmp_path, tree, "toml") == tree


@given(tree=trees(NULLABLE))
@IN_ONE_FOLDER
def test_what_is_written_is_what_is_read_in_kdl(tmp_path: Path, tree: dict[str, Any]) -> None:
    if not tree["jobs"]:  # KDL has entries of a list, and no empty list of them
        del tree["jobs"]
    assert again(tmp_path, tree, "kdl") == tree


@pytest.mark.parametrize("form", FORMATS)
def test_awkward_texts_stay_text_as_keys_and_as_values(tmp_path: Path, form: str) -> None:
    tree = {"metadata": {text: [text, {"x": text}] for text in AWKWARD}}
    assert again(tmp_path, tree, form) == tree


def test_toml_has_no_null_and_says_where_one_is() -> None:
    with pytest.raises(
        InvalidValue, match=r"TOML has no null, and user_data\[0\]\.data\.a is null"
    ):
        spec.write({"user_data": [{"name": "u", "data": {"a": None}}]}, "toml")


def test_yaml_is_written_for_people() -> None:
    tree = {
        "name": "x",
        "walltime": "10:00:00",
        "answer": "yes",
        "size": 5,
        "none": None,
        "command": "a\n  b # c\n\nd",
        "ends": "a\nb\n",
        "list": ["x y", {"a": 1, "b": [2]}, [3, [4]], []],
        "map": {},
    }
    assert (
        spec.write(tree, "yaml")
        == """\
name: x
walltime: "10:00:00"
answer: "yes"
size: 5
none: null
command: |-
  a
    b # c

  d
ends: |
  a
  b
list:
  - x y
  - a: 1
    b:
      - 2
  - - 3
    - - 4
  - []
map: {}
"""
    )


def test_kdl_is_written_for_people() -> None:
    tree = {
        "name": "x",
        "metadata": {"a": [1], "b": {}, "c": [1, [2]], "d e": None},
        "jobs": [
            {
                "name": "j",
                "command": 'echo "hi"',
                "depends_on": ["a", "b"],
                "env": {},
                "cancel_on_blocking_job_failure": False,
            }
        ],
        "user_data": [{"name": "u", "data": [1, "x"]}],
    }
    assert (
        spec.write(tree, "kdl")
        == """\
name "x"
metadata {
    (array)a 1
    (object)b {
    }
    (array)c {
        - 1
        (array)- 2
    }
    "d e" #null
}
job "j" {
    command #"echo "hi""#
    depends_on "a" "b"
    env {
    }
    cancel_on_blocking_job_failure #false
}
user_data "u" {
    data #"[1, "x"]"#
}
"""
    )


def test_deep_trees_are_written_without_recursion_trouble() -> None:
    value: Any = 1
    for _ in range(90):
        value = {"a": value}
    for form in FORMATS:
        assert spec.write({"metadata": value}, form)
    assert sys.getrecursionlimit() >= 1000
