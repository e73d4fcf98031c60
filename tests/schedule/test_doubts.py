"""What a cluster fills in, seen before anything is submitted."""

from __future__ import annotations

from typing import Any

import pytest
from factories import a_draft, a_job, a_need, a_scheduler

from slurmtorc.model import ActionType, Draft, DraftAction, Site, TriggerType
from slurmtorc.schedule.doubts import doubts

MIB = 1 << 20


def draft(**scheduler: Any) -> Draft:
    """A small job, and a large one for which an action asks nodes of the second scheduler."""
    action = DraftAction(
        trigger_type=TriggerType.ON_JOBS_READY,
        action_type=ActionType.SCHEDULE_NODES,
        scheduler=1,
        jobs=(1,),
    )
    return a_draft(
        a_job("a", requirement=0), a_job("b", requirement=1),
        requirements=[a_need("small", memory="50m"), a_need("large", memory="300m")],
        schedulers=[a_scheduler("any"), a_scheduler("own", **scheduler)],
        actions=[action],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scheduler", "site", "warned"),
    [
        ({}, {"memory_per_cpu": 100 * MIB}, True),
        ({"cpus_per_task": 3}, {"memory_per_cpu": 100 * MIB}, False),
        ({"mem": "1m"}, {"memory_per_cpu": 100 * MIB}, False),
        ({"extra": "--mem-per-cpu=1g"}, {"memory_per_cpu": 100 * MIB}, False),
        ({}, {"memory_per_node": 299 * MIB}, True),
        ({}, {"memory_per_node": 300 * MIB}, False),
        ({}, {}, False),
    ],
)
def test_a_default_of_memory_that_holds_no_job_is_told(
    scheduler: dict[str, Any], site: dict[str, int], warned: bool
) -> None:
    found = list(doubts(draft(**scheduler), Site(name="s", partitions=(), **site)))
    assert len(found) == warned
    if warned:
        assert "scheduler 'own' names no mem" in found[0]
        assert "write mem: 556M in it" in found[0]
