"""Recovery and planning again on a real Slurm cluster, from the command line."""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from cluster import age_intents, eventually

from slurmtorc.model import (
    Allocation,
    AllocationStatus,
    ComputeNode,
    Ending,
    Job,
    JobStatus,
    ResourceRequirements,
    Result,
    SlurmScheduler,
    Workflow,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cluster import RunningCluster
    from torc import Torc

    from slurmtorc.store.sql import SqlStore

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

GREEDY = """\
import os, time
again = os.path.exists("greedy.mark")
open("greedy.mark", "w").close()
held = bytearray(115 << 20)
time.sleep(0.1 if again else 30)
"""

FAILING = """\
name: failing
execution_config: {sigterm_lead_seconds: 1, sigkill_headroom_seconds: 50}
resource_monitor: {sample_interval_seconds: 1}
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT5S}
slurm_schedulers:
  - {name: short, account: sandbox, walltime: "00:01:00", mem: 1g, cpus_per_task: 4}
actions:
  - {trigger_type: on_workflow_start, action_type: schedule_nodes, scheduler: short}
jobs:
  - {name: fine, command: echo done >> fine.txt, resource_requirements: small}
  - {name: greedy, command: python3 greedy.py, resource_requirements: small}
  - name: slow
    command: sh -c 'test -e slow.mark && exit 0; touch slow.mark; exec sleep 60'
    resource_requirements: small
  - {name: wrong, command: exit 3, resource_requirements: small}
  - {name: behind, command: "true", resource_requirements: small, depends_on: [greedy, slow]}
  - {name: lost, command: "true", resource_requirements: small, depends_on: [behind, wrong]}
"""

PLAIN = """\
name: plain
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT1M}
jobs:
  - name: first_{i}
    command: test -e mended
    resource_requirements: small
    parameters: {i: "1:4"}
  - {name: last, command: "true", resource_requirements: small, depends_on_regexes: [first_]}
"""


def words(store: SqlStore) -> dict[str, str]:
    return {job.name: job.status.word for job in store.rows(Job, workflow_id=1).items}


def over(store: SqlStore) -> None:
    """Wait until the workflow is complete, and nobody works on it any more."""

    def quiet() -> bool:
        states = {one.status for one in store.rows(Allocation, workflow_id=1).items}
        return store.outlook(1).is_complete and states == {AllocationStatus.COMPLETE}

    eventually(quiet, 90)


def dump(folder: Path) -> str:
    """All that is in the database."""
    with sqlite3.connect(folder / "torc_output/torc.db") as connection:
        text = "\n".join(connection.iterdump())
    connection.close()
    return text


def next_job(cluster: RunningCluster) -> str:
    """The number that Slurm will give to the next submission, whoever makes it."""
    config = cluster.run("scontrol", "show", "config").stdout
    return next(line for line in config.splitlines() if line.startswith("NEXT_JOB_ID"))


def named(cluster: RunningCluster, token: str) -> list[str]:
    """The names of all Slurm jobs with that token, by its accounting; it may lag."""
    names = cluster.run("sacct", "-n", "-X", "-P", "-a", "-o", "JobName").stdout.split()
    return [name for name in names if name.endswith(f"_{token}")]


def test_what_ran_out_of_memory_or_time_is_healed_and_nothing_else_runs_again(
    torc: Torc, store: SqlStore
) -> None:
    torc.write("greedy.py", GREEDY)
    torc("submit", torc.write("failing.yaml", FAILING))
    over(store)
    assert words(store) == {
        "fine": "completed",
        "greedy": "failed",
        "slow": "terminated",
        "wrong": "failed",
        "behind": "canceled",
        "lost": "canceled",
    }
    before = dump(torc.folder)
    foreseen = torc("recover", "1", "--dry-run", "-f", "json").json
    assert dump(torc.folder) == before
    done = torc("recover", "1")
    assert "OOM detected, increasing memory 100m -> 150m" in done.out
    assert "timeout detected, increasing runtime PT5S -> " in done.out
    assert "Applied fixes: 1 OOM, 1 timeout" in done.out
    assert "1 job(s) with unknown failure cause (skipped, use --retry-unknown" in done.out
    over(store)
    assert words(store) == {
        "fine": "completed",
        "greedy": "completed",
        "slow": "completed",
        "wrong": "failed",
        "behind": "completed",
        "lost": "canceled",
    }
    assert (torc.folder / "fine.txt").read_text() == "done\n"
    again = {r.job_name for r in store.rows(Result, workflow_id=1, run_id=2).items}
    assert again == {"greedy", "slow", "behind"}
    endings = {r.job_name: r.ending for r in store.rows(Result, workflow_id=1, run_id=1).items}
    assert (endings["greedy"], endings["slow"]) == (Ending.OOM, Ending.TIMEOUT)
    _only_private_copies(store)
    assert len(foreseen["jobs_to_retry"]) == 3
    made = {one["name"] for one in foreseen["slurm_dry_run"]["schedulers_created"]}
    assert made <= {one.name for one in store.rows(SlurmScheduler, workflow_id=1).items}


def _only_private_copies(store: SqlStore) -> None:
    """The jobs that were healed have requirements of their own; the others have theirs."""
    needs = {one.id: one for one in store.rows(ResourceRequirements, workflow_id=1).items}
    memory = {
        job.name: needs[job.resource_requirements_id or 0].memory
        for job in store.rows(Job, workflow_id=1).items
    }
    assert memory.pop("greedy") == "150m"
    assert set(memory.values()) == {"100m"}


def test_recover_says_why_it_does_not(torc: Torc, store: SqlStore) -> None:
    torc("create", torc.write("plain.yaml", PLAIN))
    assert "no workflow 9" in torc("recover", "9", code=1).one_line()
    assert "not complete: 5 jobs are left" in torc("recover", "1", code=1).one_line()
    torc("slurm", "regenerate", "1", "--submit", "-a", "sandbox")
    over(store)
    before = dump(torc.folder)
    done = torc("recover", "1", code=1)
    assert "nothing that failed can be run again" in done.err
    assert "use --retry-unknown to include" in done.out
    assert dump(torc.folder) == before


def test_a_hook_mends_what_nobody_else_could(torc: Torc, store: SqlStore) -> None:
    torc("slurm", "regenerate", "1", code=1)
    torc("create", torc.write("plain.yaml", PLAIN))
    torc("slurm", "regenerate", "1", "--submit", "-a", "sandbox")
    over(store)
    hook = 'echo "$TORC_WORKFLOW_ID $TORC_RUN_ID $TORC_STORE_URL $1" > told; {}\n'
    torc.write("hook.sh", "#!/bin/sh\n" + hook.format("exit 4"))
    (torc.folder / "hook.sh").chmod(0o755)
    before = dump(torc.folder)
    refused = torc("recover", "1", "--recovery-hook", "hook.sh", code=1)
    assert "hook ended with 4; nothing was changed" in refused.one_line()
    assert dump(torc.folder) == before
    assert (torc.folder / "told").read_text() == f"1 1 {store.url} 1\n"
    torc.write("hook.sh", "#!/bin/sh\n" + hook.format("touch mended; echo said"))
    done = torc("recover", "1", "--recovery-hook", "hook.sh", "-f", "json")
    assert done.json["unknown_retried"] == 4
    assert "said" in done.err
    over(store)
    assert set(words(store).values()) == {"completed"}


def test_what_an_agent_lets_run_again_gets_nodes(torc: Torc, store: SqlStore) -> None:
    torc("create", torc.write("plain.yaml", "use_pending_failed: true\n" + PLAIN))
    torc("slurm", "regenerate", "1", "--submit", "-a", "sandbox")
    eventually(lambda: Counter(words(store).values())["pending_failed"] == 4, 90)
    eventually(lambda: not store.rows(ComputeNode, is_active=True).items, 90)
    torc.env["TORC"] = f"{sys.executable} -P -m slurmtorc"
    agent = "bash -c 'touch mended; $TORC jobs classify -w 1 retry'"
    done = torc("recover", "1", "--ai-recovery", "--ai-agent", agent, "-f", "json")
    assert "4 of 4 jobs decided" in done.err
    assert done.json["submitted"] is True
    over(store)
    assert set(words(store).values()) == {"completed"}


def test_a_dry_run_of_planning_again_changes_nothing_and_twice_makes_no_doubles(
    torc: Torc, store: SqlStore, cluster: RunningCluster
) -> None:
    torc("create", torc.write("plain.yaml", PLAIN))
    before, known = dump(torc.folder), next_job(cluster)
    shown = torc("slurm", "regenerate", "1", "--dry-run", "--submit", "-a", "sandbox")
    assert shown.out.count("#!/bin/bash") == 2
    plan = torc("slurm", "regenerate", "1", "--dry-run", "-a", "sandbox", "-f", "json").json
    assert (plan["pending_jobs"], plan["allocations_deferred"]) == (5, 1)
    torc("slurm", "schedule-nodes", "1", "--dry-run", code=1)
    assert dump(torc.folder) == before
    assert next_job(cluster) == known
    for _ in range(2):
        report = torc("slurm", "regenerate", "1", "-a", "sandbox", "-f", "json").json
        assert (report["submitted"], report["allocations_submitted"]) == (False, 0)
    names = [one.name for one in store.rows(SlurmScheduler, workflow_id=1).items]
    assert names == ["small_regen_1", "small_regen_2"]
    assert store.rows(Allocation).items == []
    assert next_job(cluster) == known
    first = torc("slurm", "regenerate", "1", "--submit", "-f", "json").json
    assert first["submitted"]
    assert [one["name"] for one in first["schedulers_used"]] == names
    second = torc("slurm", "regenerate", "1", "--submit", "-f", "json").json
    assert second["allocations_submitted"] == 0
    over(store)
    assert store.rows(SlurmScheduler, workflow_id=1).total_count == 2


def test_nodes_are_asked_for_by_hand(torc: Torc, store: SqlStore, cluster: RunningCluster) -> None:
    spec = PLAIN + (
        "slurm_schedulers:\n"
        '  - {name: one, account: sandbox, walltime: "00:10:00", mem: 1g, cpus_per_task: 2}\n'
        '  - {name: two, account: sandbox, walltime: "00:10:00", mem: 1g, cpus_per_task: 2}\n'
    )
    (torc.folder / "mended").touch()
    torc("create", torc.write("plain.yaml", spec))
    assert "which scheduler?" in torc("slurm", "schedule-nodes", "1", code=2).one_line()
    assert "1 (one), 2 (two)" in torc(
        "slurm", "schedule-nodes", "1", "--scheduler-config-id", "9", code=1
    ).one_line()  # fmt: skip
    before = dump(torc.folder)
    by_hand = ("slurm", "schedule-nodes", "1", "--scheduler-config-id", "2", "-j", "mine_")
    shown = torc(*by_hand, "-n", "2", "-o", "elsewhere", "--dry-run").out
    assert "--job-name=mine_wf1_dryrun" in shown
    assert f"--output={torc.folder}/elsewhere/" in shown
    assert dump(torc.folder) == before
    report = torc(*by_hand, "-n", "2", "-m", "1", "-o", "elsewhere", "-f", "json").json
    assert len(report["slurm_job_ids"]) == 2
    assert store.get(Workflow, 1).run_id == 1
    over(store)
    assert set(words(store).values()) == {"completed"}
    allocations = store.rows(Allocation, workflow_id=1).items
    assert [one.max_parallel_jobs for one in allocations] == [1, 1]
    token = allocations[0].token
    eventually(lambda: named(cluster, token) == [f"mine_wf1_{token}"], 20)


# ── kill -9 ──────────────────────────────────────────────────────────────────

KILLER = """\
#!/bin/sh
# sbatch that ends whoever calls it: before Slurm hears of the job, or right after.
if [ -e "{folder}/armed" ]; then
    rm "{folder}/armed"
    {after} PATH="{path}" sbatch "$@" > "{folder}/answer"
    kill -9 $PPID
    exit 1
fi
PATH="{path}" exec sbatch "$@"
"""


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
def test_a_recovery_killed_around_sbatch_neither_loses_nor_doubles(
    torc: Torc, store: SqlStore, cluster: RunningCluster, after: bool
) -> None:
    _failed(torc, store)
    tools = torc.folder / "tools"
    tools.mkdir()
    path = torc.env["PATH"]
    script = KILLER.format(folder=torc.folder, path=path, after="" if after else ": #")
    (tools / "sbatch").write_text(script)
    (tools / "sbatch").chmod(0o755)
    (torc.folder / "armed").touch()
    torc.env["PATH"] = f"{tools}:{path}"
    torc("recover", "1", "--retry-unknown", code=-9)
    assert store.get(Workflow, 1).run_id == 2
    intents = store.rows(Allocation, workflow_id=1, status=AllocationStatus.INTENDED).items
    if not after:
        assert len(intents) == 1
        assert "not complete" in torc("recover", "1", code=1).one_line()
    age_intents(torc.folder, 1000)
    torc("submit", "1", code=None)
    over(store)
    assert set(words(store).values()) == {"completed"}
    assert store.get(Workflow, 1).run_id == 2
    for one in store.rows(Allocation, workflow_id=1).items:
        eventually(lambda token=one.token: named(cluster, token), 20)
        assert len(named(cluster, one.token)) == 1
    results = store.rows(Result, workflow_id=1, run_id=2).items
    assert len(results) == 5, "every job ran once in the second run"


def test_a_recovery_killed_before_it_changes_anything_has_changed_nothing(
    torc: Torc, store: SqlStore
) -> None:
    _failed(torc, store)
    torc.write("hook.sh", "#!/bin/sh\nkill -9 $PPID\n")
    (torc.folder / "hook.sh").chmod(0o755)
    before = dump(torc.folder)
    torc("recover", "1", "--recovery-hook", "./hook.sh", code=-9)
    assert dump(torc.folder) == before
    torc("recover", "1", "--retry-unknown")
    over(store)
    assert set(words(store).values()) == {"completed"}


def _failed(torc: Torc, store: SqlStore) -> None:
    """A workflow whose jobs failed, and would not fail again."""
    torc("create", torc.write("plain.yaml", PLAIN))
    torc("slurm", "regenerate", "1", "--submit", "-a", "sandbox")
    over(store)
    assert store.progress(1).counts == {JobStatus.FAILED: 4, JobStatus.CANCELED: 1}
    (torc.folder / "mended").touch()
