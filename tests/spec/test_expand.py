from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from everything import EVERYTHING
from hypothesis import given
from hypothesis import strategies as st
from specs import draft, job, source, texts, waits

from slurmtorc import spec
from slurmtorc.errors import SpecError

if TYPE_CHECKING:
    from slurmtorc.model import Draft, DraftJob


def expanded(tree: dict[str, Any]) -> dict[str, Any]:
    return spec.expand(source({"name": "w", "jobs": [], **tree}))


def meaning(found: Draft) -> tuple[list[DraftJob], dict[str, set[str]]]:
    """The jobs, and what they wait for, whether by barriers or by name."""
    return [replace(j, depends_on=(), after=()) for j in found.jobs], waits(found)


def test_copies_are_written_out_with_names_for_patterns_and_paths_for_templates() -> None:
    tree = expanded(
        {
            "variables": {"v": "x"},
            "parameters": {"i": "1:2"},
            "env": {"A": "{v}"},
            "files": [{"name": "f{i}", "path": "p{i}", "use_parameters": ["i"]}],
            "user_data": [{"name": "u", "data": {"{i}": None}}],
            "jobs": [
                job("a{i}", "run ${files.output.f{i}}", use_parameters=["i"], depends_on=None),
                job("b", "x ${user_data.input.u}", depends_on_regexes=["^a"], label="l"),
                job("c", depends_on=["b"], depends_on_regexes=["^a", "^b"]),
            ],
        }
    )
    assert tree == {
        "name": "w",
        "env": {"A": "x"},
        "files": [{"name": "f1", "path": "p1"}, {"name": "f2", "path": "p2"}],
        "user_data": [{"name": "u", "data": {"{i}": None}}],
        "jobs": [
            {"name": "a1", "command": "run p1", "output_files": ["f1"]},
            {"name": "a2", "command": "run p2", "output_files": ["f2"]},
            {
                "name": "b",
                "command": 'x {"{i}":null}',
                "label": "l",
                "depends_on": ["a1", "a2"],
                "input_user_data": ["u"],
            },
            {"name": "c", "command": "true", "depends_on": ["a1", "a2", "b"]},
        ],
    }


def test_actions_are_written_in_the_words_of_today() -> None:
    tree = expanded(EVERYTHING)
    assert tree["actions"][0] == {
        "trigger_type": "on_jobs_ready",
        "action_type": "schedule_nodes",
        "scheduler": "cpu",
        "jobs": ["collect_1", "collect_2", "report"],
        "num_allocations": 2,
    }


def test_expanding_again_changes_nothing() -> None:
    once = expanded(EVERYTHING)
    assert spec.expand(source(once)) == once


def test_an_expanded_file_means_what_the_file_means() -> None:
    before, after = draft(EVERYTHING), draft(expanded(EVERYTHING))
    assert meaning(after) == meaning(before)
    assert after.workflow == before.workflow
    for name in ("files", "user_data", "requirements", "schedulers", "failure_handlers", "actions"):
        assert getattr(after, name) == getattr(before, name), name


def test_nothing_of_parameters_variables_and_patterns_is_left() -> None:
    text = str(expanded(EVERYTHING))
    for word in ("parameter", "variables", "regexes", "patterns", "scheduler_name"):
        assert word not in text


def test_a_file_with_errors_is_not_expanded() -> None:
    with pytest.raises(SpecError) as caught:
        expanded({"jobs": [job("a", depends_on=["b"])]})
    assert caught.value.faults[0].line is not None


NAMES = ["a_{i}", "b", "{i}{j}", "c{j}"]
JOBS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(NAMES),
            "command": st.sampled_from(
                ["x", "x {i} {q}", "${files.input.f}", "${user_data.output.u} {j:02d}"]
            ),
        },
        optional={
            "parameters": st.sampled_from(
                [{}, {"i": "1:3"}, {"i": "[x, y]", "j": "1:2"}, {"j": [1, 2], "i": [3, 4]}]
            ),
            "parameter_mode": st.sampled_from(["zip", "product"]),
            "use_parameters": st.sampled_from([["i"], ["i", "j"], []]),
            "depends_on": st.lists(st.sampled_from(["b", "a_1", "c{j}"]), max_size=2),
            "depends_on_regexes": st.lists(st.sampled_from(["^a", "b", "c"]), max_size=2),
            "input_file_regexes": st.just(["f"]),
            "env": st.sampled_from([None, {"A": "{i}"}]),
        },
    ),
    max_size=4,
)


@given(JOBS)
def test_whatever_is_accepted_expands_to_something_accepted_that_means_the_same(
    jobs: list[dict[str, Any]],
) -> None:
    tree = {
        "name": "w",
        "parameters": {"i": "1:2", "j": "5:6"},
        "files": [{"name": "f", "path": "p"}],
        "user_data": [{"name": "u"}],
        "jobs": jobs,
    }
    checked = spec.check(source(tree))
    if checked.draft is None:
        assert texts(checked)
        return
    once = spec.expand(source(tree))
    again = spec.check(source(once))
    assert again.draft is not None, texts(again)
    assert meaning(again.draft) == meaning(checked.draft)
    assert spec.expand(source(once)) == once
