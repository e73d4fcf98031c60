"""What a watch costs: a poll of many workflows, and the time between polls.

Slurm's programs are shell scripts here that know every allocation, so that only the watch's own
work is measured; beside it what the scripts themselves cost.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import psutil

from bench import hands
from bench.figures import Row
from bench.plan import Benchmark, Place, Plan
from bench.workflows import a_node, draft_of
from slurmtorc.model import Allocation
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

WORKFLOWS = 100
ALLOCATIONS = 10
BATCH = 10
POLL_S = 2
POLLS = 10
REST_S = 60.0
FIRST_POLL_S = 10.0
FIRST_ID = 1000
SCRIPTS = "squeue and sacct, as scripts"


def poll(place: Place) -> Plan:
    """CPU of one poll of all workflows, what it starts included."""
    watched(place)
    contenders = {
        "torc watch": partial(polling, place),
        SCRIPTS: partial(asking, place.folder),
    }
    row = Row("CPU of a poll", "ms", ("torc watch", "ms"), (SCRIPTS, "ms"))
    return Plan(contenders, [row], [f"{place.many(WORKFLOWS)} workflows are watched"])


def polling(place: Place, _folder: Path) -> dict[str, float]:
    """A watch for some polls, less its first one, for each poll."""
    seconds = max(place.seconds(POLLS * POLL_S), 3 * POLL_S)
    calls = place.folder / "called"
    first = cpu_of_watch(place.folder, "--once")
    before = calls.read_text().split().count("squeue")
    used = cpu_of_watch(place.folder, "-p", f"{POLL_S}", seconds=seconds)
    polls = calls.read_text().split().count("squeue") - before
    return {"ms": 1000 * max(used - first, 0) / max(polls - 1, 1)}


def asking(folder: Path, _own: Path) -> dict[str, float]:
    """One call of each of the programs that a poll may call."""
    calls = [["./bin/squeue"], ["./bin/sacct"]]
    return {"ms": 1000 * sum(hands.run(call, folder).cpu for call in calls)}


def idle(place: Place) -> Plan:
    """How much of a CPU a watch of all workflows uses between two polls."""
    watched(place)
    contender = partial(resting, place.folder, place.seconds(REST_S), place.seconds(FIRST_POLL_S))
    row = Row("CPU between polls", "%", ("torc watch", "percent"))
    return Plan({"torc watch": contender}, [row])


def resting(folder: Path, seconds: float, first_poll: float, _own: Path) -> dict[str, float]:
    """Per cent of a CPU between two polls."""
    with ExitStack() as exits:
        watch = started_watch(folder, "-p", "600")
        exits.callback(hands.end, watch)
        time.sleep(first_poll)
        process = psutil.Process(watch.pid)
        before, begun = process.cpu_times(), time.perf_counter()
        time.sleep(seconds)
        after, spent = process.cpu_times(), time.perf_counter() - begun
    used = after.user + after.system - before.user - before.system
    return {"percent": 100 * used / spent}


def cpu_of_watch(folder: Path, *options: str, seconds: float | None = None) -> float:
    """CPU seconds of a watch and all it starts, to its end or for so long."""
    line = [*hands.TORC, "watch", "--all", *options, "--url", url(folder)]
    if seconds:
        line = [hands.program("timeout"), "--preserve-status", f"{seconds}", *line]
    return hands.run(line, folder, env=on_path(folder), must_succeed=False).cpu


def started_watch(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """A watch of everything, in the background."""
    line = [*hands.TORC, "watch", "--all", *options, "--url", url(folder)]
    return hands.started(line, folder, on_path(folder))


def url(folder: Path) -> str:
    """The store of what is watched."""
    return f"sqlite:///{folder}/torc.db"


def on_path(folder: Path) -> dict[str, str]:
    """Slurm's programs first."""
    return {"PATH": f"{folder}/bin:{os.environ['PATH']}"}


# ── what is watched ──────────────────────────────────────────────────────────


def watched(place: Place) -> None:
    """Workflows at work in allocations, and a Slurm that knows them."""
    with closing(SqlStore(url(place.folder))) as store:
        count = place.many(WORKFLOWS)
        tokens = [token for _ in range(count) for token in at_work(store)]
    play_slurm(place.folder, tokens)


def at_work(store: SqlStore) -> list[str]:
    """One more workflow whose allocations all run, each with a worker; their tokens."""
    jobs = ALLOCATIONS * BATCH * 2
    number = store.create(draft_of(
        f'name: many\njobs:\n- {{name: "j{{i}}", command: "true", parameters: {{i: "1:{jobs}"}}}}\n'
    ))  # fmt: skip
    store.initialize(number)
    with store.together():
        wanted = [
            Allocation(workflow_id=number, token=f"w{number}a{i}", output_dir="out")
            for i in range(ALLOCATIONS)
        ]
        for allocation in store.intend(wanted):
            employ(store, allocation)
    return [allocation.token for allocation in wanted]


def employ(store: SqlStore, allocation: Allocation) -> None:
    """The allocation runs, and its worker works."""
    number = FIRST_ID + allocation.id
    store.submitted(allocation.id, number)
    node = a_node(allocation.workflow_id, BATCH)
    node = store.register(replace(node, allocation_id=allocation.id, slurm_job_id=number))
    claims = store.claim_next(node.id, BATCH)
    store.start(node.id, [claim.job_id for claim in claims])


def play_slurm(folder: Path, tokens: Sequence[str]) -> None:
    """Slurm's programs, which know all allocations; one in a hundred only accounting does."""
    begun = time.strftime("%Y-%m-%dT%H:%M:%S")
    queue = [
        f"{FIRST_ID + i}|RUNNING|{begun}|{begun}|2099-01-01T00:00:00|n1|None|wf1_{token}"
        for i, token in enumerate(tokens, 1)
        if i % 100
    ]
    books = [
        f"{FIRST_ID + i}|RUNNING|{begun}|{begun}|Unknown|60|01:00:00|n1|wf1_{token}"
        for i, token in enumerate(tokens, 1)
        if not i % 100
    ]
    answers = {"squeue": queue, "sacct": books, "scontrol": ["Slurmctld(primary) at n1 is UP"]}
    (folder / "bin").mkdir()
    for name, lines in answers.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
        program = folder / "bin" / name
        program.write_text(f"#!/bin/sh\necho {name} >> {folder}/called\ncat {folder}/{name}.txt\n")
        program.chmod(0o755)


BENCHMARKS = (
    Benchmark("watch-poll", "a poll of 100 workflows with 1,000 allocations", poll),
    Benchmark("watch-idle", "a watch of them between its polls", idle, rounds=1),
)
