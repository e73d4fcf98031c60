from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import check, draft, job, only_error, source, texts, waits

from slurmtorc import spec
from slurmtorc.model import DraftJob, Workflow

FILES = [{"name": "in", "path": "data/in.csv"}, {"name": "out", "path": "out put.csv"}]


def test_a_job_with_only_what_is_required_has_the_defaults() -> None:
    assert draft({"jobs": [job()]}).jobs == [DraftJob(name="a", command="true")]
    nulls = dict.fromkeys(spec.schema()["$defs"]["JobShape"]["properties"])
    assert draft({"jobs": [nulls | job()]}).jobs == [DraftJob(name="a", command="true")]


def test_every_key_of_a_job_reaches_the_draft() -> None:
    found = draft(
        {
            "failure_handlers": [{"name": "h", "rules": [{"exit_codes": [1]}]}],
            "slurm_schedulers": [{"name": "s", "account": "a"}],
            "resource_requirements": [{"name": "r", "num_cpus": 1, "memory": "1g"}],
            "files": FILES,
            "user_data": [{"name": "u"}, {"name": "v"}],
            "jobs": [
                job("first"),
                job(
                    "a",
                    "run",
                    invocation_script="with",
                    env={"A": "b"},
                    resource_requirements="r",
                    failure_handler="h",
                    scheduler="s",
                    cancel_on_blocking_job_failure=False,
                    supports_termination=True,
                    depends_on=["first"],
                    input_files=["in"],
                    output_files=["out"],
                    input_user_data=["u"],
                    output_user_data=["v"],
                    priority=7,
                    stdio={"mode": "combined", "delete_on_success": None},
                ),
            ],
        }
    )
    assert found.jobs[1] == DraftJob(
        name="a",
        command="run",
        invocation_script="with",
        env={"A": "b"},
        requirement=0,
        failure_handler=0,
        scheduler=0,
        cancel_on_blocking_job_failure=False,
        supports_termination=True,
        depends_on=(0,),
        input_files=(0,),
        output_files=(1,),
        input_user_data=(0,),
        output_user_data=(1,),
        priority=7,
        stdio={"mode": "combined"},
    )


def test_the_workflow_and_its_records_have_what_is_written_and_defaults_for_the_rest() -> None:
    assert draft({}).workflow == Workflow(name="w")
    tree = {
        "name": "n",
        "user": "somebody",
        "description": "d",
        "project": "p",
        "metadata": '{"a": [1, null]}',
        "env": {"A": "b"},
        "use_pending_failed": True,
        "enable_ro_crate": None,
        "access_groups": ["g"],
        "jobs_sort_method": "none",
        "execution_config": {"mode": "direct", "oom_exit_code": None, "stdio": {"mode": "none"}},
        "resource_monitor": {"enabled": True, "jobs": None},
        "dynamic_jobs": {"max_iterations": 5},
        "slurm_defaults": {"mail-type": "END", "exclusive": True, "qos": None},
        "compute_node_wait_for_new_jobs_seconds": 5,
        "compute_node_wait_for_healthy_database_minutes": None,
        "resource_requirements": [{"name": "r", "num_cpus": 2, "memory": "1500m"}],
        "slurm_schedulers": [{"name": "s", "account": "a", "nodes": 3, "cpus_per_task": 8}],
        "failure_handlers": [
            {"name": "h", "rules": [{"endings": ["node_fail"], "recovery_script": "fix"}]}
        ],
        "files": [{"name": "f", "path": "p", "st_mtime": 12}],
        "user_data": [{"name": "u", "data": {"a": None}, "is_ephemeral": True}],
    }
    found = draft(tree)
    assert found.workflow == Workflow(
        name="n",
        description="d",
        project="p",
        metadata={"a": [1, None]},
        env={"A": "b"},
        use_pending_failed=True,
        access_groups=("g",),
        jobs_sort_method="none",
        execution_config={"mode": "direct", "stdio": {"mode": "none"}},
        resource_monitor_config={"enabled": True},
        dynamic_jobs={"max_iterations": 5},
        slurm_defaults={"mail-type": "END", "exclusive": True},
        compute_node_wait_for_new_jobs_seconds=5,
    )
    (requirement,) = found.requirements
    assert (requirement.memory, requirement.memory_bytes) == ("1500m", 1500 * 1024**2)
    assert (requirement.runtime, requirement.runtime_s) == ("PT1H", 3600)
    (scheduler,) = found.schedulers
    assert (scheduler.nodes, scheduler.walltime, scheduler.cpus_per_task) == (3, "01:00:00", 8)
    assert found.failure_handlers[0].rules == (
        {
            "exit_codes": [],
            "match_all_exit_codes": False,
            "endings": ["node_fail"],
            "recovery_script": "fix",
            "max_retries": 3,
        },
    )
    assert (found.files[0].path, found.files[0].st_mtime) == ("p", 12)
    assert (found.user_data[0].data, found.user_data[0].is_ephemeral) == ({"a": None}, True)


def test_the_spec_is_kept_as_it_was_written() -> None:
    tree = {"name": "w", "variables": {"v": "é"}, "jobs": [job("{v}")], "user": None}
    found = spec.check(source(tree)).draft
    assert found is not None
    assert found.spec == (
        '{"name":"w","variables":{"v":"é"},"jobs":[{"name":"{v}","command":"true"}],"user":null}'
    )


# ── ${files.input.NAME} and its like ─────────────────────────────────────────


def test_templates_are_replaced_and_their_names_added_to_the_lists() -> None:
    found = draft(
        {
            "files": [*FILES, {"name": "more", "path": "m"}],
            "user_data": [{"name": "cfg", "data": {"a": [1, "é"]}}, {"name": "res"}],
            "jobs": [
                job(
                    "a",
                    "run ${files.input.in} '${user_data.input.cfg}' > ${files.output.out} "
                    "&& torc user-data update ${user_data.output.res} $X ${Y}",
                    invocation_script="with ${files.input.in}",
                    input_files=["more"],
                ),
            ],
        }
    )
    (a,) = found.jobs
    assert a.command == (
        'run data/in.csv \'{"a":[1,"é"]}\' > out put.csv '
        "&& torc user-data update ${user_data.output.res} $X ${Y}"
    )
    assert a.invocation_script == "with data/in.csv"
    assert (a.input_files, a.output_files) == ((0, 2), (1,))
    assert (a.input_user_data, a.output_user_data) == ((0,), (1,))


def test_templates_have_parameters_in_their_names() -> None:
    found = draft(
        {
            "parameters": {"i": "1:2"},
            "files": [{"name": "f_{i}", "path": "p{i}", "use_parameters": ["i"]}],
            "user_data": [{"name": "u_{i}", "use_parameters": ["i"]}],
            "jobs": [
                job(
                    "j_{i}",
                    "x {i} ${files.output.f_{i}} ${user_data.input.u_{i}}",
                    use_parameters=["i"],
                )
            ],
        }
    )
    assert [(j.command, j.output_files, j.input_user_data) for j in found.jobs] == [
        ("x 1 p1 ${user_data.input.u_1}", (0,), (0,)),
        ("x 2 p2 ${user_data.input.u_2}", (1,), (1,)),
    ]


TEMPLATES: list[tuple[str, list[str]]] = [
    (
        "cat ${files.input.inn}",
        ["jobs[0].command: there is no file 'inn'; did you mean 'in'?"],
    ),
    (
        "cat ${user_data.output.x}",
        ["jobs[0].command: there is no user data 'x'; did you mean 'nest'?"],
    ),
    (
        "ls ${datasets.input.d}",
        [
            (
                "jobs[0].command: ${datasets.input.d}: datasets are not used yet; "
                "write the path itself"
            )
        ],
    ),
    (
        "cat ${file.input.in}",
        [
            (
                "warning: jobs[0].command: ${file.input.in} is not replaced; "
                "write ${files.input.NAME}, ${user_data.output.NAME} or the like"
            )
        ],
    ),
    ("node -e '`${files.map(x)}`' ${other.thing}", []),
    (
        "echo '${user_data.input.nest}'",
        [
            (
                'jobs[0].command: "[\\"${files.input.in}\\"]" brings in another token; '
                "tokens do not nest; write the value itself"
            )
        ],
    ),
]


@pytest.mark.parametrize(("command", "expected"), TEMPLATES)
def test_a_template_that_names_nothing_is_told(command: str, expected: list[str]) -> None:
    tree = {
        "files": FILES,
        "user_data": [{"name": "nest", "data": ["${files.input.in}"]}],
        "jobs": [job("a", command)],
    }
    if "there is no user data" in str(expected):
        expected = ["jobs[0].command: there is no user data 'x'; known: nest"]
    assert texts(check(tree)) == expected


# ── dependencies ─────────────────────────────────────────────────────────────


def test_jobs_that_wait_for_the_same_group_wait_for_one_barrier() -> None:
    found = draft(
        {
            "jobs": [
                *(job(f"a{n}") for n in range(3)),
                job("b", depends_on_regexes=["^a"]),
                job("c", depends_on_regexes=["^a\\d$"], depends_on=["b", "a0"]),
                job("d", depends_on=["a2", "a1"]),
                job("e", depends_on=["a1", "a2"]),
                job("lone", depends_on_regexes=["^[bc]$"]),
            ]
        }
    )
    assert found.barriers == [(0, 1, 2), (1, 2)]
    assert [(j.name, j.after, j.depends_on) for j in found.jobs[3:]] == [
        ("b", (0,), ()),
        ("c", (0,), (3,)),
        ("d", (1,), ()),
        ("e", (1,), ()),
        ("lone", (), (3, 4)),
    ]


def test_a_thousand_after_a_thousand_are_one_barrier() -> None:
    found = draft(
        {
            "jobs": [
                job("a_{i}", parameters={"i": "1:1000"}),
                job("b_{i}", parameters={"i": "1:1000"}, depends_on_regexes=["^a_"]),
            ]
        }
    )
    assert found.barriers == [tuple(range(1000))]
    assert all(j.after == (0,) and not j.depends_on for j in found.jobs[1000:])


def test_a_thousand_readers_of_a_thousand_files_share_one_list() -> None:
    found = draft(
        {
            "files": [{"name": "f_{i}", "path": "p{i}", "parameters": {"i": "1:1000"}}],
            "jobs": [job("b_{i}", parameters={"i": "1:1000"}, input_file_regexes=["^f_"])],
        }
    )
    assert found.jobs[0].input_files == tuple(range(1000))
    assert len({id(j.input_files) for j in found.jobs}) == 1


WAITS = st.fixed_dictionaries(
    {
        "depends_on": st.lists(st.sampled_from(["a1", "a2", "a3", "b1", "b2"]), max_size=3),
        "depends_on_regexes": st.lists(
            st.sampled_from(["^a", "a[12]", "1$", "^b", "^[ab]1$", "a1|b2"]), max_size=2
        ),
    }
)


@given(st.lists(WAITS, max_size=6))
def test_barriers_and_dependencies_mean_what_names_and_patterns_say(
    written: list[dict[str, list[str]]],
) -> None:
    roots = ["a1", "a2", "a3", "b1", "b2"]
    consumers = {f"c_{'xyz'[n % 3]}{'pq'[n // 3]}": keys for n, keys in enumerate(written)}
    jobs = [job(name) for name in roots] + [job(n, **keys) for n, keys in consumers.items()]
    found = draft({"jobs": jobs})
    expected = {
        name: {
            other
            for other in roots
            if other in keys["depends_on"]
            or any(re.search(pattern, other) for pattern in keys["depends_on_regexes"])
        }
        for name, keys in consumers.items()
    }
    assert waits(found) == expected | {name: set() for name in roots}
    for group in found.barriers:
        users = [j for j in found.jobs if group in [found.barriers[index] for index in j.after]]
        assert len(group) > 1
        assert len(users) > 1
    for j in found.jobs:
        behind = {number for index in j.after for number in found.barriers[index]}
        assert not behind & set(j.depends_on)


CYCLES: list[tuple[list[dict[str, Any]], str]] = [
    ([job("a", depends_on=["a"])], "jobs[0]: these wait for each other: a -> a"),
    (
        [
            job("start"),
            job("a", depends_on=["c", "start"]),
            job("b", depends_on=["a"]),
            job("c", depends_on=["b"]),
            job("end", depends_on=["c"]),
        ],
        "jobs[1]: these wait for each other: a -> b -> c -> a",
    ),
    (
        [
            job("a", input_files=["out"], output_files=["in"]),
            job("b", "x ${files.input.in} ${files.output.out}"),
        ],
        "jobs[0]: these wait for each other: a -> (file in) -> b -> (file out) -> a",
    ),
    (
        [job("a", input_user_data=["u"]), job("b", depends_on=["a"], output_user_data=["u"])],
        "jobs[0]: these wait for each other: a -> b -> (user data u) -> a",
    ),
    (
        [
            job("p1", depends_on=["x1"]),
            job("p2"),
            job("x1", depends_on_regexes=["^p"]),
            job("x2", depends_on_regexes=["^p"]),
        ],
        "jobs[0]: these wait for each other: p1 -> x1 -> p1",
    ),
    (
        [job(f"j{n:02d}", depends_on=[f"j{(n - 1) % 40:02d}"]) for n in range(40)],
        ("jobs[0]: these wait for each other: j00 -> j01 -> j02 -> j03 -> j04 -> j05 -> j06 -> j07 "
        "-> j08 -> j09 -> (29 more) -> j39 -> j00"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("jobs", "expected"), CYCLES)
def test_a_cycle_is_printed_as_the_way_round(jobs: list[dict[str, Any]], expected: str) -> None:
    tree = {"files": FILES, "user_data": [{"name": "u"}], "jobs": jobs}
    assert texts(check(tree)) == [f"{expected}; leave out one of these dependencies"]


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"input_files": ["in"], "output_files": ["in"]}, "file 'in'"),
        ({"command": "${files.input.in} ${files.output.in}"}, "file 'in'"),
        ({"input_user_data": ["u"], "output_user_data_regexes": ["u"]}, "user data 'u'"),
    ],
)
def test_a_job_that_reads_what_it_writes_is_one_fault(keys: dict[str, Any], what: str) -> None:
    tree = {"files": FILES, "user_data": [{"name": "u"}], "jobs": [job("a", **keys)]}
    assert only_error(tree).message == f"job 'a' has the {what} as input and as output"


def test_a_job_longer_than_the_allocations_it_is_bound_to_is_told_with_numbers() -> None:
    tree = {
        "resource_requirements": [
            {"name": "long", "num_cpus": 1, "memory": "1g", "runtime": "PT5H"}
        ],
        "slurm_schedulers": [
            {"name": "short", "account": "a", "walltime": "04:00:00"},
            {"name": "endless", "account": "a", "walltime": "UNLIMITED"},
        ],
        "jobs": [
            job("{i}", resource_requirements="long", scheduler="short", parameters={"i": "1:9"}),
            job("b", resource_requirements="long", scheduler="endless"),
            job("c", resource_requirements="long"),
            job("d", scheduler="short"),
        ],
    }
    assert texts(check(tree)) == [
        (
            "jobs[0].scheduler: job '1' may run PT5H (requirement 'long'), longer than the "
            "walltime 04:00:00 of scheduler 'short'; write walltime: '05:00:00' or more, "
            "or a shorter runtime"
        )
    ]
