from __future__ import annotations

from typing import Any

import pytest
from specs import check, draft, job, texts

from slurmtorc.model import ActionType, DraftAction, Ending, TriggerType
from slurmtorc.spec import shape

S = {"name": "s", "account": "a"}
JOBS = [job("train_1"), job("train_2"), job("report")]


def action(**keys: Any) -> dict[str, Any]:
    return {"trigger_type": "on_workflow_start", "action_type": "run_commands", **keys}


RUN = {"commands": ["echo"]}
NODES = {"action_type": "schedule_nodes", "scheduler": "s"}
READY = {"trigger_type": "on_jobs_ready"}

ACTIONS: list[tuple[dict[str, Any], list[str]]] = [
    (action(**RUN), []),
    (action(**NODES), []),
    (action(**NODES, scheduler_type="slurm", num_allocations=2, max_parallel_jobs=4), []),
    (action(**RUN, **READY, jobs=["report"], job_name_regexes=["^train"]), []),
    (action(**RUN, trigger_type="on_worker_start", persistent=True), []),
    (action(**NODES, trigger_type="on_worker_start", persistent=False), []),
    (
        action(**NODES, trigger_type="on_worker_complete"),
        [
            ("warning: actions[0]: every worker asks for nodes (on_worker_complete), whose workers "
            "ask for more; write `persistent: false` to ask once")
        ],
    ),
    (
        action(**NODES | {"scheduler": "x"}),
        ["actions[0].scheduler: there is no scheduler 'x'; known: s"],
    ),
    (
        action(action_type="schedule_nodes"),
        ["actions[0]: schedule_nodes has no `scheduler`; name an entry of slurm_schedulers"],
    ),
    (
        action(**NODES, scheduler_name="s"),
        [
            ("actions[0].scheduler_name: `scheduler_name` is an older name of `scheduler`, and "
            "both are given; leave `scheduler_name` out")
        ],
    ),
    (
        action(**RUN, **READY, jobs=["report"], job_name_patterns=["report"]),
        [
            ("actions[0].job_name_patterns: `job_name_patterns` is an older name of `jobs`, and "
            "both are given; leave `job_name_patterns` out")
        ],
    ),
    (action(), ["actions[0].commands: run_commands has no commands; write `commands`, a list"]),
    (
        action(commands=["x", " "]),
        ["actions[0].commands[1]: the command is empty; leave it out"],
    ),
    (
        action(**RUN, scheduler="nope", num_allocations=2),
        [
            "warning: actions[0].scheduler: run_commands does not use this",
            "warning: actions[0].num_allocations: run_commands does not use this",
        ],
    ),
    (action(**NODES, **RUN), ["warning: actions[0].commands: schedule_nodes does not use this"]),
    (
        action(**RUN, jobs=["report"]),
        ["warning: actions[0].jobs: on_workflow_start does not wait for jobs"],
    ),
    (
        action(**RUN, **READY),
        [
            ("actions[0]: on_jobs_ready does not say which jobs it waits for; "
            "write `jobs` or `job_name_regexes`")
        ],
    ),
    (
        action(**RUN, **READY, jobs=[]),
        [
            ("actions[0]: on_jobs_ready does not say which jobs it waits for; "
            "write `jobs` or `job_name_regexes`")
        ],
    ),
    (
        action(**RUN, **READY, jobs=["reprot"]),
        ["actions[0].jobs[0]: there is no job 'reprot'; did you mean 'report'?"],
    ),
    (
        action(**RUN, trigger_type="on_jobs_complete", job_name_regexes=["zzz", "("]),
        [
            ('actions[0].job_name_regexes[0]: "zzz" matches no job; '
            "a pattern is searched for anywhere in the name"),
            'actions[0].job_name_regexes[1]: "(" is not a regular expression: missing ): (',
        ],
    ),
    (
        action(**RUN, **READY, jobs=["report"], persistent=True),
        [
            ("actions[0].persistent: an on_jobs_ready action cannot be persistent: it is executed "
            "once in a run; leave it out; `persistent` is for on_worker_start and "
            "on_worker_complete")
        ],
    ),
    *(
        (
            action(**RUN, trigger_type=trigger, persistent=True),
            [
                (f"actions[0].persistent: an {trigger} action cannot be persistent: it is executed "
                "once in a run; leave it out; `persistent` is for on_worker_start and "
                "on_worker_complete")
            ],
        )
        for trigger in ("on_workflow_start", "on_workflow_complete")
    ),
    (
        action(**RUN, trigger_type="on_job_ready"),
        [
            ('actions[0].trigger_type: "on_job_ready" is not one of the known words; did you mean '
            "'on_jobs_ready'? known: on_workflow_start, on_workflow_complete, on_jobs_ready, "
            "on_jobs_complete, on_worker_start, on_worker_complete")
        ],
    ),
    (
        action(action_type="explode"),
        [
            ('actions[0].action_type: "explode" is not one of the known words; '
            "known: run_commands, schedule_nodes")
        ],
    ),
    (
        action(**NODES, scheduler_type="local"),
        ['actions[0].scheduler_type: "local" is not one of the known words; known: slurm'],
    ),
    (action(**NODES, num_allocations=0),
     ["actions[0].num_allocations: 0 is too small; write 1 or more"]),
]  # fmt: skip


@pytest.mark.parametrize(("written", "expected"), ACTIONS)
def test_an_action_has_what_its_trigger_and_its_type_need(
    written: dict[str, Any], expected: list[str]
) -> None:
    tree = {"slurm_schedulers": [S], "jobs": JOBS, "actions": [written]}
    assert texts(check(tree)) == expected


def test_an_action_reaches_the_draft_under_the_names_of_today() -> None:
    written = action(
        **READY, action_type="schedule_nodes", scheduler_name="s", job_name_patterns=["report"],
        job_name_regexes=["2$"], num_allocations=3, max_parallel_jobs=5,
        start_one_worker_per_node=True,
    )  # fmt: skip
    found = draft({"slurm_schedulers": [S], "jobs": JOBS, "actions": [written, action(**RUN)]})
    assert found.actions == [
        DraftAction(
            trigger_type=TriggerType.ON_JOBS_READY,
            action_type=ActionType.SCHEDULE_NODES,
            jobs=(1, 2),
            scheduler=0,
            num_allocations=3,
            max_parallel_jobs=5,
            start_one_worker_per_node=True,
        ),
        DraftAction(
            trigger_type=TriggerType.ON_WORKFLOW_START,
            action_type=ActionType.RUN_COMMANDS,
            commands=("echo",),
        ),
    ]


@pytest.mark.parametrize(
    ("trigger", "written", "persistent"),
    [
        ("on_worker_start", {}, True),
        ("on_worker_complete", {}, True),
        ("on_worker_start", {"persistent": False}, False),
        ("on_workflow_start", {}, False),
        ("on_workflow_complete", {"persistent": False}, False),
    ],
)
def test_what_is_about_workers_is_persistent_unless_it_says_otherwise(
    trigger: str, written: dict[str, Any], persistent: bool
) -> None:
    found = draft({"jobs": JOBS, "actions": [action(**RUN, **written, trigger_type=trigger)]})
    assert found.actions[0].persistent is persistent


def literals(annotation: object) -> set[str]:
    """All words of a type that is a Literal somewhere inside."""
    found = set()
    for part in getattr(annotation, "__args__", ()):
        found |= {part} if isinstance(part, str) else literals(part)
    return found


def test_the_words_of_the_format_are_those_of_the_model() -> None:
    fields = shape.ActionShape.model_fields
    assert literals(fields["trigger_type"].annotation) == set(TriggerType)
    assert literals(fields["action_type"].annotation) == set(ActionType)
    assert literals(shape.RuleShape.model_fields["endings"].annotation) == set(Ending)
