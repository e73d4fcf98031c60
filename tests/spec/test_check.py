"""A whole file with faults of every kind: all are told at once, each at its place."""

from __future__ import annotations

import gc
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from specs import check, draft, job, source, text, texts, write

from slurmtorc import spec
from slurmtorc.errors import SpecError
from slurmtorc.spec import faults as faults_module

if TYPE_CHECKING:
    from pathlib import Path

FAULTY = """\
name: faulty
nmae: oops
metadata: "[1]"
parameters: {seed: "1:3", wrong: "5:1"}
resource_requirements:
  - {name: small, num_cpus: -1, memory: 512}
  - {name: large, num_cpus: 2, memory: 10 gigs, runtime: 2h}
  - {name: long, num_cpus: 2, memory: 10g, runtime: PT5H}
slurm_schedulers:
  - name: short
    account: "a\\nb"
  - {name: night, account: a, walltime: "01:00:00"}
files:
  - {name: in, path: a}
  - {name: "out_{j}", path: b}
failure_handlers:
  - name: h
    rules:
      - exit_codes: []
        max_retries: 1
jobs:
  - name: start
    command: echo {sed} ${files.input.inn}
    use_parameters: [sead]
  - name: many
    command: echo ${i} {i:03d}
    parameters: {i: "1:3"}
    depends_on: [strat, "many_{k}"]
  - name: bound
    command: run
    resource_requirements: long
    scheduler: night
    depends_on_regexes: ["["]
    input_files: [in, in]
    output_files: [in]
    cancel_on_blocking_job_failure: yes
  - name: a
    command: ${files.input.inn}
    depends_on: [b]
  - name: b
    command: x
    env: {A: 5}
    depends_on: [a]
actions:
  - trigger_type: on_jobs_raedy
    action_type: run_commands
  - trigger_type: on_workflow_start
    action_type: schedule_nodes
    scheduler: nite
"""

EXPECTED = """\
2:1 error nmae: unknown key 'nmae'
3:1 error metadata: "[1]" is text that holds no JSON object
4:27 error parameters.wrong: "5:1" gives no values: the step goes the wrong way
6:19 error resource_requirements[0].num_cpus: -1 is too small
6:33 error resource_requirements[0].memory: 512 is a number, not text
7:32 error resource_requirements[1].memory: memory '10 gigs' is not understood
7:49 error resource_requirements[1].runtime: runtime '2h' is not understood
11:5 error slurm_schedulers[0].account: "a\\nb" has a line break or a control character
15:6 error files[1].name: {j} is not a parameter here
19:9 error failure_handlers[0].rules[0]: this rule can never match: it names no failure
20:9 warning failure_handlers[0].rules[0].max_retries: 1 means the job is never retried
24:22 error jobs[0].use_parameters[0]: the workflow has no parameter 'sead'
25:5 error jobs[1].name: 3 copies of this job share the name 'many': it lacks {i}
26:5 warning jobs[1].command: ${i} is the shell's variable, not the parameter 'i'
28:18 error jobs[1].depends_on[0]: there is no job 'strat'
28:25 error jobs[1].depends_on[1]: {k} is not a parameter here
32:5 error jobs[2].scheduler: job 'bound' may run PT5H (requirement 'long'), longer than the \
walltime 01:00:00 of scheduler 'night'
33:26 error jobs[2].depends_on_regexes[0]: "[" is not a regular expression: missing ]: [
34:5 error jobs[2].input_files: job 'bound' has the file 'in' as input and as output
34:23 warning jobs[2].input_files[1]: 'in' is listed twice; it counts once
36:5 error jobs[2].cancel_on_blocking_job_failure: "yes" is text, not true or false
37:5 error jobs[3]: these wait for each other: a -> b -> a
38:5 error jobs[3].command: there is no file 'inn'
42:11 error jobs[4].env.A: 5 is a number, not text
45:5 error actions[0].trigger_type: "on_jobs_raedy" is not one of the known words
49:5 error actions[1].scheduler: there is no scheduler 'nite'
"""


def test_all_faults_of_a_file_are_told_at_once_in_file_order(tmp_path: Path) -> None:
    checked = spec.check(spec.read(write(tmp_path / "w.yaml", FAULTY)))
    told = [
        f"{fault.line}:{fault.column} {'warning' if fault.warning else 'error'} "
        + text(fault).removeprefix("warning: ").split("; ")[0]
        for fault in checked.faults
    ]
    expected = [line.split("; ")[0] for line in EXPECTED.splitlines()]
    assert told == expected
    assert checked.draft is None
    assert checked.summary is None


def test_loading_raises_all_faults(tmp_path: Path) -> None:
    name = write(tmp_path / "w.yaml", FAULTY)
    with pytest.raises(SpecError, match="23 faults") as caught:
        spec.load(name)
    assert caught.value.source == name
    assert len(caught.value.faults) == len(EXPECTED.splitlines())


def test_warnings_alone_leave_the_draft(tmp_path: Path) -> None:
    name = write(tmp_path / "w.yaml", "name: x\njobs: [{name: a, command: 'b ${file.input.c}'}]\n")
    assert spec.load(name).jobs[0].name == "a"


def test_faults_of_the_same_line_are_in_order_of_columns(tmp_path: Path) -> None:
    name = write(tmp_path / "w.yaml", "name: x\njobs: [{b: 1, a: 2, name: x, command: y}]\n")
    assert [fault.column for fault in spec.check(spec.read(name)).faults] == [9, 15]


def test_beyond_the_limit_faults_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults_module, "LIMIT", 5)
    found = check({"env": {f"{n}": "x" for n in range(8)}, "jobs": []})
    assert len(found.faults) == 6
    assert found.faults[-1].message == "3 more faults are not shown"
    assert not found.faults[-1].warning


def test_many_misspelt_names_among_many_are_told_in_time() -> None:
    jobs = [job("job_{i}", parameters={"i": "1:30000"})]
    jobs += [job(f"x{n}", depends_on=[f"jobb_{n}"]) for n in range(900)]
    found = check({"jobs": jobs})
    assert len(found.faults) == 900
    assert "there is no job 'jobb_0'; did you mean 'job_" in texts(found)[0]


UNUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"user": "x", "use_pending_failed": False, "access_groups": []}, ["user"]),
    (
        {
            "use_pending_failed": True,
            "enable_ro_crate": True,
            "access_groups": ["g"],
            "dynamic_jobs": {},
            "jobs_sort_method": "none",
            "compute_node_expiration_buffer_seconds": 5,
            "compute_node_min_time_for_new_jobs_seconds": 5,
            "compute_node_ignore_workflow_completion": True,
            "datasets": [{"name": "d", "path": "p"}],
            "failure_handlers": [{"name": "h", "rules": [{"exit_codes": [1]}]}],
        },
        [
            "access_groups",
            "compute_node_expiration_buffer_seconds",
            "compute_node_ignore_workflow_completion",
            "compute_node_min_time_for_new_jobs_seconds",
            "datasets",
            "dynamic_jobs",
            "enable_ro_crate",
            "jobs_sort_method",
        ],
    ),
    (
        {
            "user_data": [{"name": "u", "is_ephemeral": True}, {"name": "v", "is_ephemeral": True}],
            "execution_config": {
                "mode": "slurm", "srun_termination_signal": "TERM@1", "staggered_start": False,
            },
            "resource_monitor": {
                "granularity": "time_series", "generate_plots": True,
                "flush_interval_seconds": 5, "compute_node": {},
                "jobs": {"granularity": "time_series"},
            },
        },
        [
            "resource_monitor.compute_node",
            "resource_monitor.flush_interval_seconds",
            "resource_monitor.generate_plots",
            "resource_monitor.granularity",
            "resource_monitor.jobs",
            "user_data[].is_ephemeral (2 user data)",
        ],
    ),
    ({"execution_config": {"mode": "direct"}, "resource_monitor": {"jobs": {}}}, []),
    ({"resource_monitor": {"enabled": True, "jobs": {"enabled": True}}}, []),
    (
        {"resource_monitor": {"enabled": False, "jobs": {"enabled": False}}},
        ["resource_monitor.enabled", "resource_monitor.jobs"],
    ),
    (
        {
            "jobs": [job("a", label="x"), job("b", supports_termination=True), job("c", label="y")],
            "files": [{"name": "f", "path": "p", "identifier": "i"}],
            "slurm_schedulers": [{"name": "s", "account": "a", "serialize_allocations": True}],
        },
        [
            "files[0].identifier",
            "jobs[1].supports_termination",
            "jobs[].label (2 jobs)",
            "slurm_schedulers[0].serialize_allocations",
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "expected"), UNUSED)
def test_keys_on_which_nothing_acts_are_listed(tree: dict[str, Any], expected: list[str]) -> None:
    found = check(tree)
    assert sorted(found.unused) == expected
    assert found.draft is not None, texts(found)


def test_a_file_with_faults_lists_them_too() -> None:
    found = check({"user": "x", "jobs": ["x"], "actions": "y"})
    assert found.draft is None
    assert found.unused == ["user"]


def test_the_summary_counts_before_and_after_expansion() -> None:
    tree = {
        "description": "d",
        "files": [{"name": "f{i}", "path": "p", "parameters": {"i": "1:4"}}],
        "user_data": [{"name": "u"}],
        "slurm_schedulers": [{"name": "s", "account": "a"}],
        "jobs": [
            job("a{i}", parameters={"i": "1:5"}, output_files=["f1"]),
            job("b", depends_on_regexes=["^a"]),
            job("c", depends_on=["b"]),
        ],
        "actions": [
            {"trigger_type": "on_workflow_start", "action_type": "schedule_nodes", "scheduler": "s"}
        ],
    }
    summary = check(tree).summary
    assert summary is not None
    assert asdict(summary) == {
        "name": "w",
        "description": "d",
        "jobs": 7,
        "jobs_before_expansion": 3,
        "files": 4,
        "files_before_expansion": 1,
        "user_data": 1,
        "user_data_before_expansion": 1,
        "levels": 3,
        "resource_requirements": 0,
        "slurm_schedulers": 1,
        "failure_handlers": 0,
        "actions": 1,
        "has_schedule_nodes_action": True,
    }


def test_a_check_changes_nothing_in_the_tree() -> None:
    tree = {
        "name": "w",
        "variables": {"v": "x"},
        "jobs": [job("{v}_{i}", parameters={"i": "1:2"}, env={"A": None})],
        "execution_config": {"mode": None},
    }
    before = source(tree).text
    spec.check(source(tree))
    assert source(tree).text == before


def test_the_garbage_collector_is_left_as_it_was() -> None:
    draft({})
    assert gc.isenabled()
    gc.disable()
    try:
        draft({})
        assert not gc.isenabled()
    finally:
        gc.enable()
