"""The hot path of a run beside what does the same with less, and how soon a worker hears of news.

    python bench/hot.py [true|bash|layers|news|postgres ...]     all but postgres if none is named

`postgres` needs TORC_BENCH_POSTGRES, the URL of a database that may be written to. Every figure
stands beside a reference of the same run; with them the CPU seconds of the worker alone, which
say more than the time where the machine does other things as well.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
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
from slurmtorc.model import Ending, Job, JobStatus, Result
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).parent
TORC = (sys.executable, "-P", "-m", "slurmtorc")
JOBS = int(os.environ.get("TORC_BENCH_JOBS", "10000"))
PARALLEL = 2
LAYERS = 100
PAIRS = 100
IDLE_S = 20
RUNNING = JobStatus.RUNNING
SPEC = 'name: noop\njobs:\n- {name: "j{i}", command: "%s", parameters: {i: "1:%d"}}\n'


def main() -> None:
    """Run the measurements named on the command line, each in a folder of its own."""
    for name in sys.argv[1:] or [name for name in MEASUREMENTS if name != "postgres"]:
        with tempfile.TemporaryDirectory(prefix="torc-bench-") as folder:
            os.chdir(folder)
            MEASUREMENTS[name]()
            os.chdir("/")


# ── many short jobs ──────────────────────────────────────────────────────────


def measure_true() -> None:
    """`torc run` of jobs that do nothing, beside a loop in C and make."""
    torc = ran(SPEC % ("true", JOBS))
    told("torc run", torc, {"C loop": c_loop("/bin/true"), "make -j2": made("true")})


def measure_bash() -> None:
    """The same with a shell for each, beside xargs."""
    torc = ran(SPEC % (":; true", JOBS))
    told("torc run, bash -c", torc, {"xargs": xargs(), "C loop": c_loop("/bin/bash", "-c", ":")})


def measure_layers() -> None:
    """Layers of jobs that each wait for all of the layer before, beside as many without."""
    width = JOBS // LAYERS
    jobs = [
        f'- {{name: "l{i}j{{j}}", command: "true", parameters: {{j: "1:{width}"}}'
        + (f', depends_on_regexes: ["^l{i - 1}j"]' if i else "")
        + "}"
        for i in range(LAYERS)
    ]
    layered = ran("name: layers\njobs:\n" + "\n".join(jobs) + "\n")
    told("torc run, layers", layered, {"independent jobs": ran(SPEC % ("true", JOBS))[0]})


def ran(spec: str) -> tuple[float, float]:
    """Seconds of a `torc run`, and what it used of the CPU without its jobs."""
    folder = Path(tempfile.mkdtemp(dir="."))
    (folder / "jobs.yaml").write_text(spec)
    command = [sys.executable, "-P", "-c", OWN_CPU, *("run", "jobs.yaml", "--max-parallel-jobs")]
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, str(PARALLEL)], cwd=folder, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - begun, float(done.stderr.splitlines()[-1])


OWN_CPU = """\
import contextlib, resource, sys
from slurmtorc.__main__ import main
with contextlib.suppress(SystemExit):
    main()
own = resource.getrusage(resource.RUSAGE_SELF)
print(own.ru_utime + own.ru_stime, file=sys.stderr)
"""


def c_loop(*program: str) -> float:
    """Seconds of posix_spawn and wait, in C."""
    subprocess.run(["cc", "-O2", "-o", "loop", HERE / "loop.c"], check=True)
    Path("loop_out").mkdir(exist_ok=True)
    return spent("./loop", str(JOBS), str(PARALLEL), "loop_out", *program)


def made(command: str) -> float:
    """Seconds of make for as many targets."""
    names = " ".join(f"j{i}" for i in range(JOBS))
    Path("Makefile").write_text(
        f"all: {names}\n{names}:\n\t@{command} >make_out/$@.o 2>make_out/$@.e\n"
    )
    Path("make_out").mkdir()
    return spent("make", f"-j{PARALLEL}", "-s")


def xargs() -> float:
    """Seconds of xargs with a shell for each."""
    Path("xargs_out").mkdir()
    script = f"seq {JOBS} | xargs -P{PARALLEL} -I@ bash -c ':; true >xargs_out/@.o 2>xargs_out/@.e'"
    return spent("sh", "-c", script)


def told(what: str, torc: tuple[float, float], beside: Mapping[str, float]) -> None:
    """Print a figure and its references."""
    seconds, cpu = torc
    print(f"{what}: {JOBS / seconds:.0f} jobs/s, {1000 * cpu / JOBS:.2f} ms of CPU a job, {peak()}")
    for name, reference in beside.items():
        print(f"  {name}: {JOBS / reference:.0f} jobs/s; ratio {reference / seconds:.2f}")


# ── news ─────────────────────────────────────────────────────────────────────


def measure_news() -> None:
    """From the end of a job on one worker to the start of what waits for it on another."""
    news(f"sqlite:///{Path.cwd()}/torc.db")


def measure_postgres() -> None:
    """The same on Postgres."""
    news(os.environ["TORC_BENCH_POSTGRES"])


def news(url: str) -> None:
    """A chain whose jobs fit on one worker and on others in turn; then what idle workers cost."""
    with closing(SqlStore(url, create=True)) as store:
        workflow_id = store.create(read_draft(str(chain())))
        store.initialize(workflow_id)
        workers = [at_work(url, workflow_id, "8", "0")]
        wait_for(lambda: bool(store.rows(Job, workflow_id=workflow_id, status=RUNNING).items))
        workers += [at_work(url, workflow_id, *has) for has in (("1", "1"), ("2", "0"), ("1", "1"))]
        wait_for(lambda: store.progress(workflow_id).unfinished == 1, pause=1.0)
        idle = share(workers[1:])
        for worker in workers:
            worker.terminate()
            worker.wait()
        results = store.rows(Result, workflow_id=workflow_id, ending=Ending.EXIT).items
    chained = sorted((one for one in results if one.return_code == 0), key=began)
    gaps = [
        1000 * (began(after) - before.completion_time)
        for before, after in itertools.pairwise(chained)
        if after.compute_node_id != before.compute_node_id
    ]
    ends = statistics.quantiles(gaps, n=100)
    print(
        f"from an end to a start elsewhere ({len(gaps)} times, {url.partition(':')[0]}): ", end=""
    )
    print(f"p50 {ends[49]:.1f} ms, p99 {ends[98]:.1f} ms")
    print(f"  an idle worker: {100 * idle:.2f} % of a CPU")


def began(result: Result) -> float:
    """When an attempt began."""
    return result.start_time or result.completion_time


def chain() -> Path:
    """A long job, and a chain that needs a GPU and two CPUs in turn."""
    needs = [
        {"memory": "100m", "runtime": "PT1H", "num_nodes": 1, **need}
        for need in (
            {"name": "all", "num_cpus": 8, "num_gpus": 0},
            {"name": "gpu", "num_cpus": 1, "num_gpus": 1},
            {"name": "cpus", "num_cpus": 2, "num_gpus": 0},
        )
    ]
    jobs = [
        {
            "name": f"j{i}",
            "command": "sleep 0.05",
            "resource_requirements": "cpus" if i % 2 else "gpu",
            "depends_on": [f"j{i - 1}"] if i else [],
        }
        for i in range(PAIRS)
    ]
    jobs.append({"name": "long", "command": "sleep 1000", "resource_requirements": "all"})
    spec = {"name": "chain", "resource_requirements": needs, "jobs": jobs}
    path = Path("chain.json")
    path.write_text(json.dumps(spec))
    return path


def at_work(url: str, workflow_id: int, cpus: str, gpus: str) -> subprocess.Popen[bytes]:
    """A worker that has so many CPUs and GPUs."""
    command = [*TORC, "run", str(workflow_id), "--url", url, "--num-cpus", cpus]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*command, "--num-gpus", gpus], stdin=quiet, stdout=quiet, stderr=quiet)


def share(workers: Sequence[subprocess.Popen[bytes]]) -> float:
    """How much of a CPU each of these uses while nothing happens."""

    def used() -> float:
        times = [psutil.Process(worker.pid).cpu_times() for worker in workers]
        return sum(each.user + each.system for each in times)

    before = used()
    time.sleep(IDLE_S)
    return (used() - before) / IDLE_S / len(workers)


# ── how ──────────────────────────────────────────────────────────────────────


def wait_for(happened: Callable[[], bool], pause: float = 0.1) -> None:
    """Until it is so."""
    while not happened():
        time.sleep(pause)


def spent(*command: str) -> float:
    """Seconds a command takes; it must succeed."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def peak() -> str:
    """The largest memory of any process started so far."""
    return f"peak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB"


MEASUREMENTS: Mapping[str, Callable[[], None]] = {
    "true": measure_true,
    "bash": measure_bash,
    "layers": measure_layers,
    "news": measure_news,
    "postgres": measure_postgres,
}

if __name__ == "__main__":
    main()
