from __future__ import annotations

from typing import Any

import pytest
from specs import check, job, texts

S = {"name": "s", "account": "a"}
NODES = {
    "trigger_type": "on_workflow_start",
    "action_type": "schedule_nodes",
    "scheduler": "s",
}


SECTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({"metadata": {"a": 1}}, []),
    ({"metadata": '{"a": 1}'}, []),
    (
        {"metadata": "[1]"},
        [
            ('metadata: "[1]" is text that holds no JSON object; '
            'write a map, or text such as {"key": "value"}')
        ],
    ),
    (
        {"metadata": '{"a": NaN}'},
        [
            ('metadata: "{\\"a\\": NaN}" is text that holds no JSON object; '
            'write a map, or text such as {"key": "value"}')
        ],
    ),
    (
        {"metadata": 5},
        [
            ("metadata: 5 is a number that holds no JSON object; "
            'write a map, or text such as {"key": "value"}')
        ],
    ),
    (
        {"env": {"1A": "x", "A-B": "y", "_ok1": ""}, "jobs": [job("a", env={"": "x"})]},
        [
            ("jobs[0].env.: '' is no name for an environment variable; "
            "use letters, digits and _; begin with no digit"),
            ("env.1A: '1A' is no name for an environment variable; "
            "use letters, digits and _; begin with no digit"),
            ("env.A-B: 'A-B' is no name for an environment variable; "
            "use letters, digits and _; begin with no digit"),
        ],
    ),
    (
        {"slurm_defaults": {"account": "a", "exclusive": True, "mail-user": None, "Mem": "1g"}},
        [
            "warning: slurm_defaults.mail-user: null is left out",
            ("slurm_defaults.Mem: `Mem` cannot have a default; it belongs to a scheduler: "
            "write it in slurm_schedulers"),
        ],
    ),
    (
        {"slurm_defaults": {"job_name": "x", "--qos": "q", "a": [1], "b": "x\ny"}},
        [
            ("slurm_defaults.job_name: `job_name` cannot have a default; it belongs to a "
            "scheduler: write it in slurm_schedulers"),
            ("slurm_defaults.--qos: `--qos` cannot have a default; "
            "write a long option of sbatch, as in mail-type"),
            "slurm_defaults.a: [1] is a list; write text, a number or true",
            ('slurm_defaults.b: "x\\ny" has a line break or a control character; '
            "write it on one line"),
        ],
    ),
    (
        {"resource_monitor": {"enabled": True, "metrics": [], "jobs": {"x": 1}}},
        [
            "warning: resource_monitor.metrics: unknown key 'metrics'; it is ignored",
            "warning: resource_monitor.jobs.x: unknown key 'x'; it is ignored",
        ],
    ),
    (
        {"resource_requirements": [{"name": "default", "num_cpus": 1, "memory": "1g"}]},
        [
            ("resource_requirements[0].name: 'default' is reserved for jobs that name no "
            "requirement; choose another name")
        ],
    ),
    (
        {"jobs": [job("a", depends_on=["b", "b"]), job("b", input_file_regexes=["f", "f"])],
         "files": [{"name": "f", "path": "p"}]},
        [
            "warning: jobs[0].depends_on[1]: 'b' is listed twice; it counts once",
            "warning: jobs[1].input_file_regexes[1]: 'f' is listed twice; it counts once",
        ],
    ),
    ({"dynamic_jobs": {"max_iterations": 0}},
     ["dynamic_jobs.max_iterations: 0 is too small; write 1 or more"]),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "expected"), SECTIONS)
def test_the_rules_of_a_section(tree: dict[str, Any], expected: list[str]) -> None:
    assert texts(check(tree)) == expected


OTHER = "; leave it out, or change `mode`"
EXECUTION: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, []),
    ({"mode": "direct", "termination_signal": "SIGUSR1", "sigterm_lead_seconds": 5}, {}, []),
    (
        {"srun_termination_signal": "TERM@120", "enable_cpu_bind": True},
        {},
        [
            f"srun_termination_signal: belongs to mode slurm, and the mode is direct{OTHER}",
            f"enable_cpu_bind: belongs to mode slurm, and the mode is direct{OTHER}",
        ],
    ),
    ({"enable_cpu_bind": False}, {}, []),
    ({"termination_signal": "INT"}, {}, []),
    (
        {"termination_signal": "SIGNONE"},
        {},
        ["termination_signal: 'SIGNONE' is no signal; write its name, as in SIGTERM"],
    ),
    ({"mode": "slurm", "srun_termination_signal": "B:USR1@60"}, {}, []),
    *(
        (
            {"mode": "slurm", "srun_termination_signal": value},
            {},
            [
                (f"srun_termination_signal: {value!r} is not understood; "
                 "write a signal and how many seconds before the limit, as in TERM@120")
            ],
        )
        for value in ("TERM@soon", "NONE@60", "@60")
    ),
    (
        {
            "mode": "slurm", "termination_signal": "SIGTERM", "sigterm_lead_seconds": 5,
            "oom_exit_code": 1, "limit_resources": False,
        },
        {},
        [
            (f"termination_signal: `termination_signal` belongs to mode direct, and the mode is "
            f"slurm{OTHER}"),
            (f"sigterm_lead_seconds: `sigterm_lead_seconds` belongs to mode direct, and the mode "
            f"is slurm{OTHER}"),
            f"oom_exit_code: `oom_exit_code` belongs to mode direct, and the mode is slurm{OTHER}",
            f"limit_resources: mode slurm always limits resources{OTHER}",
        ],
    ),
    ({"mode": "auto", "oom_exit_code": 1}, {}, []),
    (
        {"mode": "auto", "oom_exit_code": 1},
        {"slurm_schedulers": [S]},
        [f"oom_exit_code: `oom_exit_code` belongs to mode direct, and the mode is slurm{OTHER}"],
    ),
    (
        {"srun_mpi": "pmix"},
        {},
        [
            ("srun_mpi: `srun_mpi` needs an action with start_one_worker_per_node: true; "
            "add one, or leave it out")
        ],
    ),
    (
        {"srun_mpi": "pmix v2"},
        {},
        ['srun_mpi: "pmix v2" has a character that is not allowed; use letters, digits and _.+-'],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "more", "expected"), EXECUTION)
def test_keys_of_the_other_mode_are_told_all_at_once(
    config: dict[str, Any], more: dict[str, Any], expected: list[str]
) -> None:
    found = texts(check({"execution_config": config, **more}))
    assert found == [f"execution_config.{text}" for text in expected]


@pytest.mark.parametrize(("mode", "wrong"), [("direct", True), ("slurm", False), ("auto", False)])
def test_a_job_of_several_nodes_is_a_step(mode: str, wrong: bool) -> None:
    wide = {"name": "wide", "num_cpus": 1, "memory": "1g", "runtime": "PT1M", "num_nodes": 2}
    tree = {
        "execution_config": {"mode": mode},
        "resource_requirements": [wide, {**wide, "name": "unused"}],
        "jobs": [{"name": "a", "command": "true", "resource_requirements": "wide"}],
    }
    assert texts(check(tree)) == wrong * [
        (
            "resource_requirements[0].num_nodes: 2 nodes for one job need execution_config.mode: "
            "slurm; write that mode, or num_nodes: 1"
        )
    ]


def test_one_worker_per_node_needs_mode_direct() -> None:
    tree = {
        "slurm_schedulers": [S],
        "execution_config": {"mode": "slurm", "srun_mpi": "pmix"},
        "actions": [{**NODES, "start_one_worker_per_node": True}],
    }
    assert texts(check(tree)) == [
        (
            "actions[0].start_one_worker_per_node: one worker per node needs "
            "execution_config.mode: direct; leave it out, or change `mode`"
        )
    ]
