"""Many processes that work on one SQLite store at once: `python writers.py URL WORKFLOW N [SEED]`.

Each claims, starts and completes until nothing is left. With a seed all are killed by the kernel
at some moment of their work; without one each prints how many jobs it completed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time

from factories import PLENTY, a_node, a_report

from slurmtorc.store.sql import SqlStore

BATCH = 5
LATEST = 60
SHORT_S = 0.005


def work(url: str, workflow_id: int, told: int, go: int) -> None:
    """What one process does."""
    store = SqlStore(url)
    node = store.register(a_node(workflow_id)).id
    os.write(told, b".")
    os.read(go, 1)
    done = 0
    while claims := store.claim(node, PLENTY, BATCH):
        store.start(node, [claim.job_id for claim in claims])
        done += len(store.complete(node, [a_report(claim) for claim in claims]))
        os.write(told, b".")
    store.retire(node)
    store.close()
    os.write(sys.stdout.fileno(), f"{done}\n".encode())  # at once: others write there too


def main(url: str, workflow_id: str, count: str, seed: str | None = None) -> int:
    """Start them all, let them go at once; the number of those that did not end well."""
    told, go = os.pipe(), os.pipe()
    children = []
    for _ in range(int(count)):
        child = os.fork()
        if child == 0:
            os.close(go[1])
            code = 1
            with contextlib.suppress(BrokenPipeError):
                work(url, int(workflow_id), told[1], go[0])
                code = 0
            os._exit(code)
        children.append(child)
    for _ in children:
        os.read(told[0], 1)
    os.close(go[1])  # everybody's read ends
    if seed is not None:
        kill(children, told[0], random.Random(seed))
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def kill(children: list[int], told: int, dice: random.Random) -> None:
    """At moments that a seed gives: after so many batches of all of them, and a little more."""
    batches = 0
    for moment, child in sorted((dice.randint(1, LATEST), child) for child in children):
        while batches < moment:
            os.read(told, 1)
            batches += 1
        time.sleep(dice.uniform(0, SHORT_S))
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
