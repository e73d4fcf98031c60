"""Failure handlers: what `spec check` says of rules that cannot do what their writer expects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import check, draft, job, texts

from slurmtorc.model import Ending

HANDLER = "failure_handlers[0]"


def rules(*written: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {"failure_handlers": [{"name": "h", "rules": list(written)}], **top}


def never(index: int, why: str) -> str:
    return f"{HANDLER}.rules[{index}]: this rule can never match: {why}"


def no_code(index: int, place: int, code: int) -> str:
    return (
        f"{HANDLER}.rules[{index}].exit_codes[{place}]: no attempt ends with return code {code}; "
        "write 1 to 255 (128 and its number for a signal), or -128 for a worker that died"
    )


ALL = {"match_all_exit_codes": True}
NAMES_NOTHING = "it names no failure; write exit_codes, endings or match_all_exit_codes: true"
SUCCESS = "exit code 0 is success; write the codes of failures"
TAKEN = "the rules before it match all its"
NEVER_RETRIED = (
    "1 means the job is never retried; it is the number of attempts in all; 2 allows one retry"
)

CASES: list[tuple[dict[str, Any], list[str]]] = [
    (rules({"exit_codes": [1]}, {"endings": ["node_fail"]}, ALL), []),
    (rules({}), [never(0, NAMES_NOTHING)]),
    (
        rules({"exit_codes": [0]}, {"exit_codes": [10, 0]}),
        [
            f"{HANDLER}.rules[0].exit_codes[0]: {SUCCESS}",
            f"{HANDLER}.rules[1].exit_codes[1]: {SUCCESS}",
        ],
    ),
    (rules({"exit_codes": [256, 255, -128, -1]}), [no_code(0, 0, 256), no_code(0, 3, -1)]),
    (
        rules(ALL, {"exit_codes": [1]}, {"endings": ["oom"]}),
        [
            never(1, "rules[0] matches every failure; put the general rule last"),
            never(2, "rules[0] matches every failure; put the general rule last"),
        ],
    ),
    (
        rules({"exit_codes": [1, 2]}, {"exit_codes": [3]}, {"exit_codes": [3, 1]}),
        [never(2, f"{TAKEN} exit codes; leave it out")],
    ),
    # the codes of an ending that has only one
    (
        rules({"exit_codes": [143]}, {"endings": ["node_fail", "preempted"]}),
        [never(1, f"{TAKEN} endings; leave it out")],
    ),
    (rules({"exit_codes": [143]}, {"endings": ["node_fail", "timeout"]}), []),
    (rules({"endings": ["timeout"]}, {"exit_codes": [152]}), []),
    (
        rules({"endings": ["timeout", "exit"]}, {"exit_codes": [152], "endings": ["exit"]}),
        [never(1, f"{TAKEN} exit codes and endings; leave it out")],
    ),
    (
        rules({"endings": ["orphaned"]}, {"exit_codes": [-128]}),
        [never(1, f"{TAKEN} exit codes; leave it out")],
    ),
    (
        rules({"exit_codes": [152]}, {"endings": ["timeout"]}),
        [never(1, f"{TAKEN} endings; leave it out")],
    ),
    # ... or another one, by the workflow's own wish
    (
        rules(
            {"exit_codes": [152]},
            {"endings": ["timeout"]},
            execution_config={"timeout_exit_code": 99},
        ),
        [],
    ),
    (
        rules({"exit_codes": [999]}, execution_config={"oom_exit_code": 999}),
        [],
    ),
    (
        rules({"endings": [ending.value for ending in Ending]}, ALL),
        [never(1, f"{TAKEN} failures; leave it out")],
    ),
    (
        rules({"exit_codes": [1], "max_retries": 1}),
        [f"warning: {HANDLER}.rules[0].max_retries: {NEVER_RETRIED}"],
    ),
    (rules({"endings": ["node_fail"], "max_retries": 1}), []),
    (
        rules({"endings": ["node_fail"], "max_retries": 1, "counts": True}),
        [f"warning: {HANDLER}.rules[0].max_retries: {NEVER_RETRIED}"],
    ),
    (
        rules({"exit_codes": [10], "counts": True}),
        [
            (
                f"warning: {HANDLER}.rules[0].counts: `counts` is about node_fail and preempted, "
                "which this rule does not match; leave it out"
            )
        ],
    ),
    (
        rules({"exit_codes": [10], **ALL}),
        [
            (
                f"warning: {HANDLER}.rules[0]: match_all_exit_codes wins; exit_codes and endings "
                "beside it change nothing; leave one of them out"
            )
        ],
    ),
    (
        rules({"exit_codes": [1], "recovery_script": " \n"}),
        [
            (
                f"{HANDLER}.rules[0].recovery_script: the recovery script is empty; "
                "write a command, or leave it out"
            )
        ],
    ),
    (
        rules({"exit_codes": [1], "recovery_timeout_seconds": 5}),
        [
            (
                f"warning: {HANDLER}.rules[0].recovery_timeout_seconds: "
                "there is no recovery_script to be timed; leave it out"
            )
        ],
    ),
    (
        rules({"exit_codes": [1], "max_retries": 0}, {"exit_codes": "2"}, {}),
        [
            f"{HANDLER}.rules[0].max_retries: 0 is too small; write 1 or more",
            f'{HANDLER}.rules[1].exit_codes: "2" is text, not a list; write ["2"]',
            never(2, NAMES_NOTHING),
        ],
    ),
]


@pytest.mark.parametrize(("tree", "expected"), CASES)
def test_the_rules_of_handlers(tree: dict[str, Any], expected: list[str]) -> None:
    assert texts(check({**tree, "jobs": [job("a", failure_handler="h")]})) == expected


def test_an_ending_must_be_one_of_the_known_words() -> None:
    (fault,) = texts(check(rules({"endings": ["node_failure"]})))
    assert fault.startswith(f"{HANDLER}.rules[0].endings[0]: ")
    assert "node_fail" in fault


def test_handlers_are_acted_on() -> None:
    found = check(
        rules({"exit_codes": [10]}, use_pending_failed=True, jobs=[job("a", failure_handler="h")])
    )
    assert found.unused == []


def test_a_rule_is_stored_with_what_it_says_of_counting_and_time() -> None:
    written = {
        "endings": ["node_fail"],
        "counts": True,
        "recovery_script": "x",
        "recovery_timeout_seconds": 5,
    }
    (handler,) = draft(rules(written)).failure_handlers
    assert handler.rules[0].items() >= written.items()


CODES = st.lists(st.sampled_from([1, 2, 137, 143, 152, -128]), max_size=3)
WORDS = st.lists(st.sampled_from([ending.value for ending in Ending]), max_size=3, unique=True)
RULES = st.lists(
    st.fixed_dictionaries(
        {"exit_codes": CODES, "endings": WORDS, "match_all_exit_codes": st.booleans()}
    ),
    min_size=1,
    max_size=5,
)


@given(RULES)
def test_leaving_out_rules_that_never_match_changes_nothing(written: list[dict[str, Any]]) -> None:
    """What the check calls dead is dead: without it, every failure meets the same rule."""
    from slurmtorc.rules.retrying import CODES as ENDS_WITH
    from slurmtorc.rules.retrying import first_match

    dead = {
        fault.path[3]
        for fault in check(rules(*written)).faults
        if not fault.warning and len(fault.path) == 4
    }
    failures = [(code, Ending.EXIT) for code in range(1, 256)]
    failures += [(code, ending) for ending, code in ENDS_WITH.items()]
    met = {first_match(written, code, ending) for code, ending in failures} - {None}
    assert met == set(range(len(written))) - dead
