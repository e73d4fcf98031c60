"""Argument lists and environments, exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.slurm import commands

MOMENT = 1795171838.0  # 2026-11-20T10:50:38Z


def test_the_queue_is_asked_for_many_ids_in_one_call() -> None:
    assert commands.squeue([3, 7]) == [
        *("squeue", "--noheader", "--all", "--states=all"),
        *("--format", "%A|%T|%V|%S|%e|%N|%r|%j", "--jobs", "3,7"),
    ]


def test_the_callers_names_are_asked_of_the_queue() -> None:
    assert commands.squeue_names()[-2:] == ["%A|%V|%j|%k", "--me"]


def test_accounting_is_asked_for_allocations_since_a_moment() -> None:
    assert commands.sacct([3, 7], MOMENT) == [
        *("sacct", "--noheader", "--parsable2", "--allocations", "--format"),
        "JobIDRaw,State,Submit,Start,End,ElapsedRaw,Timelimit,NodeList,JobName",
        *("--starttime", "2026-11-20T10:50:38", "--jobs", "3,7"),
    ]


def test_names_are_asked_of_accounting_for_one_user_only() -> None:
    assert commands.sacct_names(MOMENT, 1000)[-4:] == [
        *("--starttime", "2026-11-20T10:50:38"),
        *("--user", "1000"),
    ]


def test_a_moment_before_the_epoch_is_the_epoch() -> None:
    assert "1970-01-01T00:00:00" in commands.sacct([1], -7200.0)


def test_cancelling_names_every_id() -> None:
    assert commands.scancel([3, 7]) == ["scancel", "3", "7"]


@pytest.mark.parametrize(
    "columns",
    [
        commands.QUEUE,
        commands.QUEUE_NAMES,
        commands.ACCOUNT,
        commands.ACCOUNT_NAMES,
        commands.PARTITIONS,
    ],
)
def test_no_format_asks_for_an_exit_code_and_names_come_last(columns: commands.Columns) -> None:
    """Accounting prints 0:0 for an exit status of 128 and for every timeout."""
    names = [name for _, name in columns]
    assert not any("exit" in code.lower() for code, _ in columns)
    assert names[-1] in {"name", "comment", "gres"}
    assert len(set(names)) == len(names)


@given(st.sets(st.integers(1, 2**31), max_size=300), st.integers(11, 400))
def test_chunks_hold_every_id_once_in_order_and_none_is_too_long(ids: set[int], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "ARGUMENT_BYTES", most)
        chunks = list(commands.chunks(ids))
    assert [number for chunk in chunks for number in chunk] == sorted(ids)
    assert all(chunk for chunk in chunks)
    assert all(len(",".join(map(str, chunk))) < most for chunk in chunks)


def test_no_ids_are_no_calls() -> None:
    assert list(commands.chunks([])) == []


# ── environments ─────────────────────────────────────────────────────────────

OUTSIDE = {
    "PATH": "/bin",
    "TZ": "Europe/Berlin",
    "LC_ALL": "de_DE.UTF-8",
    "SLURM_CONF": "/etc/slurm/slurm.conf",
    "SLURM_CLUSTERS": "main",
    "SLURM_MPI_TYPE": "pmix",
}
OPTIONS = {
    "SQUEUE_FORMAT": "%i",
    "SACCT_FORMAT": "jobid",
    "SINFO_FORMAT": "%P",
    "SBATCH_ACCOUNT": "other",
    "SBATCH_PARTITION": "other",
    "SCANCEL_STATE": "pending",
    "SLURM_TIME_FORMAT": "%s",
}
OF_THE_JOB = {
    "SLURM_JOB_ID": "12",
    "SLURM_MEM_PER_CPU": "300",
    "SLURM_CPUS_PER_TASK": "3",
    "SLURM_NTASKS": "1",
    "SLURM_STEP_GPUS": "0",
    "SLURMD_NODENAME": "n1",
    "PMIX_RANK": "0",
    "CUDA_VISIBLE_DEVICES": "0",
}


def test_options_hidden_in_the_environment_never_reach_slurm() -> None:
    assert commands.submit_environment(OUTSIDE | OPTIONS) == OUTSIDE


def test_what_a_job_submits_is_not_marked_as_its_workers_own() -> None:
    assert commands.submit_environment(OUTSIDE | {commands.LAUNCHER_MARK: "0a1b"}) == OUTSIDE


def test_questions_are_asked_in_slurms_own_words_and_in_the_users_time_zone() -> None:
    assert commands.clean_environment(OUTSIDE | OPTIONS) == OUTSIDE | {"LC_ALL": "C"}


def test_a_job_keeps_the_language_of_who_submits_it() -> None:
    assert commands.submit_environment(OUTSIDE)["LC_ALL"] == "de_DE.UTF-8"


def test_inside_an_allocation_only_the_way_to_the_cluster_is_kept() -> None:
    inside = OUTSIDE | OF_THE_JOB
    kept = {"PATH", "TZ", "LC_ALL", "SLURM_CONF", "SLURM_CLUSTERS"}
    assert set(commands.submit_environment(inside)) == kept


def test_outside_an_allocation_the_users_devices_and_choices_are_kept() -> None:
    mine = OUTSIDE | {"CUDA_VISIBLE_DEVICES": "0"}
    assert commands.submit_environment(mine) == mine
