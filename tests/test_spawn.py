"""slurmtorc.spawn: what a Python program that is a job can do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from factories import PLENTY, a_draft, a_report, begin

from slurmtorc import spawn
from slurmtorc.errors import Conflict, InvalidValue
from slurmtorc.model import Job as Stored
from slurmtorc.spawn import Job, Orchestrator

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurmtorc.model import Claim
    from slurmtorc.store.sql import SqlStore


@pytest.fixture
def store(shared_store: Callable[[], SqlStore]) -> SqlStore:
    return shared_store()


def be(monkeypatch: pytest.MonkeyPatch, store: SqlStore, workflow_id: int, claim: Claim) -> None:
    """Let this process be a job, as a worker would start it."""
    for name in [name for name in os.environ if name.startswith("TORC_ORCHESTRATOR")]:
        monkeypatch.delenv(name)
    given = {
        "TORC_WORKFLOW_ID": str(workflow_id),
        "TORC_JOB_ID": str(claim.job_id),
        "TORC_JOB_NAME": claim.name,
        "TORC_STORE_URL": store.url,
        **(claim.env or {}),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)


def started(store: SqlStore, node: int) -> Claim:
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    return claim


def test_a_chain_of_generations_passes_its_state_on_and_converges(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow_id, node = begin(store, a_draft("search"))
    for generation in range(3):
        claim = started(store, node)
        be(monkeypatch, store, workflow_id, claim)
        me = Orchestrator.from_env()
        assert (me.lineage, me.generation) == ("search", generation)
        assert me.state == (None if not generation else {"width": generation - 1})
        jobs = [Job(name=f"search_{generation + 1}", command="true")]
        answer = me.spawn(jobs, state={"width": generation})
        assert answer.iteration == generation + 1
        assert Orchestrator.from_env().generation == generation, "the same if it is tried again"
        assert me.spawn(jobs) == answer
        store.complete(node, [a_report(claim)])
    claim = started(store, node)
    be(monkeypatch, store, workflow_id, claim)
    assert spawn.state() == {"width": 2}
    assert Orchestrator.from_env().final_state is None
    assert spawn.converge(state=[1, 2]).job_ids == []
    assert Orchestrator.from_env().final_state == [1, 2]
    store.complete(node, [a_report(claim)])
    assert store.progress(workflow_id).is_complete


def test_one_call_spawns(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow_id, node = begin(store, a_draft("seed"))
    be(monkeypatch, store, workflow_id, started(store, node))
    spawn.spawn([Job(name="a", command="x", env={"K": "v"})], lineage="mine")
    (found,) = store.rows(Stored, workflow_id=workflow_id, name="a").items
    assert found.env is not None
    assert (found.command, found.env["K"]) == ("x", "v")
    assert found.env["TORC_ORCHESTRATOR_LINEAGE_ID"] == "mine"
    with pytest.raises(InvalidValue, match=r"no jobs to spawn; call converge\(\)"):
        spawn.spawn([])


def test_a_program_that_is_no_job_is_told() -> None:
    with pytest.raises(Conflict, match="this is no job of a workflow: TORC_JOB_NAME is not in the"):
        spawn.spawn([Job(name="a", command="x")])


def test_a_number_that_is_none_is_told() -> None:
    environ = {"TORC_JOB_NAME": "a", "TORC_WORKFLOW_ID": "x", "TORC_STORE_URL": "sqlite://"}
    with pytest.raises(InvalidValue, match="TORC_WORKFLOW_ID is 'x'"):
        Orchestrator.from_env(environ=environ)


def test_the_public_names_are_sorted_and_explained() -> None:
    assert sorted(spawn.__all__) == spawn.__all__
    assert all(getattr(spawn, name).__doc__ for name in spawn.__all__)
    assert "secret" not in repr(Orchestrator(workflow_id=1, job_id=2, lineage="l", url="secret"))
