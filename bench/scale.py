"""Large workflows: reading, creating, beginning and looking at them, beside the bare database."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import hands
from bench.figures import Row, value
from bench.plan import Benchmark, Place, Plan
from bench.startup import BARE
from bench.workflows import draft_of, ready_store, spec_of
from slurmtorc.model import Job
from slurmtorc.ports import Page
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.plan import Contender

BIG, HUGE = 100_000, 1_000_000
EXPLICIT = 45_000
GROUP = 1000
LOOKS = 20
PAGE = 50
LOADED = "bare insert"
READ = "python json.loads"


# ── create and begin ─────────────────────────────────────────────────────────


def create(place: Place, database: str, jobs: int, limits: tuple[float, float]) -> Plan:
    """`torc create` from the file, then the verb that begins a run; and the store's size."""
    count = place.many(jobs)
    peak = value(2048) if jobs == HUGE else None
    contenders = {
        "torc create": partial(creating, place, database, count),
        LOADED: partial(bare_insert, place, database, count),
    }
    name, bare = "torc create", (LOADED, "seconds")
    rows = [
        Row("load, check, expand, insert", "s", (name, "seconds"), bare, target=value(limits[0])),
        Row("initialize", "s", (name, "initialize"), bare, target=value(limits[1])),
        Row("peak memory", "MB", (name, "peak_mb"), target=peak),
    ]
    return Plan(contenders, rows)


def creating(place: Place, database: str, jobs: int, folder: Path) -> dict[str, float]:
    """Create in a process of its own; begin in this one."""
    url = place.url(database, folder)
    Path(folder, "many.yaml").write_text(spec_of(jobs))
    used = hands.run([*hands.TORC, "create", "many.yaml", "--url", url], folder).of(jobs)
    with closing(SqlStore(url)) as store:
        begun = time.perf_counter()
        store.initialize(1)
        return used | {"initialize": time.perf_counter() - begun}


def bare_insert(place: Place, database: str, jobs: int, folder: Path) -> dict[str, float]:
    """As many rows with as many edges, by the fastest way the database has."""
    rows = ((i, 1, f"a{i:06d}", f"step {i}", 0, 1) for i in range(jobs))
    edges = ((i, i + 1) for i in range(jobs // 2))
    insert = _into_sqlite if database == "sqlite" else _into_postgres
    where = str(folder / "bare.db") if database == "sqlite" else place.url(database, folder)
    begun = time.perf_counter()
    insert(where, rows, edges)
    return {"seconds": time.perf_counter() - begun}


SCHEMA = (
    "CREATE TABLE job (id BIGINT PRIMARY KEY, wf BIGINT, name TEXT, command TEXT, a INT, b INT)",
    "CREATE TABLE edge (job BIGINT, other BIGINT, PRIMARY KEY (job, other))",
)


def _into_sqlite(path: str, rows: Iterator[object], edges: Iterator[object]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; BEGIN")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.executemany("INSERT INTO job VALUES (?,?,?,?,?,?)", rows)  # type: ignore[arg-type]
        connection.executemany("INSERT INTO edge VALUES (?,?)", edges)  # type: ignore[arg-type]
        connection.execute("COMMIT")


def _into_postgres(url: str, rows: Iterator[object], edges: Iterator[object]) -> None:
    import psycopg  # noqa: PLC0415  an extra

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for statement in SCHEMA:
            cursor.execute(statement.encode())
        for table, source in ((b"job", rows), (b"edge", edges)):
            with cursor.copy(b"COPY " + table + b" FROM STDIN") as copy:
                for row in source:
                    copy.write_row(row)  # type: ignore[arg-type]


# ── large files, large groups ────────────────────────────────────────────────


def explicit(place: Place) -> Plan:
    """`torc spec check` of a long file in which every job is written out."""
    jobs = place.many(EXPLICIT)
    data = [_written_out(i) for i in range(jobs)]
    as_json, as_yaml = place.folder / "long.json", place.folder / "long.yaml"
    as_json.write_text(json.dumps({"name": "long", "jobs": data}))
    as_yaml.write_text("name: long\njobs:\n" + "".join(map(_entry, data)))
    reading = f"import json; json.load(open({str(as_json)!r}))"
    contenders = {
        "torc spec check": _command([*hands.TORC, "spec", "check", str(as_yaml)]),
        READ: _command([*hands.PYTHON, "-c", reading]),
    }
    ours = "torc spec check"
    rows = [
        Row("load and check", "s", (ours, "seconds"), (READ, "seconds"), target=value(4)),
        Row("peak memory", "MB", (ours, "peak_mb"), target=value(400)),
    ]
    return Plan(contenders, rows, [f"the file has {as_yaml.stat().st_size / 1e6:.1f} MB"])


def _written_out(i: int) -> dict[str, Any]:
    """One job of many, as large as people's are."""
    return {
        "name": f"job_{i:05d}",
        "command": f"python work.py --case {i} --out results/{i:05d}.json --seed {i * 7919}"
        f" --log logs/{i:05d}.txt --tolerance 1e-06 --method adaptive",
        "depends_on": [f"job_{i - 1:05d}"] if i % 10 else [],
        "env": {"OMP_NUM_THREADS": "1"},
    }


def _entry(job: dict[str, Any]) -> str:
    """One job as a person writes it."""
    waits = "".join(f"      - {name}\n" for name in job["depends_on"])
    return (
        f"  - name: {job['name']}\n    command: {job['command']}\n"
        + (f"    depends_on:\n{waits}" if waits else "")
        + "    env:\n      OMP_NUM_THREADS: '1'\n"
    )


def _command(line: list[str]) -> hands.Measuring:
    return lambda folder: hands.run(line, folder).of(1)


def bipartite(place: Place) -> Plan:
    """All-to-all between two groups: how it is stored, and how long that takes."""
    size = place.many(GROUP)
    contenders: dict[str, Contender] = {"torc": partial(_two_groups, size), BARE: hands.bare_python}
    rows = [
        Row(
            "created and initialized", "s", ("torc", "seconds"), (BARE, "seconds"), target=value(1)
        ),
        Row("dependency rows", "rows", ("torc", "rows"), target=value(5000)),
    ]
    return Plan(contenders, rows)


def _two_groups(size: int, folder: Path) -> dict[str, float]:
    spec = (
        "name: two\njobs:\n"
        f'- {{name: "a{{i}}", command: "true", parameters: {{i: "1:{size}"}}}}\n'
        f'- {{name: "b{{i}}", command: "true", parameters: {{i: "1:{size}"}},'
        " depends_on_regexes: ['^a']}\n"
    )
    with closing(SqlStore(f"sqlite:///{folder}/torc.db")) as store:
        begun = time.perf_counter()
        store.initialize(store.create(draft_of(spec)))
        seconds = time.perf_counter() - begun
        # Pairs as they are stored: a barrier counts as the one node that it is.
        pairs = sum(len(set(nodes)) for nodes in store.links(1).waits_for.values())
    return {"seconds": seconds, "rows": float(pairs)}


# ── looking ──────────────────────────────────────────────────────────────────


def pages(place: Place, database: str) -> Plan:
    """What a status page asks of the store, in a store that is open."""
    url = place.url(database, place.folder)
    store = ready_store(url, place.many(HUGE))
    place.exits.callback(store.close)
    last = store.rows(Job, Page(limit=1), workflow_id=1).total_count

    def looking(_folder: Path) -> dict[str, float]:
        return {
            "progress": _spent(lambda: store.progress(1)),
            "first": _spent(lambda: store.rows(Job, Page(limit=PAGE), workflow_id=1)),
            "middle": _spent(lambda: store.rows(Job, Page(last // 2, PAGE), workflow_id=1)),
        }

    target = value(50)
    rows = [
        Row("progress", "ms", ("store", "progress"), (BARE, "ms"), target=target),
        Row("the first 50 jobs", "ms", ("store", "first"), (BARE, "ms"), target=target),
        Row("50 jobs in the middle", "ms", ("store", "middle"), (BARE, "ms"), target=target),
    ]
    return Plan({"store": looking, BARE: _bare_ms}, rows)


def _spent(work: hands.Work) -> float:
    """The median of some milliseconds."""
    took = []
    for _ in range(LOOKS):
        begun = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - begun))
    return sorted(took)[len(took) // 2]


def _bare_ms(folder: Path) -> dict[str, float]:
    return {"ms": 1000 * hands.bare_python(folder)["seconds"]}


# ── the table ────────────────────────────────────────────────────────────────


def _create(name: str, database: str, jobs: int, limits: tuple[float, float]) -> Benchmark:
    prepare = partial(create, database=database, jobs=jobs, limits=limits)
    about = f"create and initialize {jobs:,} jobs on {database}"
    return Benchmark(f"create-{name}-{database}", about, prepare, rounds=3, heavy=jobs == HUGE)


BENCHMARKS = (
    *(_create("100k", database, BIG, (6, 1)) for database in ("sqlite", "postgres")),
    *(_create("1m", database, HUGE, (60, 10)) for database in ("sqlite", "postgres")),
    Benchmark("yaml10mb", "check a YAML file of 45,000 jobs", explicit),
    Benchmark("bipartite", "1,000 jobs that wait for 1,000 others", bipartite),
    *(
        Benchmark(
            f"page-1m-{database}", f"pages of 1,000,000 jobs on {database}",
            partial(pages, database=database), heavy=True,
        )
        for database in ("sqlite", "postgres")
    ),
)  # fmt: skip
