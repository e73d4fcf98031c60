"""How fast it is, as ratios: each figure beside a reference measured in the same run.

    python bench/run.py [help|worker|run|spec|store|watch ...]     all of them if none is named

A machine's load moves a figure and its reference together: compare the ratios of two versions.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from slurmtorc.cli.run import read_draft
from slurmtorc.model import Allocation, Capacity, ComputeNode, Ending, JobStatus, Report, Result
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PYTHON = (sys.executable, "-P")
TORC = (*PYTHON, "-m", "slurmtorc")
REPEATS = 10
JOBS = 10_000
SPEC_JOBS = 100_000
PARALLEL = 2
BATCH = 10
ROUNDS = 300
GIB = 1024**3
WORKFLOWS = 100
ALLOCATIONS = 10
POLL_S = 2
POLLS = 10
REST_S = 60
FIRST_ID = 1000


def main() -> None:
    """Run the measurements named on the command line, each in a folder of its own."""
    for name in sys.argv[1:] or list(MEASUREMENTS):
        if name not in MEASUREMENTS:
            sys.exit(f"there is no measurement '{name}': {', '.join(MEASUREMENTS)}")
        with tempfile.TemporaryDirectory(prefix="torc-bench-") as folder:
            os.chdir(folder)
            MEASUREMENTS[name]()
            os.chdir("/")


# ── what is measured ─────────────────────────────────────────────────────────


def measure_help() -> None:
    """`torc --help`, beside an interpreter that imports what it is written with."""
    figures = paired(lambda: spent(*TORC, "--help"), lambda: spent(*PYTHON, "-c", "import click"))
    tell("torc --help", "python importing click", *figures)


def measure_worker() -> None:
    """From the start of `torc worker` to the start of its first job."""
    figures = paired(to_its_first_job, lambda: spent(*PYTHON, "-c", "import click, sqlalchemy"))
    tell("torc worker until its first job starts", "python importing sqlalchemy", *figures)


def to_its_first_job() -> float:
    """Seconds from the start of a worker to the start of the job it finds."""
    Path("one.yaml").write_text('name: one\njobs: [{name: a, command: "true"}]\n')
    in_slurm = {
        "SLURM_JOB_ID": "1",
        "SLURM_CPUS_ON_NODE": "2",
        "SLURM_MEM_PER_NODE": "1000",
        "SLURM_JOB_END_TIME": f"{time.time() + 3600:.0f}",
    }
    with closing(created("one.yaml")) as store:
        intent = Allocation(workflow_id=1, token=f"{time.time_ns()}", output_dir="out")
        allocation = store.intend([intent])[0]
        begun = time.time()
        spent(*TORC, "worker", str(allocation.id), "--url", "sqlite:///torc.db", env=in_slurm)
        started = store.rows(Result).items[0].start_time
    assert started is not None
    Path("torc.db").unlink()
    return started - begun


def measure_run() -> None:
    """`torc run` of many jobs that do nothing, beside a loop that only starts and reaps them."""
    spec = 'name: noop\njobs:\n- {name: "j{i}", command: "true", parameters: {i: "1:%d"}}\n'
    Path("noop.yaml").write_text(spec % JOBS)
    reference = bare_loop()
    seconds = spent(*TORC, "run", "noop.yaml", "--max-parallel-jobs", str(PARALLEL))
    print(f"torc run of {JOBS} jobs of `true`: {JOBS / seconds:.0f} jobs/s, {peak()}")
    print(f"  a bare posix_spawn loop: {JOBS / reference:.0f} jobs/s; ", end="")
    print(f"ratio {seconds / reference:.2f}")


def bare_loop() -> float:
    """Seconds to start and reap the same processes, as many at once, and nothing else."""
    program = shutil.which("true") or "/bin/true"
    begun = time.perf_counter()
    for i in range(JOBS + PARALLEL):
        if i >= PARALLEL:
            os.wait()
        if i < JOBS:
            os.posix_spawn(program, ["true"], os.environ, setsid=True)
    return time.perf_counter() - begun


def measure_spec() -> None:
    """`torc spec check` of many jobs, beside reading the same jobs as JSON."""
    half = SPEC_JOBS // 2
    Path("many.yaml").write_text(
        "name: many\njobs:\n"
        f'- {{name: "a{{i:06d}}", command: "step {{i}}", parameters: {{i: "1:{half}"}}}}\n'
        f'- {{name: "b{{i:06d}}", command: "then {{i}}", parameters: {{i: "1:{half}"}},'
        ' depends_on: ["a{i:06d}"]}\n'
    )
    with Path("many.json").open("wb") as file:
        expand = [*TORC, "spec", "expand", "many.yaml", "--to", "json"]
        subprocess.run(expand, stdout=file, check=True)
    reading = "import json, pathlib; json.loads(pathlib.Path('many.json').read_text())"
    figures = paired(
        lambda: spent(*TORC, "spec", "check", "many.yaml"),
        lambda: spent(*PYTHON, "-c", reading),
        repeats=3,
    )
    tell(f"torc spec check of {SPEC_JOBS} jobs", "reading them as JSON", *figures)
    print(f"  {peak()}")


def measure_store() -> None:
    """Claim, start and complete, a batch each, beside bare commits of as many rows."""
    spec = 'name: many\njobs:\n- {name: "j{i}", command: "true", parameters: {i: "1:%d"}}\n'
    Path("many.yaml").write_text(spec % (ROUNDS * BATCH))
    with closing(created("many.yaml")) as store:
        node = store.register(
            ComputeNode(
                workflow_id=1, hostname="here", pid=os.getpid(), num_cpus=BATCH, memory_bytes=GIB
            )
        ).id
        begun = time.perf_counter()
        for _ in range(ROUNDS):
            one_round(store, node)
        seconds = time.perf_counter() - begun
    reference = bare_commits()
    done = ROUNDS * BATCH
    print(f"store: claim, start, complete by {BATCH}: {done / seconds:.0f} jobs/s")
    print(f"  three bare commits of as many rows: {done / reference:.0f} jobs/s; ", end="")
    print(f"ratio {seconds / reference:.2f}")


def one_round(store: SqlStore, node: int) -> None:
    """A batch of jobs from ready to completed, in three transactions."""
    capacity = Capacity(cpus=BATCH, memory_bytes=BATCH * GIB, gpus=0)
    claims = store.claim(node, capacity, BATCH)
    assert len(claims) == BATCH
    store.start(node, [claim.job_id for claim in claims])
    now = time.time()
    store.complete(
        node,
        [
            Report(
                job_id=claim.job_id,
                run_id=1,
                attempt_id=claim.attempt_id,
                return_code=0,
                status=JobStatus.COMPLETED,
                ending=Ending.EXIT,
                start_time=now,
                completion_time=now,
            )
            for claim in claims
        ],
    )


def bare_commits() -> float:
    """Seconds for three commits a round, of a batch of rows each, on SQLite as we open it."""
    connection = sqlite3.connect("bare.db", isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, word TEXT)")
    begun = time.perf_counter()
    for _ in range(3 * ROUNDS):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO row (word) VALUES (?)", [("word",)] * BATCH)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds


# ── the watch ────────────────────────────────────────────────────────────────


def measure_watch() -> None:
    """A poll of many workflows, Slurm's programs being shell scripts; and a watch between polls."""
    with closing(SqlStore(f"sqlite:///{Path.cwd()}/torc.db", create=True)) as store:
        play_slurm([token for _ in range(WORKFLOWS) for token in at_work(store)])
    environ = {"PATH": f"{Path.cwd()}/bin:{os.environ['PATH']}"}
    first = cpu_of_watch(environ, "--all", "--once")
    called = Path("called").read_text().split()
    polls = cpu_of_watch(environ, "--all", "-p", f"{POLL_S}", seconds=POLLS * POLL_S)
    looks = Path("called").read_text().split().count("squeue") - called.count("squeue")
    print(f"a poll of {WORKFLOWS} workflows with {WORKFLOWS * ALLOCATIONS} allocations: ", end="")
    print(f"{1000 * polls / looks:.0f} ms of CPU ({looks} polls); {' '.join(called)}")
    nothing = cpu_of_watch(environ, "--help")
    print(f"  the first one, with its sweeps, in a process of its own: {first - nothing:.2f} s")
    print(f"  a watch of them all between polls: {100 * share_at_rest(environ):.3f} % of a CPU")


def at_work(store: SqlStore) -> list[str]:
    """One more workflow whose allocations all run, each with a worker; their tokens."""
    spec = 'name: many\njobs:\n- {name: "j{i}", command: "true", parameters: {i: "1:%d"}}\n'
    Path("many.yaml").write_text(spec % (ALLOCATIONS * BATCH * 2))
    number = store.create(read_draft("many.yaml"))
    store.initialize(number)
    with store.together():
        wanted = [
            Allocation(workflow_id=number, token=f"w{number}a{i}", output_dir="out")
            for i in range(ALLOCATIONS)
        ]
        for allocation in store.intend(wanted):
            store.submitted(allocation.id, FIRST_ID + allocation.id)
            node = store.register(
                ComputeNode(
                    workflow_id=number, hostname="n1", pid=1, num_cpus=BATCH, memory_bytes=GIB,
                    lease_until=time.time() + 3600, allocation_id=allocation.id,
                    slurm_job_id=FIRST_ID + allocation.id,
                )
            )  # fmt: skip
            claims = store.claim_next(node.id, BATCH)
            store.start(node.id, [claim.job_id for claim in claims])
    return [allocation.token for allocation in wanted]


def play_slurm(tokens: Sequence[str]) -> None:
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
    Path("bin").mkdir()
    for name, lines in answers.items():
        Path(f"{name}.txt").write_text("\n".join(lines) + "\n")
        program = Path("bin", name)
        program.write_text(
            f"#!/bin/sh\necho {name} >> {Path.cwd()}/called\ncat {Path.cwd()}/{name}.txt\n"
        )
        program.chmod(0o755)


def cpu_of_watch(environ: Mapping[str, str], *options: str, seconds: float | None = None) -> float:
    """CPU seconds of a watch and all it starts, to its end or for so long."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    watch = started_watch(environ, *options)
    try:
        watch.wait(seconds)
    except subprocess.TimeoutExpired:
        watch.terminate()
        watch.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def share_at_rest(environ: Mapping[str, str]) -> float:
    """How much of a CPU a watch uses between two polls."""
    watch = started_watch(environ, "--all", "-p", "600")
    time.sleep(10)  # its first poll is over by then
    before, begun = psutil.Process(watch.pid).cpu_times(), time.perf_counter()
    time.sleep(REST_S)
    after, seconds = psutil.Process(watch.pid).cpu_times(), time.perf_counter() - begun
    watch.terminate()
    watch.wait()
    return (after.user + after.system - before.user - before.system) / seconds


def started_watch(environ: Mapping[str, str], *options: str) -> subprocess.Popen[bytes]:
    """A watch in this folder."""
    command = [*TORC, "watch", *options, "--url", "sqlite:///torc.db"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command, env={**os.environ, **environ}, stdin=quiet, stdout=quiet, stderr=quiet
    )


# ── how ──────────────────────────────────────────────────────────────────────


def created(spec: str) -> SqlStore:
    """The store of one workflow that is ready to run."""
    spent(*TORC, "create", spec, "--url", "sqlite:///torc.db")
    store = SqlStore(f"sqlite:///{Path.cwd()}/torc.db")
    store.initialize(1)
    return store


def spent(*command: str, env: Mapping[str, str] | None = None) -> float:
    """Seconds a command takes; it must succeed."""
    begun = time.perf_counter()
    quiet = subprocess.DEVNULL
    environ = {**os.environ, **(env or {})}
    subprocess.run(command, check=True, stdin=quiet, stdout=quiet, stderr=quiet, env=environ)
    return time.perf_counter() - begun


def paired(
    figure: Callable[[], float], reference: Callable[[], float], *, repeats: int = REPEATS
) -> tuple[float, float]:
    """Medians of both, measured in turn after one round to warm up."""
    figure(), reference()
    pairs = [(figure(), reference()) for _ in range(repeats)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def tell(what: str, beside: str, seconds: float, reference: float) -> None:
    """Print a figure, its reference and their ratio."""
    print(f"{what}: {1000 * seconds:.0f} ms")
    print(f"  {beside}: {1000 * reference:.0f} ms; ratio {seconds / reference:.2f}")


def peak() -> str:
    """The largest memory of any process started so far."""
    return f"peak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB"


MEASUREMENTS: Mapping[str, Callable[[], None]] = {
    "help": measure_help,
    "worker": measure_worker,
    "store": measure_store,
    "run": measure_run,
    "spec": measure_spec,
    "watch": measure_watch,
}

if __name__ == "__main__":
    main()
