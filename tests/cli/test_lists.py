"""Lists and single records: tables for people, JSON alone for programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torc import Torc

SPEC = """\
name: lists
description: for looking at
jobs:
  - {name: good, command: "echo out; echo err >&2", priority: 2}
  - {name: bad, command: "exit 4"}
  - {name: after, command: "true", depends_on: [bad]}
"""


@pytest.fixture
def ran(torc: Torc) -> Torc:
    torc("run", torc.write("lists.yaml", SPEC))
    return torc


@pytest.mark.parametrize(
    ("arguments", "resource", "count"),
    [
        (("workflows", "list"), "workflows", 1),
        (("jobs", "list", "1"), "jobs", 3),
        (("jobs", "list", "1", "--status", "failed", "-s", "canceled"), "jobs", 2),
        (("results", "list", "1"), "results", 2),
        (("results", "list", "1", "--failed"), "results", 1),
        (("results", "list", "1", "--return-code", "4", "--job-id", "2"), "results", 1),
        (("allocations", "list", "1"), "scheduled_compute_nodes", 0),
        (("scheduled-compute-nodes", "list", "1"), "scheduled_compute_nodes", 0),
    ],
)
def test_lists_stand_under_both_keys(
    ran: Torc, arguments: tuple[str, ...], resource: str, count: int
) -> None:
    for given in (("-f", "json", *arguments), (*arguments, "--format", "json")):
        answer = ran(*given).json
        assert set(answer) == {"items", resource}
        assert answer["items"] == answer[resource]
        assert len(answer["items"]) == count


def test_tables_show_the_same(ran: Torc) -> None:
    out = ran("jobs", "list", "1").out
    for word in ("good", "bad", "after", "completed", "failed", "canceled", "Total: 3"):
        assert word in out
    assert re.search(r"bad.*4.*failed.*exit", ran("results", "list", "1").out)
    assert "No allocations found." in ran("allocations", "list", "1").out
    assert "lists" in ran("workflows", "list").out
    assert "No workflows found." in ran("workflows", "list", "--user", "somebody-else").out


def test_pages_and_order(ran: Torc) -> None:
    page = ran("jobs", "list", "1", "-l", "2", "--offset", "1", "--sort-by", "name", "-f", "json")
    assert [job["name"] for job in page.json["items"]] == ["bad", "good"]
    first = ran("jobs", "list", "1", "--limit", "1", "--reverse-sort")
    assert "1 of 3; the next ones: --offset 1" in first.err
    said = ran("jobs", "list", "1", "--sort-by", "colour", code=1).one_line()
    assert "'colour' is no field; fields: id, workflow_id, name" in said


def test_single_records(ran: Torc) -> None:
    workflow = ran("workflows", "get", "1", "-f", "json").json
    assert (workflow["name"], workflow["run_id"]) == ("lists", 1)
    assert workflow["submission_directory"] == str(ran.folder)
    job = ran("jobs", "get", "3", "-f", "json").json
    assert (job["status"], job["depends_on_job_ids"]) == ("canceled", [2])
    assert re.search(r"status +canceled", ran("jobs", "get", "3").out)


def test_the_output_of_a_job(ran: Torc) -> None:
    assert ran("jobs", "logs", "1").out == "out\n"
    assert ran("jobs", "logs", "1", "--stderr").out == "err\n"
    path = f"{ran.folder}/torc_output/job_stdio/job_wf1_j1_r1_a1.o"
    assert ran("jobs", "logs", "1", "--path").out == f"{path}\n"
    assert ran("jobs", "logs", "1", "-f", "json").json["path"] == path
    assert "no attempt of job 3 has ended" in ran("jobs", "logs", "3", code=1).one_line()
    assert "no attempt 2 of job 1" in ran("jobs", "logs", "1", "-a", "2", code=1).one_line()


def test_status_and_completeness(ran: Torc) -> None:
    status = ran("status", "1", "-f", "json").json
    assert (status["total_jobs"], status["is_complete"]) == (3, True)
    assert status["jobs_by_status"]["canceled"] == 1
    assert ran("workflows", "is-complete", "1", "-f", "json").json == {
        "is_complete": True,
        "is_canceled": False,
    }
    ran("create", "lists.yaml")
    assert "is_complete: False" in ran("workflows", "is-complete", "2", code=1).out


def test_create_says_its_id(torc: Torc) -> None:
    file = torc.write("lists.yaml", SPEC)
    answer = torc("create", file, "-f", "json").json
    assert answer == {"workflow_id": 1, "status": "success", "message": "created with 3 jobs"}
    assert torc("workflows", "create", file).out == "Created workflow 2\n"


def test_cancel_and_delete(torc: Torc) -> None:
    torc("create", torc.write("lists.yaml", SPEC))
    torc("create", "lists.yaml")
    assert "Canceled workflow 1: 0 jobs, 0 allocations" in torc("cancel", "1").out
    assert "was canceled" in torc("run", "1", code=1).one_line()
    assert torc("workflows", "delete", "1", stdin="n\n").out == ""
    assert "Deleted workflows 1" in torc("workflows", "delete", "1", stdin="y\n").out
    assert "no workflow 99" in torc("workflows", "delete", "2", "99", "--no-prompts", code=1).err
    answer = torc("workflows", "delete", "2", "--no-prompts", "-f", "json").json
    assert answer == [{"id": 2, "deleted": True}]
    assert torc("workflows", "list", "-f", "json").json["items"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "99"), ("cancel", "99"), ("run", "99"), ("submit", "99"), ("watch", "99"),
        ("jobs", "list", "99"), ("results", "list", "99"), ("allocations", "list", "99"),
        ("workflows", "get", "99"), ("workflows", "is-complete", "99"), ("jobs", "get", "99"),
        ("jobs", "logs", "99"), ("allocations", "get", "99"), ("worker", "99"),
    ],
)  # fmt: skip
def test_unknown_ids_are_one_clear_line(ran: Torc, arguments: tuple[str, ...]) -> None:
    assert "there is no" in ran(*arguments, code=1).one_line()
