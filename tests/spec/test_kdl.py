from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from specs import write

from slurmtorc import spec
from slurmtorc.errors import Fault, SpecError
from slurmtorc.spec import shape
from slurmtorc.spec.kdl import locate
from slurmtorc.spec.kdlwords import TOP
from slurmtorc.spec.top import SECTIONS

if TYPE_CHECKING:
    from pathlib import Path

ALL = r'''
// a comment
name "x" /* with /* another */ inside */
project "p"; description """
    two
    lines
    """
metadata { owner "me"; list 1 2; (array)one 1; (object)none; deep { - 1; - { a #true } } }
parameters { i "1:3"; (array)x 5 }
execution_config { mode "direct"; stdio { mode "combined" } }
job "a" /-"ignored" {
  command #"echo "hi" {i} \n"#
  depends_on "b" \
    "c"
  depends_on_job "d"
  depends_on_regexes "^e"
  input_file "f1"; input_files "f2" "f3"
  output_file "o1"
  input_user_data "u"
  output_user_data_regexes "x" "y"
  /- scheduler "never" { a "b" }
  env { A "1"; B "" }
  use_parameters "i" "x"
  cancel_on_blocking_job_failure #false
}
/- job "hidden" { command "x"; }
file "f1" path="P"
file "f2" { path "Q"; identifier "id" }
user_data "u" { is_ephemeral #true; data #"{"a": [1, null]}"#; }
resource_requirements "r" num_cpus=2 { memory "1g" }
slurm_scheduler "s" { account "acc"; nodes 2 }
failure_handler "h" { rule { exit_codes 1 2 3; }; rule { match_all_exit_codes #true } }
action { trigger_type "on_jobs_ready"; action_type "run_commands"; job "a"; jobs "b" "c"
  command "c1"; command "c2"; }
'''
TREE = {
    "name": "x",
    "project": "p",
    "description": "two\nlines",
    "metadata": {"owner": "me", "list": [1, 2], "one": [1], "none": {}, "deep": [1, {"a": True}]},
    "parameters": {"i": "1:3", "x": [5]},
    "execution_config": {"mode": "direct", "stdio": {"mode": "combined"}},
    "jobs": [
        {
            "name": "a",
            "command": 'echo "hi" {i} \\n',
            "depends_on": ["b", "c", "d"],
            "depends_on_regexes": ["^e"],
            "input_files": ["f1", "f2", "f3"],
            "output_files": ["o1"],
            "input_user_data": ["u"],
            "output_user_data_regexes": ["x", "y"],
            "env": {"A": "1", "B": ""},
            "use_parameters": ["i", "x"],
            "cancel_on_blocking_job_failure": False,
        }
    ],
    "files": [{"name": "f1", "path": "P"}, {"name": "f2", "path": "Q", "identifier": "id"}],
    "user_data": [{"name": "u", "is_ephemeral": True, "data": {"a": [1, None]}}],
    "resource_requirements": [{"name": "r", "num_cpus": 2, "memory": "1g"}],
    "slurm_schedulers": [{"name": "s", "account": "acc", "nodes": 2}],
    "failure_handlers": [
        {"name": "h", "rules": [{"exit_codes": [1, 2, 3]}, {"match_all_exit_codes": True}]}
    ],
    "actions": [
        {
            "trigger_type": "on_jobs_ready",
            "action_type": "run_commands",
            "jobs": ["a", "b", "c"],
            "commands": ["c1", "c2"],
        }
    ],
}


def test_nodes_become_the_tree_that_other_formats_have(tmp_path: Path) -> None:
    assert spec.read(write(tmp_path / "w.kdl", ALL)).tree == TREE


def test_places_are_those_of_nodes() -> None:
    wanted = {
        ("name",): (3, 1),
        ("project",): (4, 1),
        ("metadata", "deep", 1, "a"): (8, 78),
        ("jobs", 0): (11, 1),
        ("jobs", 0, "depends_on", 1): (13, 3),
        ("jobs", 0, "depends_on", 2): (15, 3),
        ("jobs", 0, "input_files", 2): (17, 20),
        ("jobs", 0, "env", "B"): (22, 16),
        ("files", 0, "path"): (27, 1),
        ("user_data", 0, "data"): (29, 37),
        ("failure_handlers", 0, "rules", 1): (32, 51),
        ("actions", 0, "commands", 1): (34, 17),
    }
    assert locate(ALL, wanted.keys()) == wanted


BAD = [
    ('name "x"\njob "a" {\n  command "x\n}\n', 3, 3, "not KDL: parse error"),
    ('name "x"\njob "a" {\n  command x=\n}\n', 3, 3, "not KDL: unexpected end of node"),
    ("name {", 1, 1, "not KDL: unexpected end of data"),
    ('name "x"\nname "y"', 2, 1, "the key 'name' is given twice, first on line 1"),
    ('file "f" path="p" {\n  path "q"\n}', 2, 3, "the key 'path' is given twice"),
    ('job "a" "b"', 1, 1, "`job` takes one name"),
    ('action "a" {}', 1, 1, "`action` takes no argument"),
    ("name", 1, 1, "`name` has no value"),
    ('job "a" { depends_on { x 1; }; }', 1, 11, "`depends_on` takes only arguments"),
    ("metadata 1 { a 2 }", 1, 1, "`metadata` holds both a list and a map"),
    ("metadata { - 1; a 2 }", 1, 1, "`metadata` holds both a list and a map"),
    ('user_data "u" { data "x" }', 1, 17, '"x" is not JSON'),
    ('name "\\u{D800}"', 1, 1, "not KDL: a character is not Unicode"),
    ("metadata {\n a #inf\n}", 2, 2, "inf is not a finite number"),
    ("metadata {" + "a {" * 200 + "}" * 201, 1, 308, "nested deeper than 100 levels"),
    ("// nothing\n", None, None, "the file is empty"),
    ("- a\n" * 300_000, None, None, "the top level is not a map"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), BAD)
def test_what_is_not_a_workflow_is_refused_at_its_place(
    tmp_path: Path, text: str, line: int | None, column: int | None, message: str
) -> None:
    found = fault(tmp_path, text)
    assert found.message.startswith(message)
    assert (found.line, found.column) == (line, column)


def fault(tmp_path: Path, text: str) -> Fault:
    with pytest.raises(SpecError) as caught:
        spec.read(write(tmp_path / "w.kdl", text))
    (found,) = caught.value.faults
    return found


def test_an_unknown_node_is_a_fault_with_the_node_that_was_meant(tmp_path: Path) -> None:
    text = 'name "x"\njbo "a" {\n  command "b"\n}\njob "c" {\n  comand "d"\n}\n'
    checked = spec.check(spec.read(write(tmp_path / "w.kdl", text)))
    assert [(fault.line, fault.message, fault.hint) for fault in checked.faults] == [
        (2, "unknown key 'jbo'", "did you mean 'job'?"),
        (6, "unknown key 'comand'", "did you mean 'command'?"),
    ]


def test_without_the_parser_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ckdl", None)
    found = fault(tmp_path, 'name "x"')
    assert found.message == "KDL files need the package ckdl"
    assert found.hint == "install it: pip install 'slurmtorc[kdl]'"


LIST_FIELDS = {
    section: {
        name
        for name, field in kind.model_fields.items()
        if "list" in str(field.annotation) and name != "rules"
    }
    for section, kind in SECTIONS.items()
}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_list_of_the_format_has_a_spelling_in_kdl(section: str) -> None:
    spelled = dict(TOP.items.values())
    assert set(spelled[section].lists.values()) == LIST_FIELDS[section]


def test_every_section_has_a_spelling_in_kdl() -> None:
    assert {key for key, _ in TOP.items.values()} == set(SECTIONS)
    assert set(TOP.lists.values()) == {"access_groups"}
    assert shape.RuleShape.model_fields.keys() >= {"exit_codes", "endings"}
