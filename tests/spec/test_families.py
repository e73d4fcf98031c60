from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from specs import check, job, only_error, texts

from slurmtorc.spec.families import Family

FAN_IN = (
    "; for a fan-in, leave the parameters out of this one job and let it wait with "
    "depends_on_regexes or input_file_regexes"
)
R: dict[str, Any] = {"num_cpus": 1, "memory": "1g"}

DOUBLES: list[tuple[dict[str, Any], str]] = [
    (
        {"jobs": [job("report_{a}", parameters={"a": "1:2", "b": "1:3", "c": "[x]"})]},
        (
            "jobs[0].name: 4 copies of this job have the name of another, as 'report_1': it lacks "
            f"{{b}}, {{c}}; put {{b}}, {{c}} into the name{FAN_IN}"
        ),
    ),
    (
        {"jobs": [job("report", parameters={"a": "1:2", "b": "1:3"})]},
        (
            "jobs[0].name: 6 copies of this job share the name 'report': it lacks {a}, {b}; "
            f"put {{a}}, {{b}} into the name{FAN_IN}"
        ),
    ),
    (
        {"jobs": [job("a"), job("b"), job("a")]},
        "jobs[2].name: the name 'a' is already the name of jobs[0]; give every job its own name",
    ),
    (
        {"jobs": [job("a_{i}", parameters={"i": "1:3"}), job("a_2")]},
        "jobs[1].name: the name 'a_2' is already the name of jobs[0]; give every job its own name",
    ),
    (
        {"jobs": [job("a_{x:.0f}", parameters={"x": "0:1:0.25"})]},
        (
            "jobs[0].name: 3 copies of this job have the name of another, as 'a_0'; "
            "the values, as they are written into the name, are not all different"
        ),
    ),
    (
        {"files": [{"name": "f", "path": "{i}", "parameters": {"i": "1:3"}}]},
        (
            "files[0].name: 3 copies of this file share the name 'f': it lacks {i}; "
            "put {i} into the name"
        ),
    ),
    (
        {"user_data": [{"name": "u"}, {"name": "u"}]},
        (
            "user_data[1].name: the name 'u' is already the name of user_data[0]; "
            "give every user data its own name"
        ),
    ),
    (
        {"resource_requirements": [{"name": "r", **R}, {"name": "r", **R}]},
        (
            "resource_requirements[1].name: the name 'r' is already the name of "
            "resource_requirements[0]; give every resource requirement its own name"
        ),
    ),
    (
        {"slurm_schedulers": [{"name": "s", "account": "a"}, {"name": "s", "account": "a"}]},
        (
            "slurm_schedulers[1].name: the name 's' is already the name of slurm_schedulers[0]; "
            "give every scheduler its own name"
        ),
    ),
    (
        {"failure_handlers": [{"name": "h", "rules": []}, {"name": "h", "rules": []}]},
        (
            "failure_handlers[1].name: the name 'h' is already the name of failure_handlers[0]; "
            "give every failure handler its own name"
        ),
    ),
]


@pytest.mark.parametrize(("tree", "expected"), DOUBLES)
def test_double_names_are_one_fault_for_each_item(tree: dict[str, Any], expected: str) -> None:
    assert texts(check(tree)) == [expected]


def test_a_hundred_thousand_double_names_are_one_fault() -> None:
    fault = only_error({"jobs": [job("x", parameters={"i": "1:100000"})]})
    assert fault.message == "100,000 copies of this job share the name 'x': it lacks {i}"


UNKNOWN: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"jobs": [job("train_1"), job("b", depends_on=["train1"])]},
        ["jobs[1].depends_on[0]: there is no job 'train1'; did you mean 'train_1'?"],
    ),
    (
        {"jobs": [job("a", input_files=["f"], output_user_data=["u"])]},
        [
            "jobs[0].input_files[0]: there is no file 'f'",
            "jobs[0].output_user_data[0]: there is no user data 'u'",
        ],
    ),
    (
        {
            "resource_requirements": [{"name": "small", **R}],
            "slurm_schedulers": [{"name": "cpu", "account": "a"}],
            "jobs": [job("a", resource_requirements="smal", scheduler="gpu", failure_handler="h")],
        },
        [
            (
                "jobs[0].resource_requirements: there is no resource requirement 'smal'; "
                "did you mean 'small'?"
            ),
            "jobs[0].scheduler: there is no scheduler 'gpu'; did you mean 'cpu'?",
            "jobs[0].failure_handler: there is no failure handler 'h'",
        ],
    ),
    (
        {
            "failure_handlers": [{"name": "h1", "rules": [{"exit_codes": [1]}]}],
            "jobs": [job("a{i}", failure_handler="h{i}", parameters={"i": "1"})],
        },
        [
            "jobs[0].failure_handler: there is no failure handler 'h{i}'; known: h1",
        ],
    ),
    (
        {"jobs": [job("a", input_datasets=["d"])]},
        ["jobs[0].input_datasets[0]: there is no dataset 'd'"],
    ),
    (
        {"jobs": [job("a_{i}", depends_on=["b_{i}"], parameters={"i": "1:1000"}), job("b_7")]},
        [
            (
                "jobs[0].depends_on[0]: there is no job 'b_1' (and 998 more like it); "
                "did you mean 'b_7'?"
            )
        ],
    ),
    (
        {"jobs": [job("a", depends_on_regexes=["b", "["], input_file_regexes=["f"])]},
        [
            (
                'jobs[0].depends_on_regexes[0]: "b" matches no job; '
                "a pattern is searched for anywhere in the name"
            ),
            ('jobs[0].depends_on_regexes[1]: "[" is not a regular expression: missing ]: ['),
            (
                'jobs[0].input_file_regexes[0]: "f" matches no file; '
                "a pattern is searched for anywhere in the name"
            ),
        ],
    ),
    (
        {"jobs": [job("train_1"), job("train_all", depends_on_regexes=["^train_"])]},
        [
            (
                "jobs[1].depends_on_regexes[0]: the pattern matches the job itself, 'train_all'; "
                "make it narrower, as in ^prepare_; a job cannot wait for itself"
            )
        ],
    ),
]


@pytest.mark.parametrize(("tree", "expected"), UNKNOWN)
def test_what_is_not_there_is_told_with_what_was_meant(
    tree: dict[str, Any], expected: list[str]
) -> None:
    assert texts(check(tree)) == expected


EXCUSED: list[dict[str, Any]] = [
    {"jobs": [{"command": "x"}, job("b", depends_on=["a"])]},
    {"jobs": ["a", job("b", depends_on=["a"])]},
    {"jobs": [job("a", memory="1g"), job("b", depends_on=["a"], depends_on_regexes=["^a"])]},
    {"jobs": [job("a_{i}", parameters={"i": "2:1"}), job("b", depends_on=["a_1"])]},
    {"jobs": [job("a_{i}", use_parameters=["i"]), job("b", depends_on_regexes=["^a"])]},
    {"files": {"name": "f"}, "jobs": [job("b", input_files=["f"])]},
    {"files": [{"name": 5, "path": "x"}], "jobs": [job("b", "cat ${files.input.f}")]},
    {"resource_requirements": [{"name": "r", "num_cpus": -1, "memory": "1g"}],
     "jobs": [job("b", resource_requirements="r")]},
]  # fmt: skip


@pytest.mark.parametrize("tree", EXCUSED)
def test_a_reference_to_something_faulty_is_no_fault_of_its_own(tree: dict[str, Any]) -> None:
    only_error(tree)


def test_a_reference_that_cannot_mean_the_faulty_item_is_a_fault() -> None:
    jobs = [job("a_{i}", parameters={"i": "2:1"}), job("b", depends_on=["c"])]
    assert [fault.path for fault in check({"jobs": jobs}).faults] == [
        ("jobs", 0, "parameters", "i"),
        ("jobs", 1, "depends_on", 0),
    ]


def test_the_implicit_requirement_can_be_named() -> None:
    assert texts(check({"jobs": [job("a", resource_requirements="default")]})) == []


NAMES = st.lists(st.text("ab1_.+-", min_size=1, max_size=6), max_size=8, unique=True)
PATTERNS = st.lists(
    st.sampled_from(["a", "b", "1", "_", ".", "\\.", "+", "*", "?", "^", "$", "|", "[ab]", "{2}",
                     "(a|b)", "-", "(?i)A", "a1"]),
    min_size=1, max_size=5,
).map("".join)  # fmt: skip


@given(NAMES, PATTERNS)
def test_a_pattern_matches_what_a_search_through_all_names_finds(
    names: list[str], pattern: str
) -> None:
    try:
        search = re.compile(pattern).search
        found = Family("job", names).matching(pattern)
    except (re.error, ValueError):
        reject()  # the two notations differ in what they refuse, and that is all
    assert found == tuple(number for number, name in enumerate(names) if search(name))


def test_no_pattern_takes_for_ever() -> None:
    jobs = [job("a" * 40), job("b", depends_on_regexes=["^(a+)+$x"])]
    (fault,) = texts(check({"jobs": jobs}))
    assert "jobs[1].depends_on_regexes[0]" in fault


def test_a_name_has_a_length_that_every_database_can_index() -> None:
    long = job("n" * 250 + "_{i}", parameters={"i": "99995:100001"})
    (fault,) = texts(check({"jobs": [long]}))
    assert "jobs[0].name: a name of 256 characters" in fault
    assert "write at most 255" in fault
