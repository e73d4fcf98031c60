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
LATEST_S = 0.5


def work(url: str, workflow_id: int, ready: int, go: int) -> None:
    """What one process does."""
    store = SqlStore(url)
    node = store.register(a_node(workflow_id)).id
    os.write(ready, b".")
    os.read(go, 1)
    done = 0
    while claims := store.claim(node, PLENTY, BATCH):
        store.start(node, [claim.job_id for claim in claims])
        done += len(store.complete(node, [a_report(claim) for claim in claims]))
    store.retire(node)
    store.close()
    os.write(sys.stdout.fileno(), f"{done}\n".encode())  # at once: others write there too


def main(url: str, workflow_id: str, count: str, seed: str | None = None) -> int:
    """Start them all, let them go at once; the number of those that did not end well."""
    ready, go = os.pipe(), os.pipe()
    children = []
    for _ in range(int(count)):
        child = os.fork()
        if child == 0:
            os.close(go[1])
            code = 1
            with contextlib.suppress(BrokenPipeError):
                work(url, int(workflow_id), ready[1], go[0])
                code = 0
            os._exit(code)
        children.append(child)
    for _ in children:
        os.read(ready[0], 1)
    os.close(go[1])  # everybody's read ends
    if seed is not None:
        kill(children, random.Random(seed))
    return sum(os.waitpid(child, 0)[1] != 0 for child in children)


def kill(children: list[int], dice: random.Random) -> None:
    """At moments that a seed gives."""
    began = time.monotonic()
    moments = sorted((dice.uniform(0, LATEST_S), child) for child in children)
    for moment, child in moments:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
