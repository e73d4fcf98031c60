from __future__ import annotations

import pytest

from slurmtorc.rules.wording import counted, does, listed, several


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, ("0 jobs", "0 jobs are", "wait")),
        (1, ("1 job", "1 job is", "waits")),
        (2, ("2 jobs", "2 jobs are", "wait")),
    ],
)
def test_one_thing_is_and_more_things_are(count: int, words: tuple[str, ...]) -> None:
    assert (counted(count, "job"), several(count, "job"), does(count, "wait")) == words


@pytest.mark.parametrize(
    ("names", "count", "line"),
    [
        ([], None, ""),
        (["a"], None, "a"),
        (list("abcde"), None, "a, b, c, d, e"),
        (list("abcdefg"), None, "a, b, c, d, e and 2 more"),
        (list("abc"), 10, "a, b, c and 7 more"),
        (list("abcdefg"), 10, "a, b, c, d, e and 5 more"),
    ],
)
def test_of_many_names_the_first_are_told(names: list[str], count: int | None, line: str) -> None:
    assert listed(names, count) == line
