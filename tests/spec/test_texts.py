from __future__ import annotations

from typing import Any

import pytest
from specs import check, draft, job, texts

CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"jobs": [job("a_{j}", parameters={"i": "1"})]},
        ["jobs[0].name: {j} is not a parameter here; known: i"],
    ),
    (
        {"jobs": [job("a_{j}")]},
        ["jobs[0].name: {j} is not a parameter here; give jobs[0] `parameters`"],
    ),
    (
        {"parameters": {"i": "1"}, "jobs": [job("a_{i}")]},
        ["jobs[0].name: {i} is not a parameter here; add use_parameters: [i]"],
    ),
    (
        {"files": [{"name": "f", "path": "x/{j}.csv"}]},
        ["files[0].path: {j} is not a parameter here; give files[0] `parameters`"],
    ),
    (
        {"jobs": [job("a"), job("b", depends_on=["a", "a_{j}"])]},
        ["jobs[1].depends_on[1]: {j} is not a parameter here; give jobs[1] `parameters`"],
    ),
    (
        {"jobs": [job("a", resource_requirements="r_{j}")]},
        ["jobs[0].resource_requirements: {j} is not a parameter here; give jobs[0] `parameters`"],
    ),
    (
        {"jobs": [job("a_{seed}", "run {sed}", parameters={"seed": "1"})]},
        [
            (
                "warning: jobs[0].command: {sed} is not a parameter here, so it stays as it is; "
                "did you mean 'seed'?"
            )
        ],
    ),
    (
        {"parameters": {"i": "1"}, "jobs": [job("a", "run {i}", env={"A": "{i}"})]},
        [
            (
                "warning: jobs[0].env.A: {i} is not a parameter here, so it stays as it is; "
                "add use_parameters: [i]"
            ),
            (
                "warning: jobs[0].command: {i} is not a parameter here, so it stays as it is; "
                "add use_parameters: [i]"
            ),
        ],
    ),
    (
        {"jobs": [job("a_{i}", "run ${i}", parameters={"i": "1"})]},
        [
            (
                "warning: jobs[0].command: ${i} is the shell's variable, not the parameter 'i'; "
                "write {i} for the parameter"
            )
        ],
    ),
    ({"jobs": [job("a_{i}", "run ${HOME} {x} {print}", parameters={"i": "1"})]}, []),
    (
        {"jobs": [job("a_{i:.2f}", parameters={"i": "[1, 0.5, x]"})]},
        [
            (
                "jobs[0].name: the format '.2f' does not suit {i}, which is 'x'; "
                "numbers take d, 03d or .4f, fractions .4f, text and booleans none"
            )
        ],
    ),
    (
        {"jobs": [job("a_{i:zz}", parameters={"i": "1:3"})]},
        [
            (
                "jobs[0].name: the format 'zz' does not suit {i}, which is 1; "
                "numbers take d, 03d or .4f, fractions .4f, text and booleans none"
            )
        ],
    ),
    (
        {
            "jobs": [
                job("a{i}", depends_on_regexes=["b{2}\\w{j}"], parameters={"i": "1"}),
                job("bb1{j}1"),
            ]
        },
        ["jobs[1].name: {j} is not a parameter here; give jobs[1] `parameters`"],
    ),
    (
        {"parameters": {"i": "1:2"}, "env": {"A": "{i:03d}"}},
        [
            (
                "env.A: the format '03d' does not suit {i}, which is '1:2'; "
                "numbers take d, 03d or .4f, fractions .4f, text and booleans none"
            )
        ],
    ),
]


@pytest.mark.parametrize(("tree", "expected"), CASES)
def test_a_placeholder_that_makes_no_sense_is_told(
    tree: dict[str, Any], expected: list[str]
) -> None:
    assert sorted(texts(check(tree))) == sorted(expected)


def test_values_with_braces_are_not_substituted_again() -> None:
    tree = {"jobs": [job("a{n}", "run {x} {y}", parameters={"n": "1", "x": ["{y}"], "y": ["{x}"]})]}
    assert draft(tree).jobs[0].command == "run {y} {x}"


@pytest.mark.parametrize("value", ["a\nb", "{x}", ""])
def test_values_that_make_an_impossible_name_are_told(value: str) -> None:
    (fault,) = check({"jobs": [job("{i}", parameters={"i": ["ok", value]})]}).faults
    assert fault.path == ("jobs", 0, "name")
    assert fault.message == f"the parameters make the name {value!r}"


@pytest.mark.parametrize("value", ["a\nb", "", "{x}"])
def test_values_that_make_an_impossible_path_are_told(value: str) -> None:
    files = [
        {
            "name": "f{n}",
            "path": "{i}",
            "parameters": {"n": "1:2", "i": [value, "b"]},
            "parameter_mode": "zip",
        }
    ]
    (fault,) = check({"files": files}).faults
    assert fault.path == ("files", 0, "path")
    assert fault.message == f"the parameters make the path {value!r}"
