"""What Slurm's library is told of a script, and which scripts are for sbatch alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_scheduler, an_allocation
from hypothesis import given
from hypothesis import strategies as st
from pyslurm_fake import NAMES

from slurmtorc.slurm.directives import description
from slurmtorc.slurm.script import render
from slurmtorc.units import format_walltime

if TYPE_CHECKING:
    from slurmtorc.ports import Script


def a_script(defaults: dict[str, Any] | None = None, **values: Any) -> Script:
    given = {"account": "acme", "walltime": "00:05:00", "mem": "50M", "cpus_per_task": 2} | values
    return render(
        scheduler=a_scheduler(**given),
        allocation=replace(an_allocation(7, "tok7"), output_dir="/data/my logs/100%"),
        worker=("true",),
        directory="/data/my work",
        defaults=defaults,
    )


def test_our_own_script_is_told_as_it_stands() -> None:
    script = a_script(partition="debug", qos="high", nodes=2, tmp="3G")
    assert description(script.text) == {
        "script": script.text,
        "name": script.job_name,
        "comment": "tok7",
        "account": "acme",
        "partitions": "debug",
        "qos": "high",
        "time_limit": 5,
        "nodes": 2,
        "ntasks_per_node": 1,
        "ntasks": 2,
        "cpus_per_task": 2,
        "memory_per_node": 50,
        "temporary_disk_per_node": 3072,
        "working_directory": "/data/my work",
        "standard_output": "/data/my logs/100%%/slurm_output_wf7_sl%j.o",
        "standard_error": "/data/my logs/100%%/slurm_output_wf7_sl%j.e",
        "is_requeueable": False,
        "log_files_open_mode": "append",
    }


def test_only_names_that_the_library_has_are_used() -> None:
    script = a_script({"hold": True, "constraint": "bigmem", "reservation": "night"})
    wanted = description(script.text)
    assert wanted is not None
    assert wanted.keys() <= set(NAMES["JobSubmitDescription"].split())
    assert (wanted["priority"], wanted["constraints"]) == (0, "bigmem")
    assert wanted["reservations"] == "night"


@pytest.mark.parametrize(
    "values",
    [
        {"gres": "gpu:2"},
        {"mem": "0"},
        {"mem": "500K"},
        {"walltime": "UNLIMITED"},
        {"cpus_per_task": None},
        {"extra": "--constraint=a --hold"},
        {"extra": "-C bigmem"},
        {"defaults": {"exclusive": True}},
        {"defaults": {"mail-type": "END"}},
        {"defaults": {"signal": "B:USR1@60"}},
        {"defaults": {"hold": "yes"}},
    ],
)
def test_what_the_library_would_read_otherwise_is_for_sbatch(values: dict[str, Any]) -> None:
    script = a_script(
        values.get("defaults"), **{k: v for k, v in values.items() if k != "defaults"}
    )
    assert description(script.text) is None


@pytest.mark.parametrize(
    "line",
    [
        "#PBS -l nodes=3",
        "#BB create_persistent",
        "#SBATCH hetjob",
        "#SBATCH --no-requeue=x",
        "#SBATCH --comment=said-twice",
        "#SBATCH --reservation=night # and a remark",
    ],
)
def test_lines_that_we_do_not_write_are_for_sbatch(line: str) -> None:
    head, _, rest = a_script().text.partition("\n")
    assert description(f"{head}\n{line}\n{rest}") is None


def test_what_follows_the_first_command_is_no_option() -> None:
    text = a_script().text
    wanted = description(text + "#SBATCH --exclusive\n")
    assert wanted is not None
    assert description("#!/bin/bash\n#SBATCH --exclusive\n" + text) is None


@given(seconds=st.integers(1, 40 * 86400))
def test_a_time_limit_is_never_shorter_than_asked_for(seconds: int) -> None:
    wanted = description(a_script(walltime=format_walltime(seconds)).text)
    assert wanted is not None
    assert 0 <= wanted["time_limit"] * 60 - seconds < 60


@given(name=st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30))
def test_a_value_arrives_as_it_was_before_it_was_quoted(name: str) -> None:
    wanted = description(a_script(account=name).text)
    assert wanted is not None
    assert wanted["account"] == name
