"""One workflow that uses nearly everything, for tests of expansion and of formats."""

from __future__ import annotations

from typing import Any

EVERYTHING: dict[str, Any] = {
    "name": "rich: été",
    "user": "somebody",
    "description": "first line\n  second: line # not a comment\n\nlast",
    "project": "p 1",
    "metadata": {"owner": "me", "tags": ["a", "b"], "one": ["x"], "none": [], "deep": {"n": 1}},
    "variables": {"stage": "prep", "unit": "8g"},
    "env": {"MODE": "{stage}", "SEEDS": "{one}"},
    "parameters": {"seed": "1:3", "lr": [0.1, 1e-05], "one": "7"},
    "slurm_defaults": {"mail-type": "END", "exclusive": True, "nice": 10},
    "resource_monitor": {"enabled": True, "sample_interval_seconds": 2, "jobs": {"enabled": True}},
    "execution_config": {"mode": "slurm", "stdio": {"mode": "combined"}, "staggered_start": False},
    "access_groups": ["g1"],
    "compute_node_wait_for_new_jobs_seconds": 0,
    "resource_requirements": [
        {"name": "small", "num_cpus": 1, "memory": "{unit}", "runtime": "PT10M"},
        {"name": "big", "num_cpus": 4, "memory": "16g", "num_gpus": 1, "num_nodes": 2},
    ],
    "slurm_schedulers": [
        {"name": "cpu", "account": "acc", "walltime": "1-12:00:00", "gres": None, "extra": "-x n1"}
    ],
    "failure_handlers": [
        {
            "name": "h",
            "rules": [
                {"exit_codes": [1, 2], "recovery_script": 'fix.sh "$X"', "max_retries": 2},
                {"endings": ["node_fail", "preempted"]},
                {"match_all_exit_codes": True, "endings": None},
            ],
        }
    ],
    "files": [
        {"name": "in", "path": "data/in put.csv", "st_mtime": 1700000000.5},
        {
            "name": "out_{seed}_{lr:.5f}",
            "path": "out/{seed:03d}/{lr:.5f}.csv",
            "identifier": "id {seed} {lr}",
            "use_parameters": ["seed", "lr"],
        },
        {"name": "fig", "path": "fig.png"},
    ],
    "user_data": [
        {
            "name": "cfg_{k}",
            "data": {"k": "{k}", "n": [1, 2.5, "x"]},
            "parameters": {"k": "[a, b]"},
        },
        {"name": "res", "is_ephemeral": True},
    ],
    "jobs": [
        {
            "name": "{stage}",
            "command": "{stage}.sh '${user_data.input.cfg_a}' ${user_data.output.res} < "
            "${files.input.in}",
            "priority": 5,
            "depends_on": None,
            "stdio": {"mode": "separate", "delete_on_success": True},
        },
        {
            "name": "train_{seed}_{lr}",
            "command": (
                "train \\\n  --seed {seed} \\\n  --lr {lr} > ${files.output.out_{seed}_{lr:.5f}}\n"
            ),
            "use_parameters": ["seed", "lr"],
            "resource_requirements": "small",
            "failure_handler": "h",
            "depends_on": ["{stage}"],
            "env": {"SEED": "{seed}", "QUOTED": "a 'b' \"c\" \\d $E ${F} { g }"},
            "label": "gpu",
            "cancel_on_blocking_job_failure": False,
        },
        {
            "name": "collect_{n}",
            "command": "collect {n}",
            "parameters": {"n": [1, 2], "w": ["x", "y"]},
            "parameter_mode": "zip",
            "invocation_script": "{w}-wrapper",
            "scheduler": "cpu",
            "depends_on_regexes": ["^train_", "^prep$"],
            "input_file_regexes": ["^out_"],
            "input_user_data_regexes": ["^cfg"],
        },
        {
            "name": "report",
            "command": "awk '{print $1}' | report",
            "resource_requirements": "big",
            "depends_on": ["collect_2", "collect_1"],
            "depends_on_regexes": ["^train_"],
            "output_files": ["fig"],
            "input_user_data": ["res"],
        },
    ],
    "actions": [
        {
            "trigger_type": "on_jobs_ready",
            "action_type": "schedule_nodes",
            "scheduler_name": "cpu",
            "job_name_patterns": ["report"],
            "job_name_regexes": ["^collect"],
            "num_allocations": 2,
        },
        {
            "trigger_type": "on_workflow_complete",
            "action_type": "run_commands",
            "commands": ["echo done", "rm -f 'a b'"],
        },
    ],
}
