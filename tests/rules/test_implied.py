"""Who reads a file waits for everybody who writes it: N + M, never N x M."""

from __future__ import annotations

import pytest
from factories import a_draft, a_job

from slurmtorc.model import Draft, File, UserData
from slurmtorc.rules.implied import implied

N = 50


def files(count: int) -> list[File]:
    return [File(name=f"f{n}", path=f"f{n}") for n in range(count)]


def all_to_all(reads: tuple[int, ...]) -> Draft:
    """N jobs that write a file each, N jobs that read all of these."""
    writers = [a_job(f"w{n}", output_files=(n,)) for n in range(N)]
    readers = [a_job(f"r{n}", input_files=reads) for n in range(N)]
    return a_draft(*writers, *readers, files=files(N))


def test_readers_of_the_same_list_wait_for_one_barrier() -> None:
    found = implied(all_to_all(tuple(range(N))))
    assert found.barriers == [tuple(range(N))]
    assert found.after == {N + n: [0] for n in range(N)}
    assert found.depends_on == {}


def test_one_file_that_all_write_and_all_read_is_one_barrier() -> None:
    jobs = [a_job(f"w{n}", output_files=(0,)) for n in range(N)]
    jobs += [a_job(f"r{n}", input_files=(0,)) for n in range(N)]
    found = implied(a_draft(*jobs, files=files(1)))
    assert found.barriers == [tuple(range(N))]
    assert found.after == {N + n: [0] for n in range(N)}


def test_a_file_of_many_writers_is_a_barrier_for_readers_of_other_files_too() -> None:
    jobs = [a_job(f"w{n}", output_files=(0,)) for n in range(N)]
    jobs += [a_job(f"own{n}", output_files=(n + 1,)) for n in range(N)]
    jobs += [a_job(f"r{n}", input_files=(0, n + 1)) for n in range(N)]
    found = implied(a_draft(*jobs, files=files(N + 1)))
    assert found.barriers == [tuple(range(N))]
    assert found.after == {2 * N + n: [0] for n in range(N)}
    assert found.depends_on == {2 * N + n: [N + n] for n in range(N)}


def test_a_chain_of_files_is_plain_dependencies() -> None:
    jobs = [a_job("j0", output_files=(0,))]
    jobs += [a_job(f"j{n}", input_files=(n - 1,), output_files=(n,)) for n in range(1, N)]
    found = implied(a_draft(*jobs, files=files(N)))
    assert found.barriers == []
    assert found.depends_on == {n: [n - 1] for n in range(1, N)}


@pytest.mark.parametrize("stated", [(0,), (0, 1)])
def test_what_is_stated_already_is_not_implied_again(stated: tuple[int, ...]) -> None:
    draft = a_draft(
        a_job("a", output_files=(0,)),
        a_job("b", output_files=(1,)),
        a_job("c", *stated, input_files=(0, 1)),
        files=files(2),
    )
    left = [n for n in (0, 1) if n not in stated]
    assert implied(draft).depends_on == ({2: left} if left else {})


def test_user_data_implies_as_files_do() -> None:
    draft = a_draft(
        a_job("a", output_user_data=(0,)),
        a_job("b", input_user_data=(0,)),
        user_data=[UserData(name="d")],
    )
    assert implied(draft).depends_on == {1: [0]}


def test_no_job_waits_for_itself() -> None:
    draft = a_draft(
        *(a_job(f"j{n}", input_files=(0,), output_files=(0,)) for n in range(3)), files=files(1)
    )
    found = implied(draft)
    assert found.after == {}
    assert found.depends_on == {0: [1, 2], 1: [0, 2], 2: [0, 1]}
