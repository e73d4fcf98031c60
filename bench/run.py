"""How fast it is, as ratios: each figure beside a reference measured in the same run.

    python bench/run.py [help|run|store|scale|clients ...]     all of them if none is named

Postgres is measured too if TORC_BENCH_POSTGRES is the URL of an empty database of its own.
A machine's load moves a figure and its reference together: compare the ratios of two versions.
"""

from __future__ import annotations

import json
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
from slurmtorc.model import (
    Allocation,
    Capacity,
    ComputeNode,
    Ending,
    Job,
    JobStatus,
    Report,
    Result,
)
from slurmtorc.ports import Page
from slurmtorc.spec.check import load
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slurmtorc.model import Claim

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
    store.complete(node, [success(claim) for claim in claims])


def success(claim: Claim) -> Report:
    """The claimed attempt came to its end at once."""
    now = time.time()
    return Report(
        job_id=claim.job_id,
        run_id=1,
        attempt_id=claim.attempt_id,
        return_code=0,
        status=JobStatus.COMPLETED,
        ending=Ending.EXIT,
        start_time=now,
        completion_time=now,
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


# ── scale ────────────────────────────────────────────────────────────────────

PAIRS = """name: pairs
jobs:
- {{name: "a{{i:07d}}", command: "step {{i}}", parameters: {{i: "1:{half}"}}}}
- {{name: "b{{i:07d}}", command: "then {{i}}", parameters: {{i: "1:{half}"}},
   depends_on: ["a{{i:07d}}"]}}
"""
SCALES = (100_000, 1_000_000)
EXPLICIT_JOBS = 45_000
GROUP = 1000
CLIENTS = (16, 32)
CLIENT_JOBS = 40_000
STATUS_JOBS = 100_000


def measure_scale() -> None:
    """Load, check and insert, then initialize; then a status page and a page of the job list."""
    for jobs in SCALES:
        for url in databases():
            subprocess.run([*PYTHON, __file__, "--scale", url, str(jobs)], check=True)


def one_scale(url: str, jobs: int) -> None:
    """The same for one size, in a process of its own, whose memory is read."""
    Path("pairs.yaml").write_text(PAIRS.format(half=jobs // 2))
    began = time.perf_counter()
    draft = load("pairs.yaml")
    loaded = time.perf_counter()
    with closing(SqlStore(url)) as store:
        workflow_id = store.create(draft)
        created = time.perf_counter()
        store.initialize(workflow_id)
        begun = time.perf_counter()
        print(
            f"{jobs:,} jobs, {url.partition(':')[0]}: load and check {loaded - began:.2f} s, ",
            end="",
        )
        print(f"insert {created - loaded:.2f} s, initialize {begun - created:.2f} s, {own_peak()}")
        status = best(lambda: store.progress(workflow_id))
        page = best(lambda: store.rows(Job, Page(limit=50), workflow_id=workflow_id))
    print(f"  status page {1000 * status:.0f} ms, job list of 50 {1000 * page:.0f} ms")


def measure_explicit() -> None:
    """A YAML file of 10 MB without parameters, beside the events of its C parser alone."""
    command = "python3 /projects/analysis/run_step.py --sample {0} --input data/sample_{0}.csv"
    entry = (
        "- name: sample_{0:06d}\n  command: "
        + command
        + " --output results/{0}.parquet"
        + " -v" * 20
    )
    after = "\n  depends_on: [sample_{1:06d}]\n"
    entries = ((entry + after).format(i, max(0, i - 1)) for i in range(1, EXPLICIT_JOBS))
    Path("big.yaml").write_text("name: big\njobs:\n" + entry.format(0) + "\n" + "".join(entries))
    events = "import yaml; p = yaml.CSafeLoader(open('big.yaml'))\nwhile p.get_event(): pass"
    figures = paired(
        lambda: spent(*TORC, "spec", "check", "big.yaml"),
        lambda: spent(*PYTHON, "-c", events),
        repeats=3,
    )
    size = Path("big.yaml").stat().st_size / 1e6
    tell(
        f"torc spec check of {EXPLICIT_JOBS:,} explicit jobs, {size:.1f} MB", "its events", *figures
    )
    print(f"  {peak()}")


def measure_groups() -> None:
    """All of one group before all of another: through a pattern, and through one file."""
    first = f'name: "a{{i}}", command: "true", parameters: {{i: "1:{GROUP}"}}'
    then = f'name: "b{{i}}", command: "true", parameters: {{i: "1:{GROUP}"}}'
    ways = {
        "a pattern": f'jobs:\n- {{{first}}}\n- {{{then}, depends_on_regexes: ["^a"]}}\n',
        "one file": f"files: [{{name: f, path: f}}]\njobs:\n- {{{first}, output_files: [f]}}\n"
        f"- {{{then}, input_files: [f]}}\n",
    }
    for way, jobs in ways.items():
        Path("groups.yaml").write_text(f"name: groups\n{jobs}")
        for url in databases():
            draft = load("groups.yaml")
            with closing(SqlStore(url)) as store:
                began = time.perf_counter()
                store.initialize(store.create(draft))
                seconds = time.perf_counter() - began
            print(f"{GROUP} x {GROUP} by {way}, {url.partition(':')[0]}: {seconds:.2f} s")


def measure_clients() -> None:
    """Many processes claim, start and complete by ten; every second job waits for another."""
    Path("pairs.yaml").write_text(PAIRS.format(half=CLIENT_JOBS // 2))
    for url in databases():
        for count in CLIENTS:
            with closing(SqlStore(url)) as store:
                workflow_id = store.create(load("pairs.yaml"))
                store.initialize(workflow_id)
            tell_clients(
                f"{count} clients, {url.partition(':')[0]}", clients(url, workflow_id, count)
            )


def clients(url: str, workflow_id: int, count: int) -> list[dict[str, list[float]]]:
    """What each of them did."""
    command = [*PYTHON, __file__, "--client", url, str(workflow_id)]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(count)]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "here\n"
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return [json.loads(one.communicate()[0]) for one in started]


def one_client(url: str, workflow_id: int) -> None:
    """Claim, start and complete until nothing is left; the times of it."""
    store = SqlStore(url)
    node = store.register(
        ComputeNode(
            workflow_id=workflow_id,
            hostname="here",
            pid=os.getpid(),
            num_cpus=BATCH,
            memory_bytes=GIB,
        )
    ).id
    print("here", flush=True)
    sys.stdin.readline()
    began = time.time()
    claims: list[float] = []
    done = cycle(store, node, claims)
    print(json.dumps({"span": [began, time.time()], "claims": claims, "done": [done]}))
    store.close()


def cycle(store: SqlStore, node: int, claims: list[float]) -> int:
    """All rounds of one client; how many jobs it got."""
    done = 0
    capacity = Capacity(cpus=BATCH, memory_bytes=BATCH * GIB, gpus=0)
    while True:
        began = time.perf_counter()
        got = store.claim(node, capacity, BATCH)
        claims.append(time.perf_counter() - began)
        if not got:
            return done
        store.start(node, [claim.job_id for claim in got])
        store.complete(node, [success(claim) for claim in got])
        done += len(got)


def tell_clients(what: str, found: Sequence[Mapping[str, list[float]]]) -> None:
    """Throughput, the slowest claims, and the share of the unluckiest."""
    seconds = max(one["span"][1] for one in found) - min(one["span"][0] for one in found)
    shares = [one["done"][0] for one in found]
    claims = sorted(claim for one in found for claim in one["claims"])
    p99 = claims[int(0.99 * len(claims))]
    print(f"{what}: {sum(shares) / seconds:.0f} jobs/s; claim p99 {1000 * p99:.0f} ms; ", end="")
    print(f"the unluckiest has {min(shares) / statistics.mean(shares):.2f} of the mean")


def measure_status() -> None:
    """`torc status ID`, beside an interpreter that does nothing."""
    Path("pairs.yaml").write_text(PAIRS.format(half=STATUS_JOBS // 2))
    created("pairs.yaml").close()
    figures = paired(
        lambda: spent(*TORC, "status", "1", "--url", "sqlite:///torc.db"),
        lambda: spent(*PYTHON, "-c", "pass"),
    )
    tell(f"torc status of {STATUS_JOBS:,} jobs", "python -c pass", *figures)


def databases() -> list[str]:
    """A fresh SQLite file, and the Postgres database that TORC_BENCH_POSTGRES names, if any."""
    Path("torc.db").unlink(missing_ok=True)
    named = os.environ.get("TORC_BENCH_POSTGRES")
    return [f"sqlite:///{Path.cwd()}/torc.db", *([named] if named else [])]


def best(question: Callable[[], object], *, repeats: int = 5) -> float:
    """The median of the seconds it takes."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        question()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def own_peak() -> str:
    """The most memory that this process had."""
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"


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
    "scale": measure_scale,
    "explicit": measure_explicit,
    "groups": measure_groups,
    "clients": measure_clients,
    "status": measure_status,
}

PARTS: Mapping[str, Callable[[str, int], None]] = {"--scale": one_scale, "--client": one_client}
"""What this file does in processes of its own."""

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PARTS:
        PARTS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    else:
        main()
