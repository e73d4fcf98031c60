from __future__ import annotations

import pytest

from slurmtorc.model import Draft, DraftJob, File, UserData, Workflow
from slurmtorc.rules.graph import Graph, describe, graph_of


def draft(*jobs: DraftJob, barriers: tuple[tuple[int, ...], ...] = (), files: int = 0) -> Draft:
    return Draft(
        workflow=Workflow(name="w"),
        jobs=list(jobs),
        barriers=list(barriers),
        files=[File(name=f"f{number}", path="p") for number in range(files)],
        user_data=[UserData(name="u")],
    )


def a_job(name: str, **keys: tuple[int, ...]) -> DraftJob:
    return DraftJob(name=name, command="x", **keys)


def test_the_level_of_a_job_is_the_longest_way_to_it() -> None:
    found = draft(
        a_job("a", output_files=(0,)),
        a_job("b", depends_on=(0,)),
        a_job("c", input_files=(0,), output_user_data=(0,)),
        a_job("d", after=(0,)),
        a_job("e", input_user_data=(0,), depends_on=(3,)),
        a_job("f"),
        barriers=((1, 2),),
        files=1,
    )
    assert graph_of(found).levels() == [0, 1, 1, 2, 3, 0]
    assert graph_of(found).cycle() == []


def test_there_are_no_levels_where_there_is_a_cycle() -> None:
    assert Graph(2, [(1,), (0,)]).levels() is None


@pytest.mark.parametrize("width", [3, 40])
def test_a_cycle_goes_from_what_is_waited_for_to_what_waits(width: int) -> None:
    numbers = tuple(range(width))
    found = draft(
        a_job("a", output_files=numbers),
        a_job("b", input_files=numbers, output_user_data=(0,)),
        a_job("c", input_user_data=(0,)),
        a_job("last", depends_on=(2,)),
        files=width,
    )
    found.jobs[0].after = (0,)
    found.barriers = [(2, 1)]
    words = [describe(found, node) for node in graph_of(found).cycle()]
    named = [word for word in words if word]
    assert named[0] == named[-1] == "a"
    assert named in (
        ["a", "(file f0)", "b", "a"],
        ["a", "(file f0)", "b", "(user data u)", "c", "a"],
    )


def test_readers_of_the_same_long_list_share_its_edges() -> None:
    numbers = tuple(range(1000))
    jobs = [a_job(f"w{n}", output_files=(n,)) for n in numbers]
    jobs += [a_job(f"r{n}", input_files=numbers) for n in numbers]
    graph = graph_of(draft(*jobs, files=1000))
    assert sum(map(len, graph.waits_for)) == 3000
    assert graph.levels() == [0] * 1000 + [1] * 1000
