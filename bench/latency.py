"""From the end of a job on one worker to the start of its dependent on another; and idling.

Four workers, each with room for one job, and layers of four jobs that all wait for the layer
before: of each layer three jobs at least start on a worker that had to hear of it.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack, closing
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import psutil

from bench import hands
from bench.figures import Row, quantile, value
from bench.plan import Benchmark, Missing, Place, Plan
from bench.workflows import draft_of
from slurmtorc.model import ComputeNode, JobStatus, Result
from slurmtorc.ports import Page
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.plan import Contender

WORKERS = 4
LAYERS = 60
JOB_S = 0.1
IDLE_S = 6.0
SETTLING_S = 2.0
START = "spawn of /bin/true"


def latency(place: Place, database: str) -> Plan:
    """Both halves, one after the other."""
    contenders: dict[str, Contender] = {
        "torc": partial(waking, place, database),
        "idle workers": partial(idling, place, database),
        START: spawning,
    }
    rows = [
        Row("p50", "ms", ("torc", "p50"), (START, "ms"), target=value(20)),
        Row("p99", "ms", ("torc", "p99"), (START, "ms"), target=value(200)),
        Row("CPU of an idle worker", "%", ("idle workers", "percent"), target=value(1)),
    ]
    return Plan(contenders, rows)


def waking(place: Place, database: str, folder: Path) -> dict[str, float]:
    """Milliseconds from end to start, over all jobs that changed worker."""
    layers = place.many(LAYERS, 3)
    with closing(_begun(place.url(database, folder), _layers(layers, JOB_S))) as store:
        workers = [_worker(store.url, folder) for _ in range(WORKERS)]
        try:
            for worker in workers:
                worker.wait(hands.LONGEST_S)
        finally:
            for worker in workers:
                hands.kill_group(worker)
        if store.progress(1).unsuccessful or not store.progress(1).is_complete:
            raise RuntimeError(f"not all jobs completed: {store.progress(1).counts}")
        results = store.rows(Result, Page(limit=layers * WORKERS), workflow_id=1).items
    waits = [1000 * wait for wait in waits_of(results)]
    if not waits:
        raise Missing("no job changed its worker")
    return {"p50": quantile(waits, 0.5), "p99": quantile(waits, 0.99)}


def waits_of(results: Sequence[Result]) -> list[float]:
    """Seconds from the end of a layer to each start of the next one on another worker.

    Jobs are in the order of their layers, WORKERS at a time.
    """
    ordered = sorted(results, key=lambda result: result.job_id)
    layers = [ordered[i : i + WORKERS] for i in range(0, len(ordered), WORKERS)]
    waits = []
    for before, after in pairwise(layers):
        last = max(before, key=lambda result: result.completion_time or 0)
        waits += [
            result.start_time - last.completion_time
            for result in after
            if result.compute_node_id != last.compute_node_id
            and result.start_time is not None
            and last.completion_time is not None
        ]
    return waits


def idling(place: Place, database: str, folder: Path) -> dict[str, float]:
    """What the busiest worker without a job uses of a CPU, while one job runs elsewhere."""
    seconds = place.seconds(IDLE_S)
    spec = _chain(f"sleep {30 + seconds}")
    with closing(_begun(place.url(database, folder), spec)) as store, ExitStack() as exits:
        workers = [_worker(store.url, folder) for _ in range(WORKERS)]
        for worker in workers:
            exits.callback(hands.end, worker)
        hands.wait_until(lambda: store.rows(ComputeNode).total_count == WORKERS)
        hands.wait_until(lambda: store.progress(1).counts.get(JobStatus.RUNNING) == 1)
        time.sleep(SETTLING_S)
        idle = [psutil.Process(worker.pid) for worker in workers]
        idle = [process for process in idle if not process.children()]
        before = [_cpu(process) for process in idle]
        begun = time.perf_counter()
        time.sleep(seconds)
        spent = time.perf_counter() - begun
        return {"percent": 100 * max(
            (_cpu(process) - was) / spent for process, was in zip(idle, before, strict=True)
        )}  # fmt: skip


def spawning(folder: Path) -> dict[str, float]:
    """What it takes to start a program and hear of its end: the least any answer can take."""
    true = hands.program("true")
    times = 50
    begun = time.perf_counter()
    for _ in range(times):
        subprocess.run([true], check=True, cwd=folder)
    return {"ms": 1000 * (time.perf_counter() - begun) / times}


def _begun(url: str, spec: str) -> SqlStore:
    """A store whose workflow 1 waits for workers."""
    store = SqlStore(url)
    store.initialize(store.create(draft_of(spec)))
    return store


def _worker(url: str, folder: Path) -> subprocess.Popen[bytes]:
    """One more worker on this machine, with room for one job."""
    return hands.started(
        [*hands.TORC, "run", "1", "--max-parallel-jobs", "1", "--url", url], folder
    )


def _layers(count: int, seconds: float) -> str:
    lines = ["name: wake", "jobs:"]
    for k in range(count):
        waits = f", depends_on_regexes: ['^l{k - 1}_']" if k else ""
        jobs = f'name: "l{k}_{{i}}", command: "sleep {seconds}", parameters: {{i: "1:{WORKERS}"}}'
        lines.append(f"- {{{jobs}{waits}}}")
    return "\n".join(lines) + "\n"


def _chain(command: str) -> str:
    return (
        "name: idle\njobs:\n"
        f'- {{name: a, command: "{command}"}}\n'
        '- {name: b, command: "true", depends_on: [a]}\n'
    )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


BENCHMARKS = tuple(
    Benchmark(
        f"latency-{database}",
        f"a job's end on one worker to a start on another, {WORKERS} workers on {database}",
        partial(latency, database=database),
    )
    for database in ("sqlite", "postgres")
)
