"""`torc actions`, and what `torc run` does of a workflow's actions: the real program."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from cluster import eventually

if TYPE_CHECKING:
    from torc import Torc

SPEC = """
name: acts
jobs:
  - {name: a, command: "cat torc_output/ready"}
  - {name: b, command: "true", depends_on: [a]}
actions:
  - {trigger_type: on_workflow_start, action_type: run_commands,
     commands: ["sleep 0.3; echo now > ready"]}
  - {trigger_type: on_jobs_complete, action_type: run_commands, jobs: [a],
     commands: ["echo one", "test -e mended", "echo three"]}
  - {trigger_type: on_worker_complete, action_type: run_commands, commands: ["pwd"]}
  - {trigger_type: on_workflow_complete, action_type: run_commands, commands: ["echo over"]}
"""


def listed(torc: Torc) -> dict[int, dict[str, Any]]:
    found = torc("actions", "list", "1", "-f", "json").json["items"]
    return {one["id"]: one for one in found}


@pytest.fixture
def ran(torc: Torc) -> Torc:
    torc.write("w.yaml", SPEC)
    torc("run", "w.yaml")
    return torc


def test_jobs_find_what_the_start_has_made_and_every_action_tells_what_became_of_it(
    ran: Torc,
) -> None:
    found = listed(ran)
    assert [one["status"] for one in found.values()] == [
        "executed",
        "failed",
        "executed",
        "executed",
    ]
    assert found[2]["why"] == "command 2 of 3 failed with return code 1: test -e mended"
    assert ran("jobs", "logs", "1").out == "now\n"
    assert ran("actions", "logs", "2").out == "$ echo one\none\n$ test -e mended\n"
    assert ran("actions", "logs", "3").out == f"$ pwd\n{ran.folder}/torc_output\n"
    shown = ran("actions", "list", "1").out
    assert "on_workflow_complete" in shown
    assert "1/1" in shown
    assert "action 2 (on_jobs_complete: run_commands) is failed" in ran("explain", "1").out
    why = "command 2 of 3 failed with return code 1: test -e mended"
    do = "see torc actions logs 2; again: torc actions retry 2"
    assert ran("status", "1").err == f"Action 2 (on_jobs_complete) failed: {why}; {do}\n"


def test_a_failed_action_is_retried_by_the_next_worker(ran: Torc) -> None:
    (ran.folder / "torc_output/mended").touch()
    assert "torc run 1" in ran("actions", "retry", "2", "--no-prompts").err
    assert listed(ran)[2]["status"] == "pending"
    ran("run", "1")
    assert listed(ran)[2]["status"] == "executed"
    executions = ran("actions", "get", "2", "-f", "json").json["executions"]
    assert [one["return_code"] for one in executions] == [1, 0]
    assert ran("actions", "logs", "2", "-e", str(executions[0]["id"])).out.count("three") == 0
    assert ran("actions", "logs", "2").out.endswith("three\n")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("retry", "3"), 1, "action 3 is persistent"),
        (("retry", "99"), 1, "there is no action 99"),
        (("get", "99"), 1, "there is no action 99"),
        (("logs", "2", "-e", "77"), 1, "action 2 has no execution 77"),
        (("list", "99"), 1, "there is no workflow 99"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    ran: Torc, words: tuple[str, ...], status: int, said: str
) -> None:
    assert said in ran("actions", *words, code=status).one_line()


KILLED = """
name: killed
jobs: [{name: a, command: "true"}]
actions:
  - {trigger_type: on_workflow_start, action_type: run_commands,
     commands: ["echo $$ > pid; exec sleep 600"]}
"""


@pytest.fixture
def killed(torc: Torc) -> Torc:
    torc.write("w.yaml", KILLED)
    process = torc.start("run", "w.yaml")
    pid_file = torc.folder / "torc_output/pid"
    eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
    pid = int(pid_file.read_text())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))  # noqa: PTH110  a process
    return torc


def test_what_died_with_its_worker_can_be_retried_at_once(killed: Torc) -> None:
    assert killed("actions", "retry", "1").out == "Action 1 is pending again\n"


def test_after_kill_9_the_commands_are_gone_and_the_action_is_lost(killed: Torc) -> None:
    torc = killed
    done = torc("run", "1")
    (action,) = listed(torc).values()
    assert (action["status"], action["executed"]) == ("lost", True)
    said = "Action 1 (on_workflow_start) was lost: "
    assert f"torc: warning: jobs go on although: {said}" in done.err
    assert f"\n{said}" in done.err
    assert "again: torc actions retry 1" in done.err
    assert torc("status", "1", "-f", "json").json["is_complete"]
