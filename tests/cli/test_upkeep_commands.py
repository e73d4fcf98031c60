"""`torc store`, `torc workflows prune` and `torc logs bundle`, as a user gives them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from slurmtorc.store import pruning
from slurmtorc.store.keeper import Keeper

if TYPE_CHECKING:
    from torc import Torc

SPEC = """
name: small
jobs:
  - {name: good, command: "echo out; echo err >&2"}
  - {name: bad, command: "echo bash: line 1: nosuch: command not found >&2; exit 127"}
"""


@pytest.fixture
def ran(torc: Torc) -> Torc:
    torc("run", torc.write("s.yaml", SPEC))
    return torc


def test_info_check_backup_and_vacuum_of_a_store(ran: Torc) -> None:
    facts = ran("store", "info", "-f", "json").json
    assert (facts["kind"], facts["rows"]["job"], facts["active_workers"]) == ("sqlite", 2, 0)
    assert ran("store", "check").out == "The store is sound.\n"
    done = ran("store", "backup", "copy.db", "-f", "json").json
    assert ran("--url", f"sqlite:///{done['path']}", "status", "1", "-f", "json").json
    said = ran("store", "backup", "copy.db", code=1).one_line()
    assert "copy.db is there already" in said
    assert ran("store", "vacuum", "-f", "json").json["bytes_before"] > 0
    shown = ran("store", "info").out
    assert "copy.db" in shown
    assert "pages" in shown


def test_a_violation_is_one_line_with_its_remedy_and_exit_1(ran: Torc) -> None:
    import sqlite3

    with sqlite3.connect(ran.folder / "torc_output/torc.db") as connection:
        connection.execute("UPDATE job SET compute_node_id = 1 WHERE name = 'good'")
    connection.close()
    told = ran("store", "check", code=1).out.splitlines()
    assert told == [
        (
            "holder: workflow 1: job 1 (good) is over or waits, and worker 1 still holds it; "
            "mend: torc store check --repair"
        ),
        "Violations: 1",
    ]
    assert ran("store", "check", "--repair").out == "Repaired: 1\nThe store is sound.\n"


def test_prune_asks_shows_and_deletes(ran: Torc) -> None:
    assert "say what may go" in ran("workflows", "prune", code=2).one_line()
    assert "No workflow" in ran("workflows", "prune", "--older-than", "1d", "--dry-run").out
    shown = ran("workflows", "prune", "--status", "failed", stdin="n\n")
    assert "small" in shown.out
    assert "Delete 1 workflow?" in shown.err
    assert ran("workflows", "get", "1", "-f", "json").json["id"] == 1
    done = ran("workflows", "prune", "--status", "failed", "-f", "json").json
    assert done["deleted"] == [1]
    assert "there is no workflow 1" in ran("status", "1", code=1).one_line()


def test_an_interrupted_deletion_is_shown_and_asked_about(ran: Torc) -> None:
    with closing(Keeper(f"sqlite:///{ran.folder}/torc_output/torc.db")) as keeper:
        keeper._change(lambda c: pruning.begin(c, 1, time.time()))
    prune = ("workflows", "prune", "--status", "failed")
    assert ran(*prune, "--dry-run", "-f", "json").json["interrupted"] == [1]
    assert "Delete 1 workflow?" in ran(*prune, stdin="n\n").err
    assert ran(*prune, "--no-prompts").out.endswith("Deleted 1 workflow\n")


def test_packed_logs_are_read_as_if_they_were_files(ran: Torc) -> None:
    before = ran("logs", "analyze", "1", "-f", "json").json
    done = ran("logs", "bundle", "1", "--remove", "-f", "json").json
    assert done["packed"] == done["removed"] == 5
    assert list((ran.folder / "torc_output/job_stdio").iterdir()) == []
    assert ran("jobs", "logs", "1").out == "out\n"
    assert ran("jobs", "logs", "1", "--stderr").out == "err\n"
    assert ran("jobs", "logs", "1", "-f", "json").json["bundle"] == done["bundles"][0]
    assert "It is packed in" in ran("jobs", "logs", "1", "--path").err
    after = ran("logs", "analyze", "1", "-f", "json").json
    assert before["errors"] == after["errors"] > 0
    assert before["files_scanned"] == after["files_scanned"]
    assert ran("slurm", "parse-logs", "1", "-f", "json").json["errors"] > 0
    assert ran("logs", "unbundle", "1", "--remove").out == "Unpacked 5 files\n"
    assert ran("logs", "analyze", "1", "-f", "json").json == before


def test_of_a_log_that_was_packed_twice_the_newer_comes_back(ran: Torc) -> None:
    ran("logs", "bundle", "1")
    (log,) = (ran.folder / "torc_output").glob("job_runner_*.log")
    log.write_text("the newer one\n")
    ran("logs", "bundle", "1", "--remove")
    assert ran("logs", "unbundle", "1", "--remove").out == "Unpacked 5 files\n"
    assert log.read_text() == "the newer one\n"
    assert list((ran.folder / "torc_output/log_bundles").glob("*.gz")) == []


def test_logs_that_another_store_writes_into_the_same_folder_stay(ran: Torc) -> None:
    live = ran.folder / "torc_output/job_stdio/job_wf1_j9_r1_a1.o"
    live.write_text("of a job that runs by another store\n")
    later = time.time() + 3600
    os.utime(live, (later, later))
    done = ran("logs", "bundle", "1", "--remove")
    assert "removed 5" in done.out
    assert done.err.count("1 file in") == 1
    assert "written after workflow 1 had ended" in done.err
    assert live.exists()


def test_the_logs_of_what_still_runs_are_not_packed(torc: Torc) -> None:
    torc.write("s.yaml", 'name: s\njobs: [{name: a, command: "echo up > up; sleep 600"}]\n')
    running = torc.start("run", "s.yaml")
    try:
        while not (torc.folder / "up").exists():
            assert running.poll() is None
        said = torc("logs", "bundle", "1", "--remove", code=1).one_line()
        assert said == "workflow 1 has live workers; its logs are packed once it has ended"
        assert "live workers" in torc("workflows", "prune", "-s", "unfinished", "--dry-run").out
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate()
    said = torc("logs", "bundle", "1", code=1).one_line()
    assert said == "run 1 of workflow 1 has not ended; earlier runs can be packed with --run-id"


def test_the_end_of_a_run_lets_go_of_what_settings_do_not_keep(torc: Torc) -> None:
    torc.write("torc.toml", "[store]\nkeep_events = 2\n")
    torc("run", torc.write("s.yaml", SPEC))
    assert torc("store", "info", "-f", "json").json["rows"]["event"] == 2
    torc.write("torc.toml", "[store]\nkeep_events = -1\n")
    assert "write a number of 0 or more" in torc("store", "info", code=1).one_line()
