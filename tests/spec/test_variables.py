from __future__ import annotations

from typing import Any

import pytest
from specs import check, draft, job, only_error, texts


def test_variables_are_put_into_every_text_but_keys_and_names_of_parameters() -> None:
    tree = {
        "variables": {"v": "x", "n": "3", "unused": "u"},
        "description": "about {v}",
        "env": {"A": "{v}"},
        "parameters": {"i": "1:{n}"},
        "metadata": {"{v}": ["{v}", 1]},
        "files": [{"name": "{v}", "path": "{v}/{v:>3}"}],
        "user_data": [{"name": "d", "data": {"{v}": "{v}"}}],
        "jobs": [
            job("{v}_{i}", "run {v} ${v} ${{v}} {i} { v } {}", use_parameters=["i"]),
            job("last", depends_on=["{v}_1"]),
        ],
    }
    found = draft(tree)
    assert [j.name for j in found.jobs] == ["x_1", "x_2", "x_3", "last"]
    assert found.jobs[0].command == "run x ${v} ${x} 1 { v } {}"
    assert found.workflow.description == "about x"
    assert found.workflow.env == {"A": "x"}
    assert found.workflow.metadata == {"{v}": ["x", 1]}
    assert (found.files[0].name, found.files[0].path) == ("x", "x/  x")
    assert found.user_data[0].data == {"{v}": "x"}
    assert found.spec is not None
    assert "{v}_{i}" in found.spec


FAULTS: list[tuple[dict[str, Any], tuple[str | int, ...], str, str]] = [
    (
        {"variables": {"a-b": "x"}},
        ("variables", "a-b"),
        "'a-b' is no name for a variable",
        "use letters, digits and _",
    ),
    (
        {"variables": {"i": "x"}, "jobs": [job("{i}", parameters={"i": "1"})]},
        ("variables", "i"),
        "'i' is also the name of a parameter",
        "rename one of them",
    ),
    (
        {"variables": {"v": "{w}", "w": "x"}},
        ("variables", "v"),
        "the value names {w}; variables do not nest",
        "shell variables as ${NAME} are allowed",
    ),
    ({"variables": {"v": 5}}, ("variables", "v"), "5 is a number, not text", 'quotes: "5"'),
    ({"variables": ["v"]}, ("variables",), '["v"] is a list, not a map', ""),
    (
        {"variables": {"stage": "x"}, "jobs": [job("a", "run {stge}")]},
        ("jobs", 0, "command"),
        "{stge} is neither a variable nor a parameter",
        "did you mean 'stage'?",
    ),
    (
        {
            "variables": {"v": "i"},
            "parameters": {"i": "1"},
            "jobs": [job("a", use_parameters=["{v}"])],
        },
        ("jobs", 0, "use_parameters", 0),
        "the workflow has no parameter '{v}'",
        "known: i",
    ),
    (
        {"variables": {"v": "5"}, "jobs": [job("a", "run {v:03d}")]},
        ("jobs", 0, "command"),
        "the format '03d' does not suit the text of {v}",
        "write {v}; a variable is always text",
    ),
]


@pytest.mark.parametrize(("tree", "path", "message", "hint"), FAULTS)
def test_a_fault_of_variables_stands_at_its_place(
    tree: dict[str, Any], path: tuple[str | int, ...], message: str, hint: str
) -> None:
    fault = only_error(tree)
    assert fault.path == path
    assert fault.message == message
    assert hint in fault.hint


def test_shell_variables_are_allowed_in_values() -> None:
    assert (
        draft({"variables": {"v": "${HOME}/x"}, "jobs": [job("a", "ls {v}")]}).jobs[0].command
        == "ls ${HOME}/x"
    )


def test_without_variables_braces_in_commands_are_nobodys_business() -> None:
    command = "awk '{print $1}' | python -c 'print(f\"{x}\")' {a,b} {} ${z}"
    assert texts(check({"jobs": [job("a", command)]})) == []
    assert texts(check({"variables": {}, "jobs": [job("a", command)]})) == []
