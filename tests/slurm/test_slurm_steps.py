"""Steps: the calls as tables, and the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factories import a_need

from slurmtorc.model import Habits, SlurmState, StepEntry
from slurmtorc.slurm import steps
from slurmtorc.slurm.steps import Step

RECORDED = Path(__file__).parent.parent / "recorded"
ALWAYS = {"--quiet", "--wait=0", "--kill-on-bad-exit=0", "--export=ALL", "--ntasks-per-node=1"}


def call(**values: Any) -> list[str]:
    given: dict[str, Any] = {
        "slurm_job_id": 7,
        "name": "wf1_j2_r3_a4",
        "argv": ("bash", "-c", "exec true"),
        "need": a_need(num_cpus=4, memory="2g"),
    }
    return steps.srun(Step(**given | values))


@pytest.mark.parametrize(
    ("values", "wanted", "absent"),
    [
        ({}, {"--jobid=7", "--job-name=wf1_j2_r3_a4", "--exact", "--cpus-per-task=4",
              "--mem=2048M", "--gres=none", "--nodes=1", "--ntasks=1"},
         {"--overlap", "--time", "--signal", "--nodelist", "--cpu-bind"}),
        ({"need": a_need(num_gpus=2)}, {"--gres=gpu:2"}, {"--gres=none"}),
        ({"need": a_need(num_nodes=3), "nodes": ("n1", "n2", "n3")},
         {"--nodes=3", "--ntasks=3", "--nodelist=n1,n2,n3"}, set()),
        ({"need": a_need(memory="1k")}, {"--mem=1M"}, set()),
        ({"need": None}, {"--overlap", "--mem=0", "--nodes=1", "--gres=none"},
         {"--exact", "--cpus-per-task"}),
        ({"minutes": 5, "signal": "TERM@120", "bind": "none"},
         {"--time=5", "--signal=TERM@120", "--cpu-bind=none"}, set()),
    ],
)  # fmt: skip
def test_a_step_is_asked_for(values: dict[str, Any], wanted: set[str], absent: set[str]) -> None:
    argv = call(**values)
    assert argv[0] == "srun"
    assert argv[-3:] == ["bash", "-c", "exec true"]
    assert wanted | ALWAYS <= set(argv)
    assert not absent & {option.partition("=")[0] for option in argv} - wanted


@pytest.mark.parametrize(
    ("end", "headroom", "minutes"),
    [(None, 60, None), (1660.0, 60, 10), (1659.0, 60, 9), (1100.0, 60, 1), (900.0, 60, 1)],
)
def test_a_steps_limit_is_what_is_left_of_its_allocation(
    end: float | None, headroom: float, minutes: int | None
) -> None:
    assert steps.minutes_left(end, headroom, 1000.0) == minutes


def test_questions_name_the_allocation() -> None:
    assert steps.squeue(9)[-4:] == ["--jobs", "9", "--format", "%i|%j"]
    assert steps.sacct(9)[-2:] == ["--jobs", "9"]
    assert steps.scancel(["9.0", "9.3"], 15) == ["scancel", "--signal=15", "9.0", "9.3"]
    assert steps.ids("9.batch|batch\n9.3|wf1_j1_r1_a1\n9.4|a|b\n") == {
        "wf1_j1_r1_a1": "9.3",
        "a|b": "9.4",
    }


PRINTED = """\
2.batch|RUNNING||||||n1|batch
2.extern|RUNNING||||||n1|extern
2.0|COMPLETED|50331648|52000000|8M|0|01:02:03|n[1-2]|ok
2.1|FAILED||||||n1|exits
2.2|CANCELLED||||||n1|killed
2.3|CANCELLED||||||n1|segv
2.6|CANCELLED by 0||||||n1|canceled
2.7|CANCELLED|1660|||||n1|terminated
2.8|TIMEOUT|1664K|7280K|0.01M|0|00:00.003|n1|limit
2.9|RUNNING||||||n1|runs
2|CANCELLED by 0|||||||
"""
"""States as 22.05 printed them for steps that ended so; sizes in every form it knows."""


def entry(name: str) -> StepEntry:
    return steps.entries(PRINTED)[name]


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("ok", SlurmState.COMPLETED),
        ("exits", SlurmState.FAILED),
        ("killed", SlurmState.FAILED),
        ("segv", SlurmState.FAILED),
        ("terminated", SlurmState.FAILED),
        ("canceled", SlurmState.CANCELLED),
        ("limit", SlurmState.TIMEOUT),
        ("runs", None),
    ],
)
def test_only_what_somebody_ended_is_canceled(name: str, state: SlurmState | None) -> None:
    """A segmentation fault is CANCELLED in Slurm's words, as is every end by a signal."""
    assert entry(name).state is state


def test_a_steps_account_is_read() -> None:
    assert entry("ok") == StepEntry(
        name="ok",
        step="0",
        state=SlurmState.COMPLETED,
        max_rss_bytes=48 * 1024**2,
        max_vm_size_bytes=52_000_000,
        max_disk_read_bytes=8_388_608,
        max_disk_write_bytes=0,
        ave_cpu_seconds=3723.0,
        nodes="n[1-2]",
    )
    assert entry("exits").max_rss_bytes is None
    assert "batch" not in steps.entries(PRINTED)


@pytest.mark.parametrize("version", ["22.05", "24.11", "26.05"])
def test_a_clusters_habits_are_read(version: str) -> None:
    text = (RECORDED / version / "config.txt").read_text()
    assert steps.habits(text).kill_wait_s > 0


def test_habits_that_are_not_told_are_slurms_own() -> None:
    assert steps.habits("") == Habits(kill_wait_s=30.0, binds_cpus=True, keeps_accounts=True)
    text = "KillWait = 2 sec\nTaskPlugin = task/none\nAccountingStorageType = (null)\n"
    assert steps.habits(text) == Habits(kill_wait_s=2.0, binds_cpus=False, keeps_accounts=False)
