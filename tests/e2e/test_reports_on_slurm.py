"""Reports and explanations on a real Slurm cluster: its queue, its accounting, its reasons."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from cluster import eventually

if TYPE_CHECKING:
    from torc import Torc

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

WIDE = """\
name: wide
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT1M}
slurm_schedulers:
  - {name: two, account: sandbox, nodes: 1, walltime: "00:10:00", mem: 500m, cpus_per_task: 2}
actions:
  - {trigger_type: on_workflow_start, action_type: schedule_nodes, scheduler: two}
jobs:
  - {name: "work_{i}", command: sleep 2, resource_requirements: small, parameters: {i: "1:2"}}
  - {name: bad, command: "ls /nosuch", resource_requirements: small}
"""


def dump(torc: Torc) -> list[str]:
    with sqlite3.connect(torc.folder / "torc_output/torc.db") as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


def allocation(torc: Torc) -> dict[str, object]:
    (one,) = torc("allocations", "list", "1", "-f", "json").json["items"]
    return dict(one)


def test_accounting_and_usage_of_a_finished_workflow(torc: Torc) -> None:
    torc("submit", torc.write("wide.yaml", WIDE))
    eventually(lambda: allocation(torc)["status"] == "complete", 90)
    number = allocation(torc)["scheduler_id"]

    def row() -> dict[str, object]:
        found = torc("slurm", "sacct", "1", "-f", "json").json["summary"]
        return dict(found[0]) if found else {}

    eventually(lambda: row().get("state") == "COMPLETED", 60)
    before = dump(torc)
    assert (row()["slurm_job_id"], row()["num_nodes"], row()["cpus"]) == (number, 1, 2)
    assert "batch" in [step["job_step"] for step in row()["steps"]]  # type: ignore[attr-defined]
    torc("slurm", "sacct", "1", "--save-json")
    assert (torc.folder / f"torc_output/sacct_{number}.json").exists()
    usage = torc("slurm", "usage", "1", "-f", "json").json
    assert usage["sources"] == ["accounting"]
    assert usage["node_time_s"] == row()["elapsed_s"] > 0
    assert usage["cpu_time_s"] == 2 * usage["node_time_s"]
    assert usage["attempts"] == 3
    assert 0 < usage["packing_percent"] <= 110  # Slurm counts whole seconds
    issues = torc("slurm", "parse-logs", "1", "-f", "json").json["issues"]
    assert ("File Not Found", "bad") in [(one["category"], one["job_name"]) for one in issues]
    assert "bad (failed, attempt 1)" in torc("explain", "1").out
    assert dump(torc) == before


def test_why_an_allocation_waits_is_told_in_plain_words(torc: Torc) -> None:
    held = WIDE.replace("cpus_per_task: 2}", 'cpus_per_task: 2, extra: "--hold"}')
    torc("submit", torc.write("held.yaml", held))
    before = dump(torc)
    answer = torc("explain", "1", "work_1", "-f", "json").json
    rules = {reason["rule"]: reason["text"] for reason in answer["reasons"]}
    assert "it is held: 'scontrol release' lets it go" in rules["allocation_waits"]
    page = torc("explain", "1").out
    assert "is PENDING in Slurm's queue: it is held" in page
    assert "What is in the way" not in page
    assert dump(torc) == before
    torc("cancel", "1")
    assert "the workflow was canceled" in torc("explain", "1", "work_1").out
