"""Later runs as a user begins them: what runs again, what does not, and what is refused."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from factories import PLENTY, a_node

from slurmtorc.cli import main
from slurmtorc.model import Job, Result
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from torc import Torc

PATIENCE_S = 60.0

GATED = """\
name: gated
jobs:
  - {name: gate_job, command: echo gate >> log}
  - {name: work_job, command: echo work >> log; test -e mended, depends_on: [gate_job]}
actions:
  - {trigger_type: on_workflow_start, action_type: run_commands, commands: [echo started >> ../log]}
  - trigger_type: on_jobs_complete
    action_type: run_commands
    jobs: [gate_job]
    commands: [echo archived >> ../log]
  - trigger_type: on_workflow_complete
    action_type: run_commands
    commands: [echo complete >> ../log]
"""
FILES = """\
name: files
files: [{name: raw, path: raw.txt}, {name: out, path: out.txt}]
user_data: [{name: rate, data: 1}]
jobs:
  - {name: copy, command: cp raw.txt out.txt, input_files: [raw], output_files: [out]}
  - {name: read, command: cat out.txt, input_files: [out], input_user_data: [rate]}
"""


def lines(torc: Torc) -> list[str]:
    return (torc.folder / "log").read_text().split()


def dump(torc: Torc) -> list[str]:
    """All that is in the database."""
    with sqlite3.connect(torc.folder / "torc_output/torc.db") as connection:
        return list(connection.iterdump())


def status(torc: Torc) -> dict[str, str]:
    store = SqlStore(f"sqlite:///{torc.folder}/torc_output/torc.db")
    found = {job.name: job.status.word for job in store.rows(Job).items}
    store.close()
    return found


@pytest.fixture
def gated(torc: Torc) -> Torc:
    """gate_job has completed and its action was executed; work_job has failed."""
    torc("run", torc.write("w.yaml", GATED))
    assert status(torc) == {"gate_job": "completed", "work_job": "failed"}
    assert sorted(lines(torc)) == ["archived", "complete", "gate", "started", "work"]
    (torc.folder / "log").unlink()
    return torc


# ── subset and full re-run ───────────────────────────────────────────────────


def test_a_subset_runs_again_without_what_happened_once(gated: Torc) -> None:
    gated.write("mended", "")
    gated("jobs", "reset-status", "--status", "failed", "--workflow-id", "1", "--reinit")
    gated("run", "1")
    assert lines(gated) == ["work", "complete"]
    assert status(gated) == {"gate_job": "completed", "work_job": "completed"}


def test_a_gate_that_runs_again_passes_again(gated: Torc) -> None:
    gated.write("mended", "")
    foreseen = gated("jobs", "reset-status", "1", "--reinit", "--dry-run", "-f", "json").json
    assert {a["trigger_type"]: a["rearmed"] for a in foreseen["actions"]} == {
        "on_workflow_start": False, "on_jobs_complete": True, "on_workflow_complete": True,
    }  # fmt: skip
    gated("jobs", "reset-status", "1", "--reinit")
    gated("run", "1")
    assert sorted(lines(gated)) == ["archived", "complete", "gate", "work"]


def test_a_restart_is_a_new_start(gated: Torc) -> None:
    gated("workflows", "restart", "1")
    gated("run", "1")
    assert sorted(lines(gated)) == ["archived", "complete", "gate", "started", "work"]


# ── what is shown ────────────────────────────────────────────────────────────


def test_a_dry_run_tells_every_job_and_every_action_with_the_reason_and_changes_nothing(
    torc: Torc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(torc.folder)
    torc.write("raw.txt", "a")
    torc("run", torc.write("w.yaml", FILES))
    os.utime(torc.folder / "raw.txt", (100, 100))
    before = dump(torc)
    shown = torc("workflows", "reinit", "1", "--dry-run").out
    assert "input file raw.txt was changed at 1970-01-01T00:01:40.000Z" in shown
    assert "runs after copy, which runs again" in shown
    found = torc("workflows", "reinit", "1", "--dry-run", "-f", "json").json
    assert [(j["name"], j["was"], j["reasons"][0]["cause"]) for j in found["jobs"]] == [
        ("copy", "completed", "file_changed"), ("read", "completed", "upstream"),
    ]  # fmt: skip
    assert (found["workflow_id"], found["run_id"], found["dry_run"]) == (1, 2, True)
    for dry in (
        ("workflows", "restart", "1"),
        ("workflows", "reinit", "1", "--hash"),
        ("workflows", "initialize", "1"),
        ("workflows", "reset-status", "1", "--reinitialize"),
        ("workflows", "archive", "true", "1"),
        ("jobs", "reset-status", "1"),
        ("jobs", "reset-status", "1", "--reinit"),
        ("jobs", "update", "1", "--command", "false", "--depends-on", ""),
        ("jobs", "delete", "1"),
        ("user-data", "update", "1", "--data", "2"),
    ):
        assert main([*dry, "--dry-run"]) == 0, dry
        assert dump(torc) == before, dry


def test_nothing_to_do_begins_no_run(torc: Torc) -> None:
    torc.write("raw.txt", "a")
    torc("run", torc.write("w.yaml", FILES))
    assert torc("workflows", "reinit", "1").out == "Nothing of workflow 1 must run again.\n"
    assert torc("workflows", "get", "1", "-f", "json").json["run_id"] == 1


def test_touched_files_are_the_same_by_their_contents_and_stay_so(torc: Torc) -> None:
    torc.write("raw.txt", "a")
    torc("create", torc.write("w.yaml", FILES))
    torc("workflows", "init", "1", "--hash")
    torc("run", "1")
    os.utime(torc.folder / "raw.txt", (100, 100))
    assert "Nothing" in torc("workflows", "reinit", "1", "--hash").out
    assert "Nothing" in torc("workflows", "reinit", "1").out


def test_changed_user_data_runs_its_readers_again(torc: Torc) -> None:
    torc.write("raw.txt", "a")
    torc("run", torc.write("w.yaml", FILES))
    torc("user-data", "update", "1", "-d", "2")
    found = torc("workflows", "reinitialize", "1", "-f", "json").json
    assert [job["name"] for job in found["jobs"]] == ["read"]
    torc("run", "1")
    assert torc("workflows", "reinit", "1", "-f", "json").json["jobs"] == []
    assert torc("user-data", "get", "1", "-f", "json").json["data"] == 2
    assert torc("files", "list", "1", "-f", "json").json["files"][0]["path"] == "raw.txt"


def test_what_stays_blocked_behind_a_disabled_job_is_said(torc: Torc) -> None:
    torc("create", torc.write("w.yaml", GATED))
    done = torc("jobs", "disable", "1", "--dry-run")
    assert "1 job would be disabled: 1" in done.out
    assert "job 2 (work_job) stays blocked behind job 1" in done.err
    assert status(torc) == {"gate_job": "uninitialized", "work_job": "uninitialized"}
    assert "2 jobs disabled" in torc("jobs", "disable", "1", "--dependents").out
    torc("jobs", "enable", "1", "2")
    torc("run", "1")
    assert status(torc)["gate_job"] == "completed"


def test_results_and_logs_of_earlier_runs_are_kept(gated: Torc) -> None:
    for _ in range(2):
        gated("jobs", "update", "2", "--command", f"echo {time.time_ns()}")
        gated("workflows", "reinit", "1")
        gated("run", "1")
    listed = gated("results", "list", "1", "--job-id", "2", "--all-runs", "-f", "json").json
    assert [result["run_id"] for result in listed["results"]] == [1, 2, 3]
    of_two = gated("results", "list", "1", "--run-id", "2", "-f", "json").json["results"]
    assert [result["job_id"] for result in of_two] == [2]
    second, third = (gated("jobs", "logs", "2", "--run-id", n).out for n in "23")
    assert int(second) < int(third)
    assert gated("jobs", "logs", "2").out == third
    assert "of run 9 of job 2" in gated("jobs", "logs", "2", "-r", "9", code=1).one_line()


def test_the_archive_is_entered_and_left(gated: Torc) -> None:
    gated("workflows", "archive", "true", "1")
    assert gated("workflows", "list", "-f", "json").json["workflows"] == []
    archived = gated("workflows", "list", "--archived-only", "-f", "json").json["workflows"]
    assert [workflow["id"] for workflow in archived] == [1]
    message = gated("workflows", "reinit", "1", code=1).one_line()
    assert message.endswith("take it out of the archive first: torc workflows archive false 1")
    gated("workflows", "unarchive", "1")
    assert gated("workflows", "list", "-f", "json").json["workflows"][0]["id"] == 1


def test_an_exported_workflow_is_imported_and_runs(gated: Torc) -> None:
    gated.write("mended", "")
    gated("workflows", "export", "1", "-o", "w.json", "--include-results")
    assert gated("workflows", "import", "w.json", "--dry-run").out.startswith("w.json can be")
    done = gated(
        "workflows", "import", "-", "-n", "again", stdin=Path(gated.folder, "w.json").read_text()
    )
    assert done.out == "Imported workflow 2 (again): 2 jobs\n"
    gated("run", "2", "--fail-on-error")


# ── what is refused ──────────────────────────────────────────────────────────

REFUSED = [
    (("workflows", "reinit", "99"), "there is no workflow 99"),
    (("workflows", "restart", "99"), "there is no workflow 99"),
    (("workflows", "initialize", "99"), "there is no workflow 99"),
    (("workflows", "export", "99"), "there is no workflow 99"),
    (("workflows", "archive", "true", "1", "99"), "there is no workflow 99"),
    (("workflows", "initialize", "1"), "has been run already (run 1)"),
    (("jobs", "reset-status", "99"), "there is no job 99"),
    (("jobs", "reset-status", "1", "99", "--force"), "there is no job 99"),
    (("jobs", "reset-status", "--force"), "by ids, by --status or by --return-code"),
    (("jobs", "reset-status", "--status", "failed"), "need --workflow-id"),
    (("jobs", "reset-status", "-s", "sad", "-w", "1"), "'sad' is no status"),
    (("jobs", "reset-status", "-s", "disabled", "-w", "1"), "no job of workflow 1 is chosen"),
    (("jobs", "reset-status", "--return-code", "77", "-w", "1"), "no job of workflow 1 is chosen"),
    (("jobs", "reset-status", "1", "-w", "99"), "job 1 is of workflow 1, not of 99"),
    (("jobs", "disable", "1"), "is completed, so it cannot be left out"),
    (("jobs", "disable", "99"), "there is no job 99"),
    (("jobs", "update", "1"), "nothing to change"),
    (("jobs", "update", "1", "--depends-on", "x"), "'x' is no job id"),
    (("jobs", "update", "1", "--depends-on", "2"), "would wait for itself"),
    (("jobs", "update", "1", "--env", "A"), "write NAME=VALUE"),
    (("jobs", "update", "1", "--unset", "A"), "no variable 'A' of its own"),
    (("user-data", "update", "1", "--data", "x"), "--data is not JSON"),
    (("user-data", "update", "1", "--data", "1"), "there is no user data 1"),
    (("workflows", "import", "none.json"), "there is no file none.json"),
    (("workflows", "import", "w.yaml"), "this is not JSON"),
]


def test_what_cannot_be_is_refused_in_one_line_and_changes_nothing(
    gated: Torc, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(gated.folder)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    before = dump(gated)
    for arguments, said in REFUSED:
        assert main(list(arguments)) in {1, 2}, arguments
        err = capfd.readouterr().err
        assert said in err, arguments
        assert len(err.splitlines()) == 1 or "import" in arguments, arguments
        assert dump(gated) == before, arguments


def test_a_workflow_that_runs_is_not_begun_again_not_even_by_force(torc: Torc) -> None:
    spec = {
        "name": "long",
        "jobs": [
            {"name": "quick", "command": "true"},
            {"name": "long", "command": "touch up; sleep 60", "depends_on": ["quick"]},
        ],
    }
    running = torc.start("run", torc.write("w.json", json.dumps(spec)))
    try:
        limit = time.monotonic() + PATIENCE_S
        while not (torc.folder / "up").exists():
            assert time.monotonic() < limit
            time.sleep(0.05)
        for arguments, said in (
            (("workflows", "reinit", "1"), "1 pending or running job"),
            (("workflows", "restart", "1", "--force"), "1 pending or running job"),
            (("jobs", "reset-status", "2", "--force"), "job 2 (long) is running"),
            (("jobs", "reset-status", "1"), "1 pending or running job on"),
            (("jobs", "update", "2", "--command", "true"), "job 2 (long) is running"),
            (("jobs", "disable", "2"), "job 2 (long) is running"),
            (("workflows", "archive", "true", "1"), "1 pending or running job on"),
        ):
            done = torc(*arguments, code=1)
            assert said in done.err, arguments
        assert status(torc) == {"quick": "completed", "long": "running"}
        torc("jobs", "reset-status", "1", "--force")
        assert status(torc) == {"quick": "uninitialized", "long": "running"}
    finally:
        running.terminate()
        running.communicate(timeout=PATIENCE_S)
    store = SqlStore(f"sqlite:///{torc.folder}/torc_output/torc.db")
    assert [result.run_id for result in store.rows(Result, job_id=1).items] == [1]
    store.close()


def test_dry_runs_refuse_what_the_deed_refuses_and_foresee_what_it_does(
    torc: Torc, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(torc.folder)
    empty = GATED.replace("command: echo gate >> log", "command: 'true', input_user_data: [none]")
    torc.write("empty.yaml", empty + "user_data: [{name: none}]\n")
    torc.write("w.yaml", GATED)

    def said(*arguments: str, code: int = 0) -> str:
        assert main(list(arguments)) == code, arguments
        return "".join(capfd.readouterr())

    said("create", "empty.yaml")
    assert "user data has no value" in said("workflows", "init", "1", "--dry-run", code=1)
    said("create", "w.yaml")
    assert "can begin its first run" in said("jobs", "reset-status", "3", "--reinit", "--dry-run")
    said("workflows", "init", "2")
    store = SqlStore(f"sqlite:///{torc.folder}/torc_output/torc.db")
    node = store.register(a_node(2, hostname="elsewhere", lease_until=0.0)).id
    store.claim(node, PLENTY, 1)
    before = dump(torc)
    for dry in ((), ("--dry-run",)):
        assert "job 3 (gate_job) is pending" in said("jobs", "reset-status", "3", *dry, code=1)
    assert "has 1 pending or running job; wait" in said("workflows", "reinit", "2", code=1)
    assert dump(torc) == before
    store.abandon(node)
    store.cancel(2)
    store.close()
    assert "begin" in said("workflows", "reinit", "2", "--dry-run")
    said("workflows", "archive", "true", "2")
    for dry in (("workflows", "init", "2"), ("workflows", "reset-status", "2")):
        assert "is archived" in said(*dry, "--dry-run", code=1)


def test_an_export_replaces_no_file_unless_it_is_forced(gated: Torc) -> None:
    gated.write("w.json", "mine")
    refused = gated("workflows", "export", "1", "-o", "w.json", code=1).one_line()
    assert refused.endswith("w.json is there already; name another file, or give --force")
    gated("workflows", "export", "1", "-o", "w.json", "--force")
    assert json.loads((gated.folder / "w.json").read_text())


def test_an_initialize_by_contents_of_what_has_run_notes_them(torc: Torc) -> None:
    torc.write("raw.txt", "a")
    torc("run", torc.write("w.yaml", FILES))
    torc("workflows", "init", "1", "--hash", "--no-prompts")
    torc("run", "1")
    os.utime(torc.folder / "raw.txt", (100, 100))
    assert "Nothing" in torc("workflows", "reinit", "1", "--hash").out
