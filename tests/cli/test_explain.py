"""`torc explain`, on stores in every state, without a Slurm: it says why, and changes nothing."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from factories import PLENTY, a_draft, a_job, a_need, a_node, a_report, a_scheduler, an_allocation

import slurmtorc
from slurmtorc.cli import torc as group
from slurmtorc.model import (
    ActionType,
    Decision,
    DraftAction,
    Ending,
    FailureHandler,
    JobStatus,
    TriggerType,
    WatchState,
)
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torc import Torc

URL = "torc_output/torc.db"
NEEDS = [a_need("small"), a_need("huge", num_cpus=64, memory="1g", runtime="PT2H")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    (tmp_path / "torc_output").mkdir()
    opened = SqlStore(f"sqlite:///{tmp_path}/{URL}")
    yield opened
    opened.close()


def dump(torc: Torc) -> list[str]:
    """Everything that is in the store's file."""
    with sqlite3.connect(torc.folder / URL) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return lines


def rules(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [reason["rule"] for reason in answer["reasons"]]


def chain_draft(**values: object) -> object:
    jobs = (
        a_job("one", requirement=0), a_job("two", 0, requirement=0), a_job("three", 1),
        a_job("big", requirement=1),
    )  # fmt: skip
    return a_draft(*jobs, requirements=NEEDS, **values)


# ── one job ──────────────────────────────────────────────────────────────────


def test_a_job_is_named_by_its_name_or_its_id(torc: Torc, store: SqlStore) -> None:
    store.initialize(store.create(chain_draft()))
    for arguments in (("1", "two"), ("1", "2"), ("--job-id", "2"), ("1", "-j", "2")):
        assert "Job 2 (two) of workflow 1 is blocked" in torc("explain", *arguments).out
    store.create(a_draft("2"))
    assert "Job 5 (2) of workflow 2 is uninit" in torc("explain", "2", "2").out
    assert "has no job 'nosuch'" in torc("explain", "1", "nosuch", code=1).one_line()
    assert "workflow 2, not 1" in torc("explain", "1", "-j", "5", code=2).one_line()
    for wrong in ((), ("1", "two", "--job-id", "2")):
        assert "say which" in torc("explain", *wrong, code=2).one_line()
    assert "there is no workflow 99" in torc("explain", "99", "x", code=1).one_line()
    assert "there is no workflow 99" in torc("explain", "99", code=1).one_line()
    assert "there is no job 99" in torc("explain", "--job-id", "99", code=1).one_line()


def test_a_blocked_job_names_the_first_of_its_longest_chain(torc: Torc, store: SqlStore) -> None:
    store.initialize(store.create(chain_draft()))
    answer = torc("explain", "1", "three", "-f", "json").json
    assert rules(answer) == ["blocked", "chain"]
    assert answer["reasons"][1]["numbers"] == {"length": 2, "job_id": 1, "status": "ready"}
    assert "one -> two -> three" in answer["reasons"][1]["text"]


def test_a_ready_job_is_held_against_what_the_worker_has(torc: Torc, store: SqlStore) -> None:
    store.initialize(store.create(chain_draft()))
    assert "nobody will ever run it" in torc("explain", "1", "big").out
    store.register(a_node(1, num_cpus=4, memory_bytes=1 << 29))
    said = torc("explain", "1", "big", "-f", "json").json
    assert rules(said) == ["ready", "fits_not", "nobody"]
    assert said["reasons"][1]["numbers"]["misfits"] == [
        "64 CPUs of 4",
        "1 GiB of memory of 512 MiB",
    ]
    assert rules(torc("explain", "1", "one", "-f", "json").json) == ["ready", "room"]


def test_a_claimed_and_a_running_job_name_their_worker(torc: Torc, store: SqlStore) -> None:
    store.initialize(store.create(chain_draft()))
    node = store.register(a_node(1, output_dir="/out", lease_until=2e9))
    (claim,) = store.claim(node.id, a_capacity(), 1)
    assert rules(torc("explain", "1", "one", "-f", "json").json) == ["claimed"]
    store.start(node.id, [claim.job_id])
    running = torc("explain", "1", "one", "-f", "json").json
    assert rules(running) == ["running"]
    assert running["stdout_path"] == "/out/job_stdio/job_wf1_j1_r1_a1.o"
    store.heartbeat(node.id, 1.0)
    assert "worker_silent" in rules(torc("explain", "1", "one", "-f", "json").json)


def a_capacity() -> object:
    from dataclasses import replace

    return replace(PLENTY, cpus=1)


def test_a_failed_job_tells_its_attempts_its_handler_and_its_last_words(
    torc: Torc, store: SqlStore
) -> None:
    handler = FailureHandler(name="again", rules=({"exit_codes": [152], "max_retries": 2},))
    job = a_job("one", requirement=0, failure_handler=0)
    after = a_job("after", 0)
    draft = a_draft(job, after, requirements=NEEDS, failure_handlers=[handler])
    store.initialize(store.create(draft))
    node = store.register(a_node(1))
    for again in (True, False):
        (claim,) = store.claim(node.id, PLENTY, 1)
        store.start(node.id, [claim.job_id])
        report = a_report(
            claim, return_code=152, status=JobStatus.TERMINATED, ending=Ending.TIMEOUT,
            stderr_tail="Traceback (most recent call last):\nImportError: no x\n",
            stderr_path="/out/e", again=again,
        )  # fmt: skip
        store.complete(node.id, [report])
    answer = torc("explain", "1", "one", "-f", "json").json
    assert rules(answer) == [
        "ended_timeout", "likely_ended_for_time", "handler", "attempt", "again", "stderr",
    ]  # fmt: skip
    texts = [reason["text"] for reason in answer["reasons"]]
    assert "return code 152: it was stopped because its time was over" in texts[0]
    assert "rules[0] allows 2 attempts, and this was the last (failure handler 'again')" in texts[2]
    assert "attempt 1: terminated" in texts[3]
    assert "Python did not find a module" in texts[5]
    shown = torc("explain", "1", "one").out
    assert "  stderr: /out/e\n  | Traceback" in shown
    canceled = torc("explain", "1", "after", "-f", "json").json
    assert rules(canceled) == ["canceled_by"]
    assert (
        "one is terminated, and so it was canceled: one -> after" in canceled["reasons"][0]["text"]
    )


# ── a workflow ───────────────────────────────────────────────────────────────


def test_a_workflow_on_one_page(torc: Torc, store: SqlStore) -> None:
    scheduler = a_scheduler("wide", cpus_per_task=4, mem="1g", walltime="01:00:00")
    action = DraftAction(
        trigger_type=TriggerType.ON_JOBS_READY, action_type=ActionType.SCHEDULE_NODES,
        scheduler=0, jobs=(0,),
    )  # fmt: skip
    store.initialize(store.create(chain_draft(schedulers=[scheduler], actions=[action])))
    store.hold_watch(
        WatchState(workflow_id=1, holder="x", hostname="login1", pid=3, lease_until=2e9)
    )
    store.note_decisions(
        [Decision(workflow_id=1, decision="wait", reason="2 allocations wait", numbers={"n": 2})]
    )
    (intent,) = store.intend([an_allocation(1, "t1", scheduler_config_id=1)])
    store.closed(intent.id, "Slurm refused the allocation: no such account")
    out = torc("explain", "1").out
    for said in (
        "Workflow 1 (test), run 1, has 4 of 4 jobs to finish: 2 blocked, 2 ready",
        "1 ready job is run by nobody as things stand (big)",
        "try: torc slurm regenerate 1 --submit",
        "1 of 'small' (1 CPU, 1 MiB, 1:00 of time; one): action 1 (on_jobs_ready) asks for nodes",
        "2 jobs are blocked; the longest chain left has 3 jobs: one -> two -> three",
        "1 allocation is over: Slurm refused the allocation: no such account",
        "it is watched on login1 by process 3",
        "wait, because 2 allocations wait (n 2)",
    ):
        assert said in out
    answer = torc("explain", "1", "-f", "json").json
    assert answer["jobs_by_status"] == {"blocked": 2, "ready": 2}
    titles = [section["title"] for section in answer["sections"]]
    assert titles[0] == "What is in the way"
    assert titles[-1] == "The watch"


def test_without_slurm_the_last_word_of_the_queue_is_told(torc: Torc, store: SqlStore) -> None:
    from dataclasses import replace

    from slurmtorc.model import SlurmState

    scheduler = a_scheduler("wide", cpus_per_task=80, mem="2000", walltime="04:00:00")
    store.initialize(store.create(chain_draft(schedulers=[scheduler])))
    (intent,) = store.intend([an_allocation(1, "t1", scheduler_config_id=1)])
    known = store.submitted(intent.id, 4711)
    store.observe([replace(known, slurm_state=SlurmState.PENDING, slurm_reason="Priority")])
    torc.env["PATH"] = "/nowhere"
    answer = torc("explain", "1", "big", "-f", "json").json
    assert rules(answer) == ["ready", "allocation_waits", "slurm_silent"]
    assert "jobs of higher priority are before it" in answer["reasons"][1]["text"]
    assert "PATH" in answer["reasons"][2]["text"]


# ── what it advises ──────────────────────────────────────────────────────────

ADVISERS = ("rules/explaining", "rules/finishing", "rules/offers", "rules/reasons", "slurm/logs")
ADVICE = re.compile(r"torc ((?:[a-z]+(?:-[a-z]+)*(?= |\W))(?: [a-z]+(?:-[a-z]+)*)*)([^'\"()…]*)")


def advice() -> set[tuple[str, str]]:
    """(words, the rest) of every command that the program's sentences name."""
    package = Path(slurmtorc.__file__).parent
    texts = [(package / f"{name}.py").read_text() for name in ADVISERS]
    found = (match for text in texts for match in ADVICE.finditer(text))
    return {(match[1], match[2].partition("   or")[0]) for match in found}


@pytest.mark.parametrize(("words", "rest"), sorted(advice()))
def test_every_command_that_is_advised_exists_with_its_options(words: str, rest: str) -> None:
    command: click.Command | None = group
    for word in words.split():
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
            assert command is not None, f"torc {words}"
    assert command is not None
    known = {name for option in command.params for name in option.opts}
    assert set(re.findall(r"--[a-z-]+", rest)) <= known


# ── it changes nothing ───────────────────────────────────────────────────────


def test_explaining_and_reporting_change_nothing(torc: Torc, store: SqlStore) -> None:
    store.initialize(store.create(chain_draft()))
    node = store.register(a_node(1, lease_until=1.0))
    (claim,) = store.claim(node.id, a_capacity(), 1)
    store.start(node.id, [claim.job_id])
    store.closed(store.intend([an_allocation(1, "t1")])[0].id, "over")
    before = dump(torc)
    for command in (
        ("explain", "1"), ("explain", "1", "one"), ("explain", "1", "three"),
        ("explain", "1", "big"), ("slurm", "sacct", "1"), ("slurm", "stats", "1"),
        ("slurm", "usage", "1"), ("slurm", "parse-logs", "1"), ("logs", "analyze", "torc_output"),
        ("results", "list", "1", "--all-runs"), ("workflows", "check-resources", "1", "--all"),
    ):  # fmt: skip
        torc(*command)
        torc(*command, "-f", "json")
        assert dump(torc) == before, command
