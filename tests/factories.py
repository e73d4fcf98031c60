"""Records with everything defaulted, so that a test names only what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurmtorc.model import (
    Allocation,
    Capacity,
    ComputeNode,
    Draft,
    DraftJob,
    Ending,
    JobStatus,
    Report,
    ResourceRequirements,
    SlurmScheduler,
    Workflow,
)
from slurmtorc.units import parse_duration, parse_memory

if TYPE_CHECKING:
    from slurmtorc.model import Claim
    from slurmtorc.ports import Store

PLENTY = Capacity(cpus=10_000, memory_bytes=1 << 50, gpus=100)


def a_need(name: str = "need", **values: Any) -> ResourceRequirements:
    given = {"memory": "1m", "runtime": "PT1M"} | values
    given["memory_bytes"] = parse_memory(given["memory"])
    given["runtime_s"] = parse_duration(given["runtime"])
    return ResourceRequirements(name=name, **given)


def a_scheduler(name: str = "scheduler", **values: Any) -> SlurmScheduler:
    return SlurmScheduler(**{"name": name, "account": "sandbox"} | values)


def a_draft(*jobs: DraftJob | str, **values: Any) -> Draft:
    """A draft of these jobs; a bare name is a job that runs `true`."""
    made = [DraftJob(name=job, command="true") if isinstance(job, str) else job for job in jobs]
    workflow = values.pop("workflow", None) or Workflow(name="test", user="tester")
    return Draft(workflow=workflow, jobs=made, **values)


def a_job(name: str, *depends_on: int, **values: Any) -> DraftJob:
    return DraftJob(**{"name": name, "command": "true", "depends_on": depends_on} | values)


def a_node(workflow_id: int, **values: Any) -> ComputeNode:
    given = {
        "workflow_id": workflow_id,
        "hostname": "n1",
        "pid": 1,
        "num_cpus": 4,
        "memory_bytes": 1 << 32,
        "lease_until": 2e9,
    }
    return ComputeNode(**given | values)


def an_allocation(workflow_id: int, token: str = "token", **values: Any) -> Allocation:
    return Allocation(workflow_id=workflow_id, token=token, output_dir="/out", **values)


def a_report(claim: Claim, **values: Any) -> Report:
    """A success of the claimed attempt, unless told otherwise."""
    code = values.pop("return_code", 0)
    given = {
        "job_id": claim.job_id,
        "run_id": 1,
        "attempt_id": claim.attempt_id,
        "return_code": code,
        "status": JobStatus.FAILED if code else JobStatus.COMPLETED,
        "ending": Ending.EXIT,
        "start_time": 1_700_000_000.0,
        "completion_time": 1_700_000_002.5,
    }
    return Report(**given | values)


def begin(store: Store, draft: Draft) -> tuple[int, int]:
    """Create and initialize a workflow, with one worker; their ids.

    Its lease is over, so that a new run may begin, which needs another worker.
    """
    workflow_id = store.create(draft)
    store.initialize(workflow_id)
    return workflow_id, store.register(a_node(workflow_id, lease_until=0.0)).id


def run_all(store: Store, node_id: int, **values: Any) -> list[str]:
    """Claim, start and complete whatever is ready now; the names."""
    claims = store.claim(node_id, PLENTY, 10_000)
    store.start(node_id, [claim.job_id for claim in claims])
    store.complete(node_id, [a_report(claim, **values) for claim in claims])
    return [claim.name for claim in claims]
