"""What is free on which node."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from factories import a_need
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.model import Capacity, Claim
from slurmtorc.rules import packing
from slurmtorc.worker.rooms import Place, Rooms

if TYPE_CHECKING:
    from slurmtorc.model import ResourceRequirements

NODE = Capacity(cpus=4, memory_bytes=8 << 30, gpus=2)


def a_claim(job_id: int, need: ResourceRequirements) -> Claim:
    return Claim(
        job_id=job_id, name=f"j{job_id}", command="true", invocation_script=None, attempt_id=1,
        spared_attempts=0, env=None, stdio=None, failure_handler_id=None, requirement=need,
    )  # fmt: skip


class Queue:
    """Ready jobs, given away as a store gives them."""

    def __init__(self, needs: list[ResourceRequirements]) -> None:
        self.ready = dict(enumerate(needs))
        self.asked: list[Capacity] = []

    def ask(self, free: Capacity) -> list[Claim]:
        self.asked.append(free)
        found = []
        for job_id, need in list(self.ready.items()):
            if packing.room(free, need, 1):
                free = packing.take(free, need)
                found.append(a_claim(job_id, self.ready.pop(job_id)))
        return found


def claimed(rooms: Rooms, queue: Queue, seconds: float | None = None) -> list[tuple[Claim, Place]]:
    """What there is for all that is free, in its place."""
    found = []
    for offer in rooms.offers(seconds):
        for claim in queue.ask(offer):
            place = rooms.place(claim, seconds)
            assert place is not None, "what was asked for fits"
            found.append((claim, place))
    return found


needs = st.builds(
    a_need,
    num_cpus=st.integers(1, 5),
    memory=st.sampled_from(["1g", "3g", "8g"]),
    num_gpus=st.integers(0, 2),
    num_nodes=st.integers(1, 4),
)


@given(st.lists(needs, max_size=12), st.integers(1, 4), st.data())
def test_no_node_ever_has_more_than_it_holds_and_whole_nodes_are_not_shared(
    wanted: list[ResourceRequirements], count: int, data: st.DataObject
) -> None:
    names = [f"n{i}" for i in range(count)]
    rooms, queue = Rooms(NODE, (), [(name, NODE) for name in names]), Queue(wanted)
    running: dict[int, tuple[Claim, Place]] = {}
    for _ in range(20):
        running |= {claim.job_id: (claim, place) for claim, place in claimed(rooms, queue)}
        used: Counter[str] = Counter()
        guests: Counter[str] = Counter()
        for claim, place in running.values():
            assert len(set(place.nodes)) == claim.requirement.num_nodes
            for name in place.nodes:
                used[name] += claim.requirement.num_cpus
                guests[name] += 1
        assert max(used.values(), default=0) <= NODE.cpus
        for claim, place in running.values():
            if claim.requirement.num_nodes > 1:
                assert {guests[name] for name in place.nodes} == {1}
        if not running:
            break
        ended = data.draw(st.sampled_from(sorted(running)))
        rooms.leave(ended)
        del running[ended]
    left = [need for need in queue.ready.values() if need.num_cpus <= 4 and need.num_nodes <= count]
    assert running or not left, "what fits into empty nodes is run in the end"


def test_a_job_of_several_nodes_waits_for_empty_ones_and_has_them_alone() -> None:
    rooms = Rooms(NODE, (), [("a", NODE), ("b", NODE)])
    small, wide = a_need(num_cpus=1), a_need(num_cpus=1, num_nodes=2)
    (first,) = claimed(rooms, Queue([small]))
    queue = Queue([wide])
    assert claimed(rooms, queue) == []
    rooms.leave(first[0].job_id)
    ((_, place),) = claimed(rooms, queue)
    assert place.nodes == ("a", "b")
    assert claimed(rooms, Queue([small])) == []


def test_nodes_that_are_alike_are_not_asked_for_again_in_vain() -> None:
    rooms, queue = Rooms(NODE, (), [(f"n{i}", NODE) for i in range(100)]), Queue([])
    assert claimed(rooms, queue, 60.0) == []
    assert [(one.nodes, one.seconds) for one in queue.asked] == [(100, 60.0), (1, 60.0)]


def test_a_worker_of_one_node_names_none_and_hands_out_its_gpus() -> None:
    rooms = Rooms(NODE, ("0", "1"))
    ((claim, place),) = claimed(rooms, Queue([a_need(num_gpus=1)]))
    assert place == Place((), ("0",))
    assert rooms.free_gpus == ["1"]
    rooms.leave(claim.job_id)
    assert rooms.free_gpus == ["0", "1"]
