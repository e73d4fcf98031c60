"""Small worlds, drawn: a workflow, a cluster, what jobs do, and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from factories import a_draft, a_job, a_need

from slurmtorc.model import Draft, FailureHandler, Partition, Site, Workflow
from slurmtorc.rules.planning import Options
from slurmtorc.rules.watching import Policy
from slurmtorc.sim.cluster import Configuration
from slurmtorc.sim.faults import Faults
from slurmtorc.sim.launcher import Behaviour
from slurmtorc.sim.world import Conditions

if TYPE_CHECKING:
    from random import Random

    from slurmtorc.ports import Order

GIB = 1024**3
HORIZON_S = 1800.0
"""Faults begin within this time."""


@dataclass(frozen=True)
class World:
    """All that a simulation is given."""

    draft: Draft
    site: Site
    faults: Faults
    conditions: Conditions
    jobs: dict[tuple[str, int], Behaviour]
    """By name and attempt."""
    usual: dict[str, Behaviour]

    def behave(self, order: Order) -> Behaviour:
        name = order.env["TORC_JOB_NAME"]
        attempt = int(order.env["TORC_ATTEMPT_ID"])
        return self.jobs.get((name, attempt), self.usual[name])


def a_world(random: Random, directory: str) -> World:
    site = _site(random)
    draft = _draft(random, directory, max(part.cpus for part in site.partitions))
    return World(
        draft,
        site,
        _faults(random),
        Conditions(
            nodes_submit=random.random() < 0.7,
            options=Options(account="sim", single_allocation=random.random() < 0.3),
            policy=Policy(
                auto_schedule=random.random() < 0.5,
                threshold=random.randint(1, 5),
                cooldown_s=600.0,
                stranded_s=1200.0,
            ),
            configuration=Configuration(
                min_job_age_s=random.choice([2.0, 60.0, 300.0]),
                kill_wait_s=random.choice([5.0, 30.0]),
                first_id=random.randint(1, 10**9),
            ),
        ),
        {
            (job.name, attempt): Behaviour(seconds=_runtime(draft, job.requirement) / 2)
            for job in draft.jobs
            for attempt in range(random.randint(2, 3), 9)
        },
        {job.name: _behaviour(random, _runtime(draft, job.requirement)) for job in draft.jobs},
    )


def _draft(random: Random, directory: str, most_cpus: int) -> Draft:
    needs = [
        a_need(
            f"need{number}",
            num_cpus=most_cpus if random.random() < 0.2 else random.randint(1, 4),
            memory=f"{random.randint(1, 4)}g",
            runtime=f"PT{random.choice([1, 2, 5, 10])}M",
        )
        for number in range(random.randint(1, 2))
    ]
    jobs = []
    for number in range(min(random.randint(3, 15), random.randint(3, 15))):
        before = [at for at in range(number) if random.random() < 0.8 / (number + 1)]
        jobs.append(
            a_job(
                f"job{number}",
                *before,
                requirement=random.randrange(len(needs)),
                cancel_on_blocking_job_failure=random.random() < 0.8,
                failure_handler=0 if random.random() < 0.5 else None,
            )
        )
    workflow = Workflow(
        name="drawn",
        user="tester",
        submission_directory=directory,
        compute_node_wait_for_new_jobs_seconds=random.choice([0, 30, 90]),
    )
    rules = ({"match_all_exit_codes": True, "max_retries": random.randint(1, 3)},)
    handlers = [FailureHandler(name="again", rules=rules)]
    return a_draft(*jobs, workflow=workflow, requirements=needs, failure_handlers=handlers)


def _runtime(draft: Draft, requirement: int | None) -> float:
    assert requirement is not None
    return draft.requirements[requirement].runtime_s


def _behaviour(random: Random, runtime: float) -> Behaviour:
    """Most jobs are well; some fail, need more memory or more time than they said."""
    kind = random.choices(["well", "fails", "outgrows", "endless"], [80, 8, 5, 7])[0]
    seconds = random.uniform(0.05, 0.9) * runtime
    if kind == "fails":
        return Behaviour(seconds=seconds, code=random.choice([1, 2, 137, 143, 152]))
    if kind == "outgrows":
        return Behaviour(seconds=seconds, peak_memory_bytes=64 * GIB)
    if kind == "endless":
        return Behaviour(seconds=1e6, obeys=random.random() < 0.7)
    return Behaviour(seconds=seconds)


def _site(random: Random) -> Site:
    """Partitions that differ in their nodes, or share them."""
    partitions = tuple(
        Partition(
            name=f"part{number}",
            cpus=random.choice([4, 8, 16]),
            memory_bytes=random.choice([8, 32]) * GIB,
            nodes=random.randint(1, 4),
            max_walltime_s=random.choice([3600, 7200]),
            is_default=number == 0,
        )
        for number in range(random.choice([1, 1, 2, 3]))
    )
    return Site(name="drawn", partitions=partitions)


def _faults(random: Random) -> Faults:
    """A few kinds of fault in each world, most of them more than once."""
    kinds: dict[str, Any] = {
        "controller_away": lambda: _spans(random, 300),
        "accounting_away": lambda: _spans(random, 900),
        "accounting_lag_s": lambda: random.uniform(0, 30),
        "accounting_is_off": lambda: True,
        "look_fails": lambda: random.uniform(0, 0.5),
        "look_omits": lambda: random.uniform(0, 0.3),
        "submit_fails": lambda: random.uniform(0, 0.5),
        "submit_refused": lambda: random.uniform(0, 0.3),
        "submit_lost": lambda: random.uniform(0, 0.7),
        "node_failures": lambda: tuple(
            (moment, random.randrange(4), random.uniform(60, 1200)) for moment in _moments(random)
        ),
        "orphans_live_s": lambda: random.choice([20.0, 200.0]),
        "preemptions": lambda: _moments(random),
        "requeues": lambda: _moments(random),
        "node_requeues": lambda: True,
        "ids_recycled": lambda: 0.7,
        "cancels": lambda: _moments(random),
        "worker_kills": lambda: _moments(random),
        "watch_kills": lambda: _moments(random),
        "store_away": lambda: _spans(random, 300),
        "store_answer_lost": lambda: random.uniform(0, 0.05),
    }
    chosen = random.sample(sorted(kinds), random.choice([0, 1, 2, 3, 5]))
    if "node_requeues" in chosen and "node_failures" not in chosen:
        chosen.append("node_failures")
    return Faults(**{name: kinds[name]() for name in chosen})


def _moments(random: Random) -> tuple[float, ...]:
    return tuple(random.uniform(1, HORIZON_S / 2) for _ in range(random.randint(1, 3)))


def _spans(random: Random, longest: float) -> tuple[tuple[float, float], ...]:
    begins = sorted(random.uniform(0, HORIZON_S) for _ in range(random.randint(1, 2)))
    return tuple((begin, begin + random.uniform(5, longest)) for begin in begins)
