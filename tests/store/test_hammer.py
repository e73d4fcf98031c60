"""Sixteen processes at once: no job is given out twice, none is lost, nobody starves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from factories import a_draft, a_job

from slurmtorc.model import Event, Job, JobStatus, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurmtorc.store.sql import SqlStore

pytestmark = pytest.mark.slow

PROCESSES = 16
JOBS = 1_600

WORKER = """
import json, sys
sys.path.insert(0, sys.argv[3])
from factories import PLENTY, a_node, a_report
from slurmtorc.store.sql import SqlStore
store = SqlStore(sys.argv[1])
workflow_id = int(sys.argv[2])
node = store.register(a_node(workflow_id)).id
print("here", flush=True)
sys.stdin.readline()
mine = []
while not store.progress(workflow_id).is_complete:
    claims = store.claim(node, PLENTY, 5)
    started = store.start(node, [claim.job_id for claim in claims])
    assert started == sorted(claim.job_id for claim in claims), (started, claims)
    ended = store.complete(node, [a_report(claim) for claim in claims])
    assert sorted(ended) == started, (started, ended)
    mine += started
store.retire(node)
print(json.dumps(mine))
"""


def test_no_job_is_given_to_two_workers(
    shared_store: Callable[[], SqlStore], request: pytest.FixtureRequest
) -> None:
    store = shared_store()
    # Layers, so that claims race with unblocking: each job waits for two of the layer before.
    width = JOBS // 4
    jobs = [a_job(f"j{i}") for i in range(width)]
    jobs += [
        a_job(f"j{i}", i - width, (i // width - 1) * width + (i + 7) % width)
        for i in range(width, JOBS)
    ]
    workflow_id = store.create(a_draft(*jobs))
    store.initialize(workflow_id)
    tests = str(request.config.rootpath / "tests")
    command = [sys.executable, "-c", WORKER, store.url, str(workflow_id), tests]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "here\n"
    answers = [worker.communicate("go\n")[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * PROCESSES
    done = Counter(job_id for answer in answers for job_id in json.loads(answer))
    assert len(done) == JOBS
    assert set(done.values()) == {1}
    assert store.progress(workflow_id).counts == {JobStatus.COMPLETED: JOBS}
    assert store.rows(Result, workflow_id=workflow_id).total_count == JOBS
    for kind in ("job_started", "job_completed"):
        assert store.rows(Event, workflow_id=workflow_id, type=kind).total_count == JOBS
    assert store.rows(Job, workflow_id=workflow_id, compute_node_id=None).total_count == JOBS
