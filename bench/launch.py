"""Many jobs that do nothing: `torc run` from the file to the final table, beside the limits."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import hands
from bench.figures import Row, ratio, value
from bench.peers import PEERS, peer
from bench.plan import Benchmark, Missing, Place, Plan

if TYPE_CHECKING:
    from bench.plan import Contender

JOBS = 10_000
AT_ONCE = 2
LAYERS = 100
MAKE = "make -j2"
MAKE_INSIDE = "make -j2, a builtin"
"""Of the shell that make starts for each target: no program is executed then, as we execute one."""
WORK_US = 350
"""About what we use for each job beyond the spawn: a limit for whoever has as much to do."""
NEEDS_SHELL = "true; true"
"""bash must read it, and bash alone can do it."""


def run_many(place: Place) -> Plan:
    """No shell anywhere: the machine's limit, make, and what others run jobs with."""
    jobs = place.many(JOBS)
    limit, spawning, remarks = spawn_loop(jobs, "true")
    busy, spawning_busily, _ = spawn_loop(jobs, "true", work_us=WORK_US)
    contenders: dict[str, Contender] = {
        "torc": partial(torc_run, flat(jobs, "true"), jobs),
        limit: spawning,
        busy: spawning_busily,
        MAKE: partial(make, jobs, hands.program("true")),
        MAKE_INSIDE: partial(make, jobs, "true"),
    }
    if place.peers:
        contenders |= {name: partial(peer, name, jobs) for name in PEERS}
    return Plan(contenders, [*own_rows(limit, busy), *peer_rows(place)], remarks)


def own_rows(limit: str, busy: str) -> list[Row]:
    """The lines about ourselves."""
    rate, cpu = ("torc", "rate"), ("torc", "cpu_ms")
    return [
        Row("rate", "jobs/s", rate, (limit, "rate"), higher=True, target=ratio(0.55)),
        Row("rate", "jobs/s", rate, (busy, "rate"), higher=True),
        Row("rate", "jobs/s", rate, (MAKE, "rate"), higher=True, target=ratio(1.0)),
        Row("rate", "jobs/s", rate, (MAKE_INSIDE, "rate"), higher=True),
        Row("CPU beyond the spawn", "ms/job", cpu, target=value(0.8), less=(limit, "cpu_ms")),
        Row("peak memory", "MB", ("torc", "peak_mb"), target=value(120)),
    ]


def peer_rows(place: Place) -> list[Row]:
    """The lines about others; only HyperQueue has a target."""
    if not place.peers:
        return []
    targets = {"hyperqueue": ratio(4.0)}
    return [
        Row("rate", "jobs/s", ("torc", "rate"), (name, "rate"), True, targets.get(name))  # noqa: FBT003  higher
        for name in PEERS
    ]


def run_bash(place: Place) -> Plan:
    """Commands that need a shell: one bash for each job, as xargs would start it."""
    jobs = place.many(JOBS)
    command = ("bash", "-c", NEEDS_SHELL)
    limit, spawning, remarks = spawn_loop(jobs, *command)
    busy, spawning_busily, _ = spawn_loop(jobs, *command, work_us=WORK_US)
    beside = "xargs -P2 bash -c"
    rate = ("torc", "rate")
    contenders: dict[str, Contender] = {
        "torc": partial(torc_run, flat(jobs, NEEDS_SHELL), jobs),
        beside: partial(xargs, jobs),
        limit: spawning,
        busy: spawning_busily,
    }
    rows = [
        Row("rate", "jobs/s", rate, (beside, "rate"), higher=True, target=ratio(0.9)),
        Row("rate", "jobs/s", rate, (limit, "rate"), higher=True),
        Row("rate", "jobs/s", rate, (busy, "rate"), higher=True),
    ]
    return Plan(contenders, rows, remarks)


def run_layers(place: Place) -> Plan:
    """Each job waits for all of the layer before; beside as many that wait for nothing."""
    layers = place.many(LAYERS, power=0.5)
    jobs = layers * layers
    contenders = {
        "layered": partial(torc_run, layered(layers, layers), jobs),
        "independent jobs": partial(torc_run, flat(jobs, "true"), jobs),
    }
    rows = [
        Row(
            "time", "s", ("layered", "seconds"), ("independent jobs", "seconds"), target=ratio(1.15)
        ),
        Row("peak memory", "MB", ("layered", "peak_mb")),
    ]
    return Plan(contenders, rows)


# ── specs ────────────────────────────────────────────────────────────────────


def flat(jobs: int, command: str) -> str:
    """So many jobs that wait for nothing."""
    return (
        "name: noop\njobs:\n"
        f'- {{name: "j{{i}}", command: "{command}", parameters: {{i: "1:{jobs}"}}}}\n'
    )


def layered(layers: int, width: int) -> str:
    """Layers of jobs, all-to-all from one to the next."""
    lines = ["name: layered", "jobs:"]
    for k in range(layers):
        waits = f", depends_on_regexes: ['^l{k - 1}_']" if k else ""
        name = f'name: "l{k}_{{i}}", command: "true", parameters: {{i: "1:{width}"}}'
        lines.append(f"- {{{name}{waits}}}")
    return "\n".join(lines) + "\n"


# ── contenders ───────────────────────────────────────────────────────────────


def torc_run(spec: str, jobs: int, folder: Path) -> dict[str, float]:
    """Ourselves, as a user would run it; every job must complete."""
    Path(folder, "jobs.yaml").write_text(spec)
    command = [*hands.TORC, "run", "jobs.yaml", "--max-parallel-jobs", str(AT_ONCE)]
    return hands.run([*command, "--fail-on-error"], folder).of(jobs)


def spawn_loop(jobs: int, *command: str, work_us: int = 0) -> tuple[str, Contender, list[str]]:
    """The limit: a loop that only starts and reaps, two files each; its name, and remarks.

    `work_us`: microseconds of CPU that the loop uses up for each job besides.
    """
    try:
        loop: tuple[str, ...] = (str(hands.compiled("spawn.c")),)
        name, remarks = "C posix_spawn", []
    except Missing as error:
        loop = (sys.executable, "-I", "-S", str(hands.PROGRAMS / "spawn.py"))
        name = "Python posix_spawn"
        remarks = [f"{error}: a loop in Python stands for the limit, and flatters us a little"]
    path = hands.program(command[0])

    def spawning(folder: Path) -> dict[str, float]:
        arguments = [str(jobs), str(AT_ONCE), str(work_us), str(folder), path, *command[1:]]
        return hands.run([*loop, *arguments], folder).of(jobs)

    return name + (f" + {work_us / 1000:g} ms" if work_us else ""), spawning, remarks


def make(jobs: int, command: str, folder: Path) -> dict[str, float]:
    """As many jobs as targets, each with its two files."""
    targets = " ".join(f"j{i}" for i in range(jobs))
    Path(folder, "Makefile").write_text(
        f"all: {targets}\n.PHONY: all {targets}\n{targets}:\n\t@{command} >$@.o 2>$@.e\n"
    )
    return hands.run([hands.program("make"), "-j2", "-s"], folder).of(jobs)


def xargs(jobs: int, folder: Path) -> dict[str, float]:
    """The same jobs by xargs, each with its two files."""
    inner = f"{{ {NEEDS_SHELL}; }} >{{}}.o 2>{{}}.e"
    line = f"seq {jobs} | xargs -P{AT_ONCE} -I{{}} bash -c '{inner}'"
    hands.program("xargs")
    return hands.run([hands.program("sh"), "-c", line], folder).of(jobs)


BENCHMARKS = (
    Benchmark("run10k", "10,000 jobs of `true`, 2 at a time, from file to table", run_many),
    Benchmark("run10k-bash", "the same with commands that need a shell", run_bash),
    Benchmark("run10k-layered", "100 layers of 100 jobs, all-to-all between layers", run_layers),
)
