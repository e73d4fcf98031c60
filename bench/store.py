"""Claim, start, complete with unblocking: many processes at one store, ten jobs at a time.

As a worker does it: the ends of one batch, and the claim and the starts of the next one, are one
transaction. Beside it bare commits of three times as many rows, one a batch, by one process
alone: what the database takes for the same number of transactions when nobody else is there.
"""

from __future__ import annotations

import gc
import multiprocessing
import sqlite3
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import hands
from bench.figures import Row, quantile, value
from bench.plan import Benchmark, Place, Plan
from bench.workflows import GIB, a_node, ready_store
from slurmtorc.__main__ import NEW_OBJECTS
from slurmtorc.model import Capacity, Ending, JobStatus, Report
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

    from slurmtorc.model import Claim

JOBS = {"sqlite": 40_000, "postgres": 20_000}
BATCH = 10
ROWS = 3 * BATCH
BARE_ROUNDS = 300
RATE = {"sqlite": 20_000, "postgres": 6_000}
CLAIM_MS = 100
FAIR = 0.3
BARE = "bare commits"


def cycle(place: Place, database: str, clients: int) -> Plan:
    """So many client processes until all jobs are done."""
    jobs = max(place.many(JOBS[database]), 4 * clients * BATCH)
    contenders = {
        "store": partial(contest, place, database, clients, jobs),
        BARE: partial(bare, place, database),
    }
    alone = clients == 1
    rows = [
        Row(
            "rate", "jobs/s", ("store", "rate"), (BARE, "rate"), higher=True,
            target=None if alone else value(RATE[database]),
        ),
        Row("exchange, p50", "ms", ("store", "p50")),
        Row("exchange, p99", "ms", ("store", "p99"), target=None if alone else value(CLAIM_MS)),
    ]  # fmt: skip
    if not alone:
        least = Row(
            "least client, of the mean", "x", ("store", "least"), higher=True, target=value(FAIR)
        )
        rows.append(least)
    return Plan(contenders, rows)


def contest(place: Place, database: str, clients: int, jobs: int, folder: Path) -> dict[str, float]:
    """All clients at once; what they did together and apart."""
    url = place.url(database, folder)
    ready_store(url, jobs).close()
    answers, seconds = together(url, clients)
    done = [count for count, _ in answers]
    left = jobs // 2 * 2 - clients * BATCH
    assert sum(done) == left, f"{sum(done)} of {left} jobs were done"
    waits = [1000 * wait for _, some in answers for wait in some]
    return {
        "rate": sum(done) / seconds,
        "p50": quantile(waits, 0.5),
        "p99": quantile(waits, 0.99),
        "least": min(done) * clients / sum(done),
    }


def together(url: str, clients: int) -> tuple[list[tuple[int, list[float]]], float]:
    """Start the clients, let them begin at once; their answers, and the seconds it took."""
    spawn = multiprocessing.get_context("spawn")  # a copy of this process would be no client
    pairs = [spawn.Pipe() for _ in range(clients)]
    processes = [spawn.Process(target=client, args=(url, theirs)) for _, theirs in pairs]
    for process in processes:
        process.start()
    try:
        for ours, _ in pairs:
            ours.recv()  # it is there
        begun = time.perf_counter()
        for ours, _ in pairs:
            ours.send("go")
        answers = [_answer(ours) for ours, _ in pairs]
        return answers, time.perf_counter() - begun
    finally:
        for process in processes:
            process.join(5)
            process.kill()


def _answer(connection: Connection[Any, Any]) -> Any:
    if not connection.poll(hands.LONGEST_S):
        raise RuntimeError("a client did not come to its end")
    return connection.recv()


def client(url: str, connection: Connection[Any, Any]) -> None:
    """One process: batches until the workflow is complete; how many jobs, and each one's wait.

    The first ones are not among them: a process makes its statements when it first needs them,
    and a worker's first ones are measured elsewhere.
    """
    gc.set_threshold(NEW_OBJECTS)  # as every command of ours does
    with closing(SqlStore(url)) as store:
        node = store.register(a_node(1, BATCH)).id
        claims = exchange(store, node, exchange(store, node, []))
        connection.send("here")
        connection.recv()
        done, waits = 0, []
        while True:
            begun = time.perf_counter()
            done += len(claims)
            claims = exchange(store, node, claims)
            waits.append(time.perf_counter() - begun)
            if not claims:
                if store.outlook(1).is_complete:
                    break
                time.sleep(0.001)
        connection.send((done, waits))


def exchange(store: SqlStore, node: int, ran: list[Claim]) -> list[Claim]:
    """Complete what ran, claim and start the next ones: in one transaction, as a worker does."""
    reports = [report(claim) for claim in ran]
    with store.together():
        if ran:
            done = store.complete(node, reports)
            assert len(done) == len(ran), "a job was not ours to complete"
        free = Capacity(cpus=BATCH, memory_bytes=BATCH * GIB)
        return store.claim(node, free, BATCH, start=True)


def report(claim: Claim) -> Report:
    """It ran, and it was good."""
    now = time.time()
    return Report(
        job_id=claim.job_id, run_id=1, attempt_id=claim.attempt_id, return_code=0,
        status=JobStatus.COMPLETED, ending=Ending.EXIT, start_time=now, completion_time=now,
    )  # fmt: skip


# ── the reference ────────────────────────────────────────────────────────────


def bare(place: Place, database: str, folder: Path) -> dict[str, float]:
    """Jobs per second if each batch were one commit of three rows a job, and nothing else."""
    rounds = place.many(BARE_ROUNDS)
    work = _bare_sqlite if database == "sqlite" else _bare_postgres
    seconds = work(place.url(database, folder).removeprefix("sqlite:///"), rounds)
    return {"rate": rounds * BATCH / seconds}


def _bare_sqlite(path: str, commits: int) -> float:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, word TEXT)")

        def commit() -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO row (word) VALUES (?)", [("word",)] * ROWS)
            connection.execute("COMMIT")

        return _seconds(commit, commits)


def _bare_postgres(url: str, commits: int) -> float:
    import psycopg  # noqa: PLC0415  an extra

    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE line (id SERIAL PRIMARY KEY, word TEXT)")

        def commit() -> None:
            values = [["word"] * ROWS]
            connection.execute("INSERT INTO line (word) SELECT unnest(%s::text[])", values)
            connection.commit()

        return _seconds(commit, commits)


def _seconds(work: Callable[[], None], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - begun


BENCHMARKS = tuple(
    Benchmark(
        f"cycle-{clients}-{database}",
        f"{clients} clients claim, start and complete by tens on {database}",
        partial(cycle, database=database, clients=clients),
    )
    for database in ("sqlite", "postgres")
    for clients in (1, 16, 32)
)
