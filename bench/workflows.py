"""Stored workflows for benchmarks: made by the product's own ways, never by SQL of ours."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from slurmtorc.cli.run import read_draft
from slurmtorc.model import ComputeNode
from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from slurmtorc.model import Draft

GIB = 1024**3


def spec_of(jobs: int) -> str:
    """Jobs in parameterised form; the second half of them wait for the first, one for one."""
    half = jobs // 2
    if not half:
        return 'name: one\njobs: [{name: a, command: "true"}]\n'
    return (
        "name: many\njobs:\n"
        f'- {{name: "a{{i:06d}}", command: "step {{i}}", parameters: {{i: "1:{half}"}}}}\n'
        f'- {{name: "b{{i:06d}}", command: "then {{i}}", parameters: {{i: "1:{half}"}},'
        ' depends_on: ["a{i:06d}"]}\n'
    )


def draft_of(spec: str) -> Draft:
    """A spec, checked and expanded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spec.yaml")
        path.write_text(spec)
        return read_draft(str(path))


def created(url: str, jobs: int) -> SqlStore:
    """A store whose workflow 1 has so many jobs, not yet begun."""
    store = SqlStore(url)
    store.create(draft_of(spec_of(jobs)))
    return store


def ready_store(url: str, jobs: int) -> SqlStore:
    """The same, begun: half of its jobs are ready."""
    store = created(url, jobs)
    store.initialize(1)
    return store


def a_node(workflow_id: int, cpus: int) -> ComputeNode:
    """A worker of a workflow, in this process."""
    return ComputeNode(
        workflow_id=workflow_id, hostname="here", pid=os.getpid(), num_cpus=cpus,
        memory_bytes=cpus * GIB, lease_until=time.time() + 3600,
    )  # fmt: skip
