"""Many workers after the same actions: each is executed once, and each has one execution."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

from factories import a_draft, a_node

from slurmtorc.model import Action, ActionRun, ActionType, DraftAction, TriggerType
from slurmtorc.ports import Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from slurmtorc.store.sql import SqlStore

WORKERS, ACTIONS, STORES = 64, 1000, 8
ALL = Page(limit=WORKERS * ACTIONS)


def a_workflow(store: SqlStore, count: int, *, persistent: bool = False) -> int:
    action = DraftAction(
        trigger_type=TriggerType.ON_WORKFLOW_START,
        action_type=ActionType.RUN_COMMANDS,
        commands=("true",),
        persistent=persistent,
    )
    workflow_id = store.create(a_draft("a", actions=[action] * count))
    store.initialize(workflow_id)
    return workflow_id


def race(stores: list[SqlStore], workflow_id: int) -> list[list[int]]:
    """What each worker got."""

    def work(number: int) -> list[int]:
        store, chance = stores[number % len(stores)], random.Random(number)
        node, taken = store.register(a_node(workflow_id)).id, list[int]()
        while due := store.pending_actions(workflow_id, node):
            chance.shuffle(due)
            for action in due:
                by = ActionRun(action_id=action.id, compute_node_id=node)
                if store.claim_action(action.id, by) is None:
                    break
                taken.append(action.id)
        return taken

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, range(WORKERS)))


def test_of_many_workers_each_action_is_taken_by_one(shared_store: Callable[[], SqlStore]) -> None:
    stores = [shared_store() for _ in range(STORES)]
    workflow_id = a_workflow(stores[0], ACTIONS)
    taken = Counter(action for mine in race(stores, workflow_id) for action in mine)
    assert len(taken) == ACTIONS
    assert set(taken.values()) == {1}
    runs = stores[0].rows(ActionRun, ALL, workflow_id=workflow_id).items
    assert Counter(run.action_id for run in runs) == taken
    assert all(one.executed for one in stores[0].rows(Action, ALL, workflow_id=workflow_id).items)


def test_a_persistent_action_is_taken_by_each_of_them_once(
    shared_store: Callable[[], SqlStore],
) -> None:
    stores = [shared_store() for _ in range(STORES)]
    workflow_id = a_workflow(stores[0], 2, persistent=True)
    assert [len(mine) for mine in race(stores, workflow_id)] == [2] * WORKERS
    runs = stores[0].rows(ActionRun, ALL, workflow_id=workflow_id).items
    assert len({(run.action_id, run.compute_node_id) for run in runs}) == len(runs) == 2 * WORKERS


def test_of_takers_without_a_worker_one_gets_a_persistent_action(
    shared_store: Callable[[], SqlStore],
) -> None:
    stores = [shared_store() for _ in range(2)]
    workflow_id = a_workflow(stores[0], rounds := 50, persistent=True)
    due = [action.id for action in stores[0].pending_actions(workflow_id)]
    together = Barrier(len(stores), timeout=60)

    def take(store: SqlStore) -> list[int]:
        taken = []
        for action_id in due:
            together.wait()
            if store.claim_action(action_id, ActionRun(action_id=action_id)) is not None:
                taken.append(action_id)
        return taken

    with ThreadPoolExecutor(len(stores)) as pool:
        taken = Counter(action for mine in pool.map(take, stores) for action in mine)
    assert taken == Counter(due)
    assert stores[0].rows(ActionRun, ALL, workflow_id=workflow_id).total_count == rounds
    assert stores[0].pending_actions(workflow_id) == []
