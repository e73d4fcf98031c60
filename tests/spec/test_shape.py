from __future__ import annotations

from typing import Any

import pytest
from specs import check, job, source, texts

from slurmtorc import spec

S = {"name": "s", "account": "a"}
R = {"name": "r", "num_cpus": 1, "memory": "1g"}
SHAPES: list[tuple[dict[str, Any], list[str]]] = [
    ({"jobs": None}, ["jobs: the value is null, not a list; write a list of maps"]),
    ({"jobs": {}}, ["jobs: {} is a map, not a list; write a list of maps"]),
    ({"jobs": ["x"]}, ['jobs[0]: "x" is text, not a map; write `key: value` pairs']),
    ({"name": ""}, ['name: "" is empty; write at least one character']),
    ({"name": 5}, ['name: 5 is a number, not text; put it in quotes: "5"']),
    ({"name": None}, ["name: the value is null, not text; write text, or leave the key out"]),
    (
        {"jobs": [job("a\nb")]},
        ['jobs[0].name: "a\\nb" has a line break or a control character; write it on one line'],
    ),
    ({"jobs": [{"name": "a"}]}, ["jobs[0].command: `command` is missing; it is required"]),
    ({"jobs": [job("a", depends_on="b")]},
     ['jobs[0].depends_on: "b" is text, not a list; write ["b"]']),
    ({"jobs": [job("a", priority=-1)]}, ["jobs[0].priority: -1 is too small; write 0 or more"]),
    ({"jobs": [job("a", priority="5")]},
     ['jobs[0].priority: "5" is text, not a whole number; write 5 without quotes']),
    ({"jobs": [job("a", priority=1.5)]},
     ["jobs[0].priority: 1.5 is a number, not a whole number; write a whole number"]),
    ({"jobs": [job("a", priority=2**40)]},
     ["jobs[0].priority: 1099511627776 is too large; write 2147483647 or less"]),
    ({"jobs": [job("a", env={"A": 5, "B": True})]},
     ['jobs[0].env.A: 5 is a number, not text; put it in quotes: "5"',
      'jobs[0].env.B: true is a boolean, not text; put it in quotes: "true"']),
    ({"jobs": [job("a", label=" x")]},
     ['jobs[0].label: " x" begins or ends with white space; leave it out']),
    ({"jobs": [job("a", label="")]}, ['jobs[0].label: "" is empty; write at least one character']),
    ({"jobs": [job("a", cancel_on_blocking_job_failure="no")]},
     [('jobs[0].cancel_on_blocking_job_failure: "no" is text, not true or false; '
      "write false without quotes")]),
    ({"jobs": [job("a", stdio={"mode": "seperate", "modes": 1})]},
     [('jobs[0].stdio.mode: "seperate" is not one of the known words; did you mean \'separate\'? '
      "known: separate, combined, no_stdout, no_stderr, none"),
      "jobs[0].stdio.modes: unknown key 'modes'; did you mean 'mode'?"]),
    ({"jobs": [job("a", num_cpus=4)]},
     [("jobs[0].num_cpus: unknown key 'num_cpus'; known: cancel_on_blocking_job_failure, command, "
      "depends_on, depends_on_regexes, env, failure_handler, input_datasets, input_file_regexes, "
      "input_files, input_user_data, input_user_data_regexes, invocation_script, label, name, "
      "output_datasets, output_file_regexes, output_files, output_user_data, "
      "output_user_data_regexes, parameter_mode, parameters, priority, resource_requirements, "
      "scheduler, stdio, supports_termination, use_parameters")]),
    ({"resource_requirements": [{**R, "num_cpus": 0, "num_gpus": -1, "num_nodes": None}]},
     ["resource_requirements[0].num_cpus: 0 is too small; write 1 or more",
      "resource_requirements[0].num_gpus: -1 is too small; write 0 or more",
      ("resource_requirements[0].num_nodes: the value is null, not a whole number; "
      "write a whole number, or leave the key out")]),
    ({"resource_requirements": [{**R, "memory": 512, "runtime": 30}]},
     [("resource_requirements[0].memory: 512 is a number, not text; "
      'write it with its unit as text, as in "512m"'),
      ("resource_requirements[0].runtime: 30 is a number, not text; "
      'write an ISO 8601 duration as text, as in "PT30M"')]),
    ({"resource_requirements": [{**R, "memory": "0g", "runtime": "PT0S"}]},
     ["resource_requirements[0].memory: memory '0g' is none; write what a job needs, as in 512m",
      "resource_requirements[0].runtime: runtime 'PT0S' is none; write at least PT1S"]),
    ({"jobs": [{"name": "a", "command": ""}, {"name": "b", "command": " \n"}]},
     ["jobs[0].command: command '' runs nothing; write what to run, or `true`",
      "jobs[1].command: command ' \\n' runs nothing; write what to run, or `true`"]),
    ({"resource_requirements": [{**R, "memory": "10 gigs", "runtime": "2h"}]},
     ["resource_requirements[0].memory: memory '10 gigs' is not understood; write 10g",
      "resource_requirements[0].runtime: runtime '2h' is not understood; write PT2H"]),
    ({"slurm_schedulers": [{"name": "s", "walltime": "soon"}]},
     ["slurm_schedulers[0].account: `account` is missing; it is required",
      ("slurm_schedulers[0].walltime: walltime 'soon' is not understood; "
      "write Slurm's HH:MM:SS or D-HH:MM:SS, as in 04:00:00 or 1-12:00:00")]),
    ({"slurm_schedulers": [{**S, "account": "a\n#SBATCH -x", "walltime": 3600,
                            "cpus_per_task": 0}]},
     [('slurm_schedulers[0].account: "a\\n#SBATCH -x" has a line break or a control character; '
      "write it on one line"),
      ("slurm_schedulers[0].walltime: 3600 is a number, not text; "
      'write Slurm\'s time as text, as in "04:00:00"'),
      "slurm_schedulers[0].cpus_per_task: 0 is too small; write 1 or more"]),
    ({"files": [{"name": "f"}]}, ["files[0].path: `path` is missing; it is required"]),
    ({"user_data": [{"data": 1}]}, ["user_data[0].name: `name` is missing; it is required"]),
    ({"slurm_config": {}},
     [("slurm_config: `slurm_config` was removed from the format; "
      "write its keys in `execution_config`")]),
    ({"srun_termination_signal": "x"},
     [("srun_termination_signal: `srun_termination_signal` does not stand here; "
      "write it in `execution_config`")]),
    ({"local_schedulers": []},
     [("local_schedulers: `local_schedulers` is not part of the format; "
      "leave it out: `torc run` takes --num-cpus, --memory-gb and --num-gpus")]),
    ({"discription": "x"},
     ["discription: unknown key 'discription'; did you mean 'description'?"]),
    ({"execution_config": {"staggerd_start": True}},
     [("execution_config.staggerd_start: unknown key 'staggerd_start'; "
      "did you mean 'staggered_start'?")]),
    ({"env": "A=b"}, ['env: "A=b" is text, not a map; write `key: value` pairs']),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "expected"), SHAPES)
def test_a_wrong_value_is_told_with_what_to_write(
    tree: dict[str, Any], expected: list[str]
) -> None:
    found = check(tree)
    assert texts(found) == expected
    assert found.draft is None


def test_jobs_are_required() -> None:
    assert texts(spec.check(source({"name": "x"}))) == ["jobs: `jobs` is missing; it is required"]
    assert spec.check(source({"name": "x", "jobs": []})).draft is not None
