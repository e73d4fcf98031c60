"""Failure handlers, and what people decide afterwards, as a user meets them: by `torc run`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slurmtorc.model import Job, JobStatus, Result
from slurmtorc.ports import Page
from slurmtorc.store.sql import SqlStore
from slurmtorc.worker.monitor import process_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from torc import Torc

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
EVERYTHING = Page(limit=1000)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.02)


def results(folder: Path) -> list[tuple[str, int, int, str]]:
    store = SqlStore(f"sqlite:///{folder}/torc_output/torc.db")
    rows = store.rows(Result, EVERYTHING, superseded=False).items
    store.close()
    return sorted((r.job_name, r.attempt_id, r.return_code, r.ending.value) for r in rows)


def jobs(folder: Path) -> dict[str, tuple[str, int]]:
    store = SqlStore(f"sqlite:///{folder}/torc_output/torc.db")
    found = {j.name: (j.status.word, j.attempt_id) for j in store.rows(Job, EVERYTHING).items}
    store.close()
    return found


@pytest.fixture
def started(torc: Torc) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `torc`; whatever a test leaves running is stopped."""
    made: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        made.append(torc.start(*arguments))
        return made[-1]

    yield start
    for process in made:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


# ── the examples ─────────────────────────────────────────────────────────────


@pytest.fixture
def examples(torc: Torc) -> Torc:
    shutil.copytree(ROOT / "examples", torc.folder / "examples")
    return torc


def codes(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, _, code, _ in results(folder):
        found.setdefault(name, []).append(code)
    return found


def test_newtons_method_is_healed_by_its_script(examples: Torc) -> None:
    examples("run", "examples/failure_handlers.yaml", "--fail-on-error")
    assert codes(examples.folder) == {
        "starts": [12, 0],
        "root_2": [0],
        "root_3": [10, 0],
        "root_12": [10, 10, 0],
        "report": [0],
    }
    output = examples.folder / "torc_output"
    found = json.loads((output / "newton/12.json").read_text())
    assert (found["root"], found["step"], found["attempts"]) == (1.0, 0.0625, 3)
    script = output / "job_stdio/job_wf1_j4_r1_a2_recovery.o"
    assert script.read_text() == "root_12, attempt 2: exit code 10\nstep: 0.25 -> 0.0625\n"
    assert (output / "job_stdio/job_wf1_j4_r1_a1.e").read_text().startswith("diverged after")


def test_the_sweep_comes_to_its_end_by_itself(examples: Torc) -> None:
    examples("run", "examples/failure_handler_sweep.yaml", "--fail-on-error")
    assert codes(examples.folder) == {
        "simulate_m0_s0": [0],
        "simulate_m0_s1": [10, 0],
        "simulate_m0_s2": [11, 10, 0],
        "simulate_m1_s0": [12, 10, 0],
        "simulate_m1_s1": [10, 10, 0],
        "simulate_m1_s2": [10, 10, 0],
        "simulate_m2_s0": [10, 0],
        "simulate_m2_s1": [10, 10, 0],
        "simulate_m2_s2": [10, 10, 0],
        "aggregate_results": [0],
    }
    table = (examples.folder / "torc_output/heat.md").read_text().splitlines()
    assert len(table) == 2 + 9


# ── a worker that dies ───────────────────────────────────────────────────────

RECOVERED = """\
name: recovered
failure_handlers:
  - name: h
    rules:
      - exit_codes: [10]
        recovery_script: |
          echo $$ > script; until test -e go; do sleep 0.05; done; touch healed
jobs:
  - {name: a, command: "test -e healed || exit 10; echo ran >> log", failure_handler: h}
  - {name: b, command: "echo ran >> log", depends_on: [a]}
"""


def test_a_worker_killed_during_a_recovery_loses_nothing(
    torc: Torc, started: Callable[..., subprocess.Popen[str]]
) -> None:
    torc.write("w.yaml", RECOVERED)
    process = started("run", "w.yaml")
    pid = torc.folder / "script"
    wait_until(lambda: pid.exists() and pid.read_text() != "", "the script starts")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    first = int(pid.read_text())
    wait_until(lambda: process_of(first) is None, "the script ends with its worker")
    assert jobs(torc.folder) == {"a": ("running", 1), "b": ("blocked", 1)}
    (torc.folder / "script").unlink()
    second = started("run", "1", "--fail-on-error")
    wait_until(lambda: pid.exists() and pid.read_text() != "", "the script starts again")
    (torc.folder / "go").touch()
    _, err = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, err
    assert results(torc.folder) == [
        ("a", 1, -128, "orphaned"), ("a", 2, 10, "exit"), ("a", 3, 0, "exit"), ("b", 1, 0, "exit"),
    ]  # fmt: skip
    assert (torc.folder / "log").read_text() == "ran\nran\n"


def test_ctrl_c_during_a_recovery_sends_the_job_back(
    torc: Torc, started: Callable[..., subprocess.Popen[str]]
) -> None:
    torc.write("w.yaml", RECOVERED)
    process = started("run", "w.yaml")
    pid = torc.folder / "script"
    wait_until(lambda: pid.exists() and pid.read_text() != "", "the script starts")
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Go on with: torc run 1" in err
    assert process_of(int(pid.read_text())) is None
    assert jobs(torc.folder) == {"a": ("ready", 2), "b": ("blocked", 1)}
    (torc.folder / "go").touch()
    torc("run", "1", "--fail-on-error")
    assert [code for name, _, code, _ in results(torc.folder) if name == "a"] == [10, 10, 0]


# ── decisions ────────────────────────────────────────────────────────────────

ASIDE = """\
name: aside
use_pending_failed: true
jobs:
  - {name: "try_{i}", command: "test -e fixed || { echo no >&2; exit 1; }", parameters: {i: "1:3"}}
  - {name: after, command: "true", depends_on_regexes: ["^try_"]}
"""


@pytest.fixture
def aside(torc: Torc) -> Torc:
    """Three jobs wait for a decision, and one waits for them."""
    done = torc("run", torc.write("w.yaml", ASIDE), code=3)
    assert "set aside" in done.err
    assert Counter(status for status, _ in jobs(torc.folder).values()) == {
        "pending_failed": 3, "blocked": 1,
    }  # fmt: skip
    return torc


def test_jobs_that_are_classified_for_retry_run_again(aside: Torc) -> None:
    aside.write("fixed", "")
    done = aside("jobs", "classify", "1", "3", "retry")
    assert done.out == "Workflow 1: 2 jobs are tried again\n"
    assert "torc run 1" in done.err
    done = aside("jobs", "classify", "retry", "--workflow", "1")
    assert done.out == "Workflow 1: 1 job is tried again\n"
    aside("run", "1", "--fail-on-error")
    assert jobs(aside.folder)["try_3"] == ("completed", 2)


def test_a_job_that_is_classified_as_failed_takes_its_dependents_along(aside: Torc) -> None:
    found = aside("-f", "json", "jobs", "classify", "2", "fail").json
    assert found == {"decision": "fail", "workflow_ids": [1], "job_ids": [2]}
    aside("jobs", "classify", "--workflow", "1", "fail")
    assert {name: status for name, (status, _) in jobs(aside.folder).items()} == {
        "try_1": "failed", "try_2": "failed", "try_3": "failed", "after": "canceled",
    }  # fmt: skip
    assert "is_complete: True" in aside("workflows", "is-complete", "1").out
    done = aside("jobs", "classify", "--workflow", "1", "retry")
    assert done.out == "No job of workflow 1 is pending_failed.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("1", "4", "retry"), 1, "only jobs that are pending_failed can be classified, not 4 (bl"),
        (("1", "99", "fail"), 1, "99"),
        (("retry",), 2, "name the jobs by their ids, or all of a workflow by --workflow ID"),
        (("1", "retry", "--workflow", "1"), 2, "name the jobs by their ids"),
        (("retry", "--workflow", "9"), 1, "there is no workflow 9"),
    ],
)
def test_what_cannot_be_classified_is_told_and_changes_nothing(
    aside: Torc, arguments: tuple[str, ...], code: int, message: str
) -> None:
    before = jobs(aside.folder)
    assert message in aside("jobs", "classify", *arguments, code=code).one_line()
    assert jobs(aside.folder) == before


def test_a_decision_must_be_one_of_two_words(aside: Torc) -> None:
    assert "'maybe' is not one of" in aside("jobs", "classify", "1", "maybe", code=2).err


def test_failed_jobs_begin_anew_after_a_reset(torc: Torc) -> None:
    spec = """\
name: w
jobs:
  - {name: good, command: "echo ran >> log"}
  - {name: bad, command: "test -e fixed"}
  - {name: after, command: "true", depends_on: [bad]}
"""
    torc("run", torc.write("w.yaml", spec))
    before = (torc.folder / "torc_output/torc.db").read_bytes()
    dry = torc("workflows", "reset-status", "1", "--failed-only", "--dry-run")
    assert "bad" in dry.out
    assert "after" in dry.out
    assert "good" not in dry.out
    assert (torc.folder / "torc_output/torc.db").read_bytes() == before
    found = torc("workflows", "reset-status", "1", "--failed-only", "-f", "json").json
    assert (found["updated_count"], [job["was"] for job in found["jobs"]]) == (
        2, ["failed", "canceled"],
    )  # fmt: skip
    assert jobs(torc.folder)["good"] == ("completed", 1)
    torc.write("fixed", "")
    torc("run", "1", "--fail-on-error")
    assert {status for status, _ in jobs(torc.folder).values()} == {"completed"}
    assert (torc.folder / "log").read_text() == "ran\n"
    done = torc("workflows", "reset-status", "1", "--failed-only")
    assert done.out == "Reset 0 jobs of workflow 1\n"


def test_what_is_set_aside_can_be_reset_and_begun_at_once(aside: Torc) -> None:
    done = aside("workflows", "reset-status", "1", "--failed-only", "--reinitialize")
    assert done.out == "Reset 3 jobs of workflow 1\n"
    assert Counter(status for status, _ in jobs(aside.folder).values()) == {
        "ready": 3, "blocked": 1,
    }  # fmt: skip
    aside.write("fixed", "")
    aside("run", "1", "--fail-on-error")


def test_everything_begins_anew_after_a_full_reset(torc: Torc) -> None:
    torc("run", torc.write("w.yaml", "name: w\njobs: [{name: a, command: echo ran >> log}]\n"))
    assert "Begin them again with: torc run 1" in torc("workflows", "reset-status", "1").err
    torc("run", "1")
    assert (torc.folder / "log").read_text() == "ran\nran\n"
    assert {JobStatus.COMPLETED.word} == {status for status, _ in jobs(torc.folder).values()}


def test_a_reset_is_refused_while_jobs_run(
    torc: Torc, started: Callable[..., subprocess.Popen[str]]
) -> None:
    torc.write("w.yaml", 'name: w\njobs: [{name: a, command: "touch up; sleep 60"}]\n')
    process = started("run", "w.yaml")
    wait_until((torc.folder / "up").exists, "the job starts")
    message = torc("workflows", "reset-status", "1", code=1).one_line()
    assert "1 pending or running job on" in message
    assert "wait for them, or cancel the workflow first" in message
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
