"""What it costs to begin: help, a status, a worker's first job; and checking a spec."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from bench import hands
from bench.figures import Row, ratio
from bench.plan import Benchmark, Place, Plan
from bench.workflows import created, ready_store
from slurmtorc.model import Allocation, Result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.figures import Target

BARE = "python -c pass"
JOBS = 100_000
IN_SLURM = {
    "SLURM_JOB_ID": "1",
    "SLURM_CPUS_ON_NODE": "2",
    "SLURM_MEM_PER_NODE": "1000",
}


def show_help(_place: Place) -> Plan:
    """`torc --help`."""
    return beside_python("torc --help", partial(command, [*hands.TORC, "--help"]), ratio(5))


def show_status(place: Place) -> Plan:
    """`torc status` of a large workflow."""
    url = place.url("sqlite", place.folder)
    created(url, place.many(JOBS)).close()
    line = [*hands.TORC, "status", "1", "--url", url]
    return beside_python("torc status", partial(command, line), ratio(30))


def first_job(_place: Place) -> Plan:
    """From the start of `torc worker` to the start of its first job."""
    return beside_python("torc worker", to_its_first_job, ratio(40))


def import_sql(_place: Place) -> Plan:
    """What importing SQLAlchemy alone costs: no program of ours that uses it starts faster."""
    line = [*hands.PYTHON, "-c", "import sqlalchemy"]
    return beside_python("import sqlalchemy", partial(command, line), None)


def beside_python(name: str, contender: hands.Measuring, target: Target | None) -> Plan:
    """Times as multiples of an interpreter that does nothing."""
    rows = [
        Row("time", "s", (name, "seconds"), (BARE, "seconds"), target=target),
        Row("CPU", "ms", (name, "cpu_ms"), (BARE, "cpu_ms")),
    ]
    return Plan({name: contender, BARE: hands.bare_python}, rows)


def command(line: Sequence[str], folder: Path) -> dict[str, float]:
    """One command to its end."""
    return hands.run(line, folder).of(1)


def to_its_first_job(folder: Path) -> dict[str, float]:
    """Seconds from the start of a worker to the start of the job it finds."""
    with closing(ready_store(f"sqlite:///{folder}/torc.db", 1)) as store:
        intent = Allocation(workflow_id=1, token="bench", output_dir=str(folder / "out"))
        allocation = store.intend([intent])[0]
        until = {"SLURM_JOB_END_TIME": f"{time.time() + 3600:.0f}"}
        begun = time.time()
        line = [*hands.TORC, "worker", str(allocation.id), "--url", store.url]
        used = hands.run(line, folder, env=IN_SLURM | until)
        began = store.rows(Result).items[0].start_time
    assert began is not None
    return used.of(1) | {"seconds": began - begun}


BENCHMARKS = (
    Benchmark("help", "`torc --help`", show_help, rounds=10),
    Benchmark("status-100k", "`torc status` of 100,000 jobs", show_status, rounds=10),
    Benchmark("worker", "a worker, from its start to the start of a job", first_job, rounds=10),
    Benchmark("import-sqlalchemy", "the part of a start that is not ours", import_sql, rounds=10),
)
