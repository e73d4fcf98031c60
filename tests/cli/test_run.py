"""`torc run`, with real processes, from a newcomer's folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slurmtorc.model import Job, JobStatus, Result
from slurmtorc.store.sql import SqlStore
from slurmtorc.worker.monitor import processes

if TYPE_CHECKING:
    from torc import Torc

PATIENCE_S = 60.0

HELLO = """\
name: hello
jobs:
  - name: greet_{who}
    command: echo "Hello, {who}"
    parameters: {who: "[Ada, Grace]"}
  - name: farewell
    command: echo done
    depends_on_regexes: [greet_]
"""

FAILING = """\
name: failing
jobs:
  - {name: good, command: "true"}
  - {name: bad, command: "echo one >&2; echo last words >&2; exit 3"}
  - {name: after, command: "true", depends_on: [bad]}
"""


def store_in(folder: Path) -> SqlStore:
    return SqlStore(f"sqlite:///{folder}/torc_output/torc.db")


def wait_until(condition, what: str, seconds: float = PATIENCE_S) -> None:  # noqa: ANN001
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.02)


# ── to its end ───────────────────────────────────────────────────────────────


def test_a_file_is_created_and_run_to_its_end(torc: Torc) -> None:
    done = torc("run", torc.write("hello.yaml", HELLO))
    assert "Created workflow 1" in done.err
    assert re.search(r"completed\W+3", done.out)
    folder = torc.folder / "torc_output/job_stdio"
    texts = sorted(path.read_text() for path in folder.glob("*.o"))
    assert texts == ["Hello, Ada\n", "Hello, Grace\n", "done\n"]
    assert (torc.folder / "torc_output").glob("job_runner_*_wf1_r1.log")


@pytest.mark.parametrize("position", ["before", "after"])
def test_json_stands_alone_on_standard_output(torc: Torc, position: str) -> None:
    file = torc.write("failing.yaml", FAILING)
    arguments = ("-f", "json", "run", file) if position == "before" else ("run", file, "-f", "json")
    report = torc(*arguments).json
    assert report["jobs_by_status"]["completed"] == 1
    assert report["jobs_by_status"]["failed"] == 1
    assert report["jobs_by_status"]["canceled"] == 1
    assert report["is_complete"] is True
    (failure,) = report["failures"]
    assert (failure["job_name"], failure["return_code"]) == ("bad", 3)


def test_failures_are_shown_with_their_last_words_and_their_log(torc: Torc) -> None:
    done = torc("run", torc.write("failing.yaml", FAILING))
    assert "bad: failed, return code 3 (exit)" in done.out
    assert "| last words" in done.out
    (log,) = re.findall(r"log: (\S+)", done.out)
    assert log == f"{torc.folder}/torc_output/job_stdio/job_wf1_j2_r1_a1.e"
    assert Path(log).read_text() == "one\nlast words\n"


def test_failed_jobs_count_only_if_asked(torc: Torc) -> None:
    file = torc.write("failing.yaml", FAILING)
    hello = torc.write("hello.yaml", HELLO)
    calls = (file,), (file, "--fail-on-error"), (hello, "--fail-on-error")
    assert [torc("run", *call, code=None).code for call in calls] == [0, 1, 0]


def test_a_spec_may_come_from_standard_input(torc: Torc) -> None:
    assert "Created workflow 1" in torc("run", "-", stdin=HELLO).err


def test_jobs_run_where_the_workflow_was_submitted(torc: Torc, tmp_path: Path) -> None:
    (torc.folder / "project").mkdir()
    (torc.folder / "elsewhere").mkdir()
    spec = "name: w\njobs: [{name: a, command: pwd > here.txt}]\n"
    torc.write("project/w.yaml", spec)
    url = f"sqlite:///{tmp_path}/shared.db"
    torc.folder = tmp_path / "project"
    torc("create", "w.yaml", "--url", url)
    torc.folder = tmp_path / "elsewhere"
    torc("run", "1", "--url", url)
    assert (tmp_path / "project/here.txt").read_text() == f"{tmp_path}/project\n"
    assert (tmp_path / "project/torc_output/job_stdio/job_wf1_j1_r1_a1.o").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_finished_workflow_is_only_shown(torc: Torc) -> None:
    torc("run", torc.write("hello.yaml", HELLO))
    done = torc("run", "1")
    assert re.search(r"completed\W+3", done.out)
    store = store_in(torc.folder)
    assert store.rows(Result).total_count == 3
    store.close()


def test_a_job_sees_its_own_store(torc: Torc) -> None:
    command = f"{sys.executable} -P -m slurmtorc jobs get $TORC_JOB_ID"
    torc.write("w.yaml", f"name: w\njobs: [{{name: a, command: {command}}}]\n")
    torc("run", "w.yaml")
    out = (torc.folder / "torc_output/job_stdio/job_wf1_j1_r1_a1.o").read_text()
    assert re.search(r"status +running", out)


# ── what cannot run here ─────────────────────────────────────────────────────


def test_a_job_that_fits_nowhere_is_refused_before_anything_is_made(torc: Torc) -> None:
    spec = """\
name: big
resource_requirements: [{name: huge, num_cpus: 4096, memory: 1t, runtime: PT1M}]
jobs: [{name: a, command: "true", resource_requirements: huge}]
"""
    done = torc("run", torc.write("big.yaml", spec), code=1)
    assert "job 'a' never fits this machine: 4096 CPUs of" in done.err
    assert "--max-parallel-jobs" in done.err
    assert not (torc.folder / "torc_output").exists()
    assert re.search(r"completed\W+1", torc("run", "big.yaml", "--max-parallel-jobs", "1").out)


def test_jobs_that_are_left_are_told(torc: Torc) -> None:
    spec = """\
name: part
resource_requirements: [{name: two, num_cpus: 2, memory: 1m, runtime: PT1M}]
jobs:
  - {name: big, command: "true", resource_requirements: two}
  - {name: small, command: "true"}
"""
    torc("create", torc.write("part.yaml", spec))
    done = torc("run", "1", "--num-cpus", "1", code=3)
    assert "1 job is left: what is ready does not fit this worker" in done.err


def test_missing_input_files_are_named_before_anything_is_made(torc: Torc) -> None:
    spec = """\
name: w
files: [{name: raw, path: data/raw.csv}]
jobs: [{name: a, command: "cat data/raw.csv || true", input_files: [raw]}]
"""
    done = torc("run", torc.write("w.yaml", spec), code=1)
    assert "file 'raw' does not exist: data/raw.csv" in done.err
    assert "--ignore-missing-data" in done.err
    assert not (torc.folder / "torc_output").exists()
    torc("create", "w.yaml")
    assert "data/raw.csv" in torc("run", "1", code=1).one_line()
    torc("run", "1", "--ignore-missing-data")
    torc.write("data/raw.csv", "1")
    torc("run", "w.yaml")


# ── interrupted ──────────────────────────────────────────────────────────────

SLOW = """\
name: slow
jobs:
  - name: job_{i}
    command: |
      echo start $TORC_JOB_NAME $TORC_ATTEMPT_ID >> log
      sleep {seconds}
      echo end $TORC_JOB_NAME $TORC_ATTEMPT_ID >> log
    parameters: {i: "1:4", seconds: "[%s]"}
"""


def lines(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().splitlines() if path.exists() else []


def stop(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_clean_stop_sends_jobs_back_and_the_run_goes_on(
    torc: Torc, number: int, code: int
) -> None:
    torc.write("slow.yaml", SLOW % 30)
    process = torc.start("run", "slow.yaml", "--max-parallel-jobs", "2")
    wait_until(lambda: len(lines(torc.folder)) == 2, "two jobs start")
    returned, err = stop(process, number)
    assert returned == code
    assert "Go on with: torc run 1" in err
    assert [line.split()[0] for line in lines(torc.folder)] == ["start", "start"]
    store = store_in(torc.folder)
    assert store.progress(1).counts == {JobStatus.READY: 4}
    assert Counter(job.attempt_id for job in store.rows(Job).items) == {2: 2, 1: 2}
    assert not any(node_alive for node_alive in _active(store))
    store.close()


def _active(store: SqlStore) -> list[int]:
    from slurmtorc.model import ComputeNode

    return [node.id for node in store.rows(ComputeNode, is_active=True).items]


def test_the_output_of_a_running_job_can_be_read(torc: Torc) -> None:
    torc.write("w.yaml", 'name: w\njobs: [{name: a, command: "echo so far; sleep 60"}]\n')
    process = torc.start("run", "w.yaml", "--output-dir", "elsewhere")
    path = torc.folder / "elsewhere/job_stdio/job_wf1_j1_r1_a1.o"
    wait_until(lambda: path.exists() and path.read_text() != "", "the job writes")
    assert torc("jobs", "logs", "1").out == "so far\n"
    assert "no attempt 2" in torc("jobs", "logs", "1", "-a", "2", code=1).one_line()
    stop(process, signal.SIGTERM)
    assert torc("jobs", "logs", "1", "-a", "1").out == "so far\n"


def test_a_second_ctrl_c_kills(torc: Torc) -> None:
    command = "trap '' TERM INT; touch up; while :; do sleep 0.1; done"
    torc.write("w.yaml", f'name: w\njobs: [{{name: a, command: "{command}"}}]\n')
    process = torc.start("run", "w.yaml")
    wait_until((torc.folder / "up").exists, "the job starts")
    os.kill(process.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    returned, _ = stop(process, signal.SIGINT)
    assert returned == 130


def test_three_kills_and_every_job_has_run_as_its_results_say(torc: Torc) -> None:
    spec = """\
name: killed
jobs:
  - name: job_{i:03d}
    command: |
      echo $TORC_JOB_NAME $TORC_ATTEMPT_ID start >> log
      sleep 0.05
      echo $TORC_JOB_NAME $TORC_ATTEMPT_ID end >> log
    parameters: {i: "1:60"}
  - name: last
    command: "true"
    depends_on_regexes: [job_]
"""
    torc("create", torc.write("killed.yaml", spec))
    for goal in (10, 40, 70):
        process = torc.start("run", "1", "--max-parallel-jobs", "4")
        wait_until(lambda goal=goal: len(lines(torc.folder)) >= goal, f"{goal} lines are written")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    done = torc("run", "1", "--max-parallel-jobs", "4")
    assert "jobs of a worker that died come back" in done.err
    store = store_in(torc.folder)
    assert store.progress(1).counts == {JobStatus.COMPLETED: 61}
    results = store.rows(Result, superseded=False).items
    store.close()
    completed = Counter(r.job_name for r in results if r.status is JobStatus.COMPLETED)
    assert set(completed.values()) == {1}
    assert len(completed) == 61
    told = {(r.job_name, str(r.attempt_id)): r.ending.value for r in results}
    starts = Counter(tuple(line.split()[:2]) for line in lines(torc.folder) if "start" in line)
    ends = Counter(tuple(line.split()[:2]) for line in lines(torc.folder) if "end" in line)
    assert set(starts.values()) <= {1}, "no attempt ran twice"
    assert set(starts) <= set(told), "whatever ran has a result"
    for attempt, ending in told.items():
        if ending == "exit" and attempt[0] != "last":
            assert (starts[attempt], ends[attempt]) == (1, 1), "a completed attempt ran to its end"
    lost = [attempt for attempt, ending in told.items() if ending == "orphaned"]
    assert lost


def test_jobs_of_a_killed_run_end_with_it(torc: Torc) -> None:
    torc.write("slow.yaml", SLOW % 300)
    process = torc.start("run", "slow.yaml", "--max-parallel-jobs", "4")
    wait_until(lambda: len(_sleepers(torc.folder)) == 4, "four jobs start")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not _sleepers(torc.folder), "nothing is left running")
    assert [line.split()[0] for line in lines(torc.folder)] == ["start"] * 4, "none came to its end"


def test_jobs_of_a_killed_run_that_live_on_end_before_they_run_again(torc: Torc) -> None:
    torc.write("slow.yaml", SLOW % 300)
    process = torc.start("run", "slow.yaml", "--max-parallel-jobs", "4")
    wait_until(lambda: len(_sleepers(torc.folder)) == 4, "four jobs start")
    os.kill(_guard_of(process.pid), signal.SIGKILL)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    left = _sleepers(torc.folder)
    assert len(left) == 4
    second = torc.start("run", "1", "--max-parallel-jobs", "4")
    wait_until(lambda: len(lines(torc.folder)) == 8, "they start again")
    assert not set(left) & set(_sleepers(torc.folder))
    returned, _ = stop(second, signal.SIGINT)
    assert returned == 130
    wait_until(lambda: not _sleepers(torc.folder), "nothing is left running")


def _guard_of(pid: int) -> int:
    """The process that stands by to end a run's jobs should the run be killed."""
    children = (each.pid for each in processes() if each.parent == pid)
    (guard,) = [p for p in children if b"torc-guard" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return guard


def _sleepers(folder: Path) -> list[int]:
    """Pids of the jobs' own `sleep` processes."""
    return [process.pid for process in processes() if _sleeps_in(folder, process.pid)]


def _sleeps_in(folder: Path, pid: int) -> bool:
    place = Path("/proc", str(pid))
    try:
        return (place / "cmdline").read_bytes() == b"sleep\x00300\x00" and (
            place / "cwd"
        ).readlink() == folder
    except OSError:
        return False
