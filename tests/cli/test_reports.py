"""Reports on a workflow: its results by run, its use of resources, its logs, Slurm's account."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from factories import PLENTY, a_draft, a_job, a_need, a_node, a_report, an_allocation

from slurmtorc.model import Ending, JobStatus
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torc import Torc

MIB = 1024**2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    (tmp_path / "torc_output").mkdir()
    opened = SqlStore(f"sqlite:///{tmp_path}/torc_output/torc.db")
    yield opened
    opened.close()


def finish(store: SqlStore, names: dict[str, dict[str, object]], **node: object) -> None:
    """One worker that runs whatever is ready, and reports as told by name."""
    worker = store.register(a_node(1, **node))
    claims = store.claim(worker.id, PLENTY, 100)
    store.start(worker.id, [claim.job_id for claim in claims])
    store.complete(worker.id, [a_report(claim, **names.get(claim.name, {})) for claim in claims])


# ── results ──────────────────────────────────────────────────────────────────


def test_results_are_those_of_the_newest_run_unless_asked(torc: Torc) -> None:
    torc("run", torc.write("w.yaml", "name: w\njobs:\n  - {name: a, command: exit 3}\n"))
    with sqlite3.connect(torc.folder / "torc_output/torc.db") as connection:
        connection.execute("UPDATE workflow SET run_id = 2")
    connection.close()
    done = torc("results", "list", "1")
    assert "No results found." in done.out
    assert "--all-runs lists every run" in done.err
    for asked, count in ((("--all-runs",), 1), (("-r", "1"), 1), (("--run-id", "2"), 0), ((), 0)):
        assert len(torc("results", "list", "1", *asked, "-f", "json").json["results"]) == count
    listed = ("results", "list", "1", "--all-runs")
    assert len(torc(*listed, "-s", "failed", "-f", "json").json["items"]) == 1
    assert torc(*listed, "-s", "completed", "-f", "json").json["items"] == []
    assert torc(*listed, "--compute-node", "9", "-f", "json").json["items"] == []
    assert "exclude each other" in torc(*listed, "-r", "1", code=2).one_line()
    assert "exclude each other" in torc(*listed, "--failed", "-s", "failed", code=2).one_line()


def test_each_attempt_is_a_row(torc: Torc, store: SqlStore) -> None:
    store.initialize(store.create(a_draft("a")))
    finish(store, {"a": {"return_code": 3, "again": True}})
    finish(store, {})
    items = torc("results", "list", "1", "-f", "json").json["items"]
    assert [(one["attempt_id"], one["return_code"]) for one in items] == [(1, 3), (2, 0)]


# ── check-resources ──────────────────────────────────────────────────────────


@pytest.fixture
def used(torc: Torc, store: SqlStore) -> Torc:
    needs = [a_need("small", memory="100m", runtime="PT1H"), a_need("large", memory="1g")]
    jobs = (
        a_job("fits", requirement=0), a_job("over", requirement=0), a_job("oom", requirement=0),
        a_job("tiny", requirement=1), a_job("free"),
    )  # fmt: skip
    store.initialize(store.create(a_draft(*jobs, requirements=needs)))
    killed = {"return_code": 137, "ending": Ending.OOM, "peak_memory_bytes": 120 * MIB}
    finish(
        store,
        {
            "fits": {"peak_memory_bytes": 90 * MIB},
            "over": {"peak_memory_bytes": 150 * MIB},
            "oom": killed,
            "tiny": {"peak_memory_bytes": 20 * MIB},
            "free": {"peak_memory_bytes": 900 * MIB},
        },
    )
    return torc


def test_what_used_more_than_it_asked_for_is_listed(used: Torc) -> None:
    report = used("workflows", "check-resources", "1", "-f", "json").json
    assert (report["run_id"], report["total_results"], report["over_utilization_count"]) == (
        1,
        3,
        1,
    )
    (violation,) = report["violations"]
    assert violation["job_name"] == "over"
    assert violation["over_utilization"] == "+50.0%"
    assert violation["specified"] == "100 MiB"
    assert report["resource_violations"] == []
    assert report["under_utilization_count"] == 2
    (less,) = (one for one in report["suggestions"] if one["resource_type"] == "memory")
    assert (less["resource_requirements"], less["suggested"]) == ("large", "24m")
    tolerant = used("workflows", "check-resources", "1", "--min-over-utilization", "60")
    assert "No attempt used more than it asked for (3 checked)." in tolerant.out
    assert "memory: 24m would do" in tolerant.out


def test_failed_attempts_are_judged_when_asked(used: Torc) -> None:
    ask = ("workflows", "check-resources", "1", "--include-failed")
    report = used(*ask, "-f", "json").json
    (failed,) = report["resource_violations"]
    assert (failed["likely_oom"], failed["oom_reason"]) == (True, "ended_for_memory")
    assert (failed["likely_timeout"], failed["memory_over_utilization"]) == (False, "+20.0%")
    assert re.search(r"oom .*137.*memory \(ended_for_memory\)", used(*ask).out)


def test_everything_is_listed_with_all(used: Torc) -> None:
    report = used("workflows", "check-resources", "1", "--all", "-f", "json").json
    assert {one["job_name"] for one in report["results"]} == {"fits", "over", "tiny"}
    assert "-10.0%" in used("workflows", "check-resources", "1", "--all").out


# ── logs ─────────────────────────────────────────────────────────────────────


def lay_logs(torc: Torc) -> None:
    out = "torc_output"
    torc.write(f"{out}/slurm_output_wf1_sl12.e", "slurmstepd: error: x DUE TO TIME LIMIT ***\n")
    torc.write(f"{out}/slurm_output_wf2_sl13.e", "srun: error: Node failure on n3\n")
    torc.write(f"{out}/slurm_env_wf1_sl12_n0_pid1.log", "ERROR=1\n")
    torc.write(f"{out}/job_stdio/job_wf1_j1_r1_a1.e", "MemoryError\nERROR: twice\nERROR: x\n")
    torc.write(f"{out}/job_stdio/job_wf1_j1_r1_a1.o", "Permission denied\n")
    torc.write(f"{out}/job_runner_n1_wf1_r1.log", "2026 INFO Job failed ERROR\n")


def categories(report: dict[str, list[dict[str, str]]]) -> list[str]:
    return sorted(issue["category"] for issue in report["issues"])


def test_logs_of_a_directory_are_read_without_a_store(torc: Torc) -> None:
    lay_logs(torc)
    report = torc("logs", "analyze", "torc_output", "-f", "json").json
    assert report["files_scanned"] == 5
    assert categories(report) == [
        "Generic Error", "Node Failure", "OOM Killed", "Permission Denied", "Timeout",
    ]  # fmt: skip
    assert (report["total_issues"], report["errors"], report["warnings"]) == (6, 4, 2)
    one = torc("logs", "analyze", "torc_output", "-w", "2", "-f", "json").json
    assert categories(one) == ["Node Failure"]
    file = torc("logs", "analyze", "torc_output/job_stdio/job_wf1_j1_r1_a1.e", "--errors-only")
    assert "OOM Killed (error): 1 line in 1 file" in file.out
    assert "Generic" not in file.out
    assert not (torc.folder / "torc_output/torc.db").exists()
    assert "no file or directory" in torc("logs", "analyze", "nosuch", code=1).one_line()


def test_slurms_own_files_and_stderr_are_parsed_without_a_store(torc: Torc) -> None:
    lay_logs(torc)
    report = torc("slurm", "parse-logs", "torc_output", "-f", "json").json
    assert categories(report) == ["Generic Error", "Node Failure", "OOM Killed", "Timeout"]
    assert report["slurm_jobs_count"] == 2
    assert "no directory nosuch" in torc("slurm", "parse-logs", "nosuch", code=1).one_line()


def in_slurm(torc: Torc, store: SqlStore) -> None:
    """A workflow whose job failed in an allocation that was Slurm's job 12."""
    store.initialize(store.create(a_draft("bad")))
    out = str(torc.folder / "torc_output")
    intent = replace(an_allocation(1, "t1"), output_dir=out)
    (allocation,) = store.intend([intent])
    store.submitted(allocation.id, 12)
    stderr = f"{out}/job_stdio/job_wf1_j1_r1_a1.e"
    finish(
        store,
        {"bad": {"return_code": 1, "stderr_path": stderr, "avg_cpu_percent": 50.0}},
        allocation_id=allocation.id, slurm_job_id=12, output_dir=out,
    )  # fmt: skip


def test_logs_of_a_workflow_are_told_with_allocation_and_job(torc: Torc, store: SqlStore) -> None:
    in_slurm(torc, store)
    lay_logs(torc)
    report = torc("slurm", "parse-logs", "1", "-f", "json").json
    assert (report["workflow_id"], report["slurm_jobs_count"], report["files_scanned"]) == (1, 1, 2)
    by_category = {issue["category"]: issue for issue in report["issues"]}
    timeout, memory = by_category["Timeout"], by_category["OOM Killed"]
    assert (timeout["slurm_job_id"], timeout["allocation_id"]) == (12, 1)
    assert timeout["failed_jobs"] == ["bad"]
    assert (memory["job_name"], memory["attempt_id"], memory["allocation_id"]) == ("bad", 1, 1)
    shown = torc("slurm", "parse-logs", "1", "--errors-only").out
    assert "(allocation 1; failed in it: bad)" in shown
    assert "(job bad, attempt 1; allocation 1)" in shown
    assert "Generic Error" not in shown
    assert categories(torc("logs", "analyze", "1", "-f", "json").json) == [
        "Generic Error", "OOM Killed", "Permission Denied", "Timeout",
    ]  # fmt: skip


# ── Slurm's account ──────────────────────────────────────────────────────────

SACCT = """\
#!/bin/sh
echo "$@" >> {folder}/asked
cat {folder}/rows
exit {code}
"""


def a_sacct(torc: Torc, rows: str, code: int = 0) -> None:
    """A `sacct` that prints rows as Slurm does, and writes down how it was called."""
    torc.write("bin/sacct", SACCT.format(folder=torc.folder, code=code))
    (torc.folder / "bin/sacct").chmod(0o755)
    torc.write("rows", rows)
    torc.env["PATH"] = f"{torc.folder}/bin:{torc.env['PATH']}"


ROWS = (
    "12|COMPLETED|0:0|2036-01-01T00:00:00|2036-01-01T00:00:00|2036-01-01T00:02:00|120|01:00:00|"
    "n[1-2]|billing=4,cpu=4,mem=2G,node=2|480|00:30.500||debug|sandbox|wf1_t1\n"
    "12.batch|COMPLETED|0:0|2036-01-01T00:00:00|2036-01-01T00:00:00|2036-01-01T00:02:00|120||"
    "n1|cpu=2,mem=1G,node=1|240|00:30.500|5242880|||batch\n"
)


def test_sacct_asks_once_and_tells_allocations_and_steps(torc: Torc, store: SqlStore) -> None:
    in_slurm(torc, store)
    a_sacct(torc, ROWS)
    (other,) = store.intend([an_allocation(1, "t2")])
    store.submitted(other.id, 13)
    report = torc("slurm", "sacct", "1", "-f", "json").json
    assert len((torc.folder / "asked").read_text().splitlines()) == 1
    assert "--jobs 12,13" in (torc.folder / "asked").read_text()
    assert report["total_slurm_jobs"] == 2
    (row,) = report["summary"]
    assert (row["slurm_job_id"], row["state"], row["elapsed"]) == (12, "COMPLETED", "00:02:00")
    assert (row["max_rss_bytes"], row["cpu_time_s"], row["num_nodes"]) == (5 * MIB, 480, 2)
    assert [step["job_step"] for step in row["steps"]] == ["batch"]
    assert report["errors"] == ["Slurm job 13 (allocation 2): accounting has no row of it"]
    shown = torc("slurm", "sacct", "1", "--save-json", "-o", "kept")
    assert re.search(r"12 +│ batch +│ COMPLETED.*5 MiB", shown.out)
    saved = json.loads((torc.folder / "kept/sacct_12.json").read_text())
    assert [row["id"] for row in saved["rows"]] == ["12", "12.batch"]
    assert saved["rows"][0]["tres"] == "billing=4,cpu=4,mem=2G,node=2"


def test_sacct_that_fails_is_one_clear_line(torc: Torc, store: SqlStore) -> None:
    in_slurm(torc, store)
    torc.env["PATH"] = "/nowhere"
    assert "sacct was not found on PATH" in torc("slurm", "sacct", "1", code=1).one_line()
    assert "there is no workflow 9" in torc("slurm", "sacct", "9", code=1).one_line()


def test_usage_by_accounting_says_how_well_jobs_were_packed(torc: Torc, store: SqlStore) -> None:
    in_slurm(torc, store)
    a_sacct(torc, ROWS)
    report = torc("slurm", "usage", "1", "-f", "json").json
    assert report["sources"] == ["accounting"]
    assert (report["node_time_s"], report["cpu_time_s"], report["attempts"]) == (240, 480, 1)
    assert report["job_reserved_cpu_s"] == 2.5
    assert report["packing_percent"] == pytest.approx(100 * 2.5 / 480)
    assert report["cpu_efficiency_percent"] == pytest.approx(50.0)
    (row,) = report["allocations"]
    assert (row["source"], row["slurm_used_cpu_s"]) == ("accounting", 30.5)
    assert "(by accounting)" in torc("slurm", "usage", "1").out


def test_usage_without_accounting_is_by_the_workers_times(torc: Torc, store: SqlStore) -> None:
    in_slurm(torc, store)
    torc.env["PATH"] = "/nowhere"
    done = torc("slurm", "usage", "1", "-f", "json")
    assert "accounting was not heard" in done.err
    assert done.json["allocations"][0]["source"] == "store"
    assert done.json["node_time_s"] >= 0
    a_sacct(torc, "")
    torc.env["PATH"] = f"{torc.folder}/bin:/usr/bin:/bin"
    assert torc("slurm", "usage", "1", "-f", "json").json["sources"] == ["store"]


def test_stats_are_the_rows_of_the_store(torc: Torc, store: SqlStore) -> None:
    store.initialize(store.create(a_draft("a", "b")))
    with sqlite3.connect(torc.folder / "torc_output/torc.db") as connection:
        for job, attempt in ((1, 1), (1, 2), (2, 1)):
            connection.execute(
                "INSERT INTO slurm_stats (workflow_id, job_id, run_id, attempt_id, slurm_job_id, "
                "step, max_rss_bytes, ave_cpu_seconds, node_list) VALUES (1,?,1,?,12,'0',?,2.5,?)",
                (job, attempt, 3 * MIB, "n1"),
            )
    connection.close()
    everything = torc("slurm", "stats", "1", "-f", "json").json
    assert everything["items"] == everything["slurm_stats"]
    assert len(everything["items"]) == 3
    for asked, count in ((("--job-id", "1"), 2), (("--attempt-id", "2"), 1), (("-r", "2"), 0)):
        assert len(torc("slurm", "stats", "1", *asked, "-f", "json").json["items"]) == count
    assert re.search(r"12\.0 +│ 3 MiB", torc("slurm", "stats", "1").out)


def test_statuses_that_count_as_failed_are_not_missing_any() -> None:
    from slurmtorc.cli.troubles import FAILED

    assert set(FAILED) == {JobStatus.FAILED, JobStatus.TERMINATED, JobStatus.PENDING_FAILED}
