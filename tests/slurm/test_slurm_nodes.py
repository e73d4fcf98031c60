"""Slurm's node lists and GRES, expanded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.errors import InvalidValue
from slurmtorc.slurm.nodes import expand_nodes, parse_gpus


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[1-3,5],gpu-[01-03]", ["n1", "n2", "n3", "n5", "gpu-01", "gpu-02", "gpu-03"]),
        ("a,b,c", ["a", "b", "c"]),
        ("n[008-011]", ["n008", "n009", "n010", "n011"]),
        ("n[98-101]", ["n98", "n99", "n100", "n101"]),
        ("r[1-2]n[1,3]", ["r1n1", "r1n3", "r2n1", "r2n3"]),
        ("n[1-2]-ib", ["n1-ib", "n2-ib"]),
        ("n[7]", ["n7"]),
        ("node-a-1.site", ["node-a-1.site"]),
        ("", []),
        ("None assigned", []),
        ("(null)", []),
    ],
)
def test_a_node_list_is_expanded_in_its_order(text: str, names: list[str]) -> None:
    assert expand_nodes(text) == names


@pytest.mark.parametrize(
    "text", ["n[1-3", "n1-3]", "n[a-b]", "n[]", "n[1-2-3]", "n[[1]]", "a,,b", ",", "n[1,]"]
)
def test_what_is_no_node_list_is_said(text: str) -> None:
    with pytest.raises(InvalidValue, match="node list"):
        expand_nodes(text)


@pytest.mark.parametrize("text", ["n[1-99999999999]", "a[1-9999]b[1-9999]"])
def test_a_list_that_would_fill_the_memory_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="more than"):
        expand_nodes(text)


@given(st.sets(st.integers(0, 300), min_size=1), st.integers(0, 4))
def test_a_list_written_number_by_number_comes_back(numbers: set[int], width: int) -> None:
    ordered = sorted(numbers)
    text = ",".join(f"{n:0{width}d}" for n in ordered)
    assert expand_nodes(f"n[{text}]") == [f"n{n:0{width}d}" for n in ordered]


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("gpu:2", (2, None)),
        ("gpu", (1, None)),
        ("gpu:a100", (1, "a100")),
        ("gpu:a100:4(S:0-1)", (4, "a100")),
        ("gpu:a100:4(S:0,1),nvme:1", (4, "a100")),
        ("gpu:a100:2,gpu:v100:1", (3, None)),
        ("gpu:1g.5gb:7", (7, "1g.5gb")),
        ("lscratch:400,gpu:h100:8", (8, "h100")),
        ("nvme:1", (0, None)),
        ("gpumem:80G", (0, None)),
        ("(null)", (0, None)),
        ("", (0, None)),
        ("gpu:0", (0, None)),
    ],
)
def test_the_gpus_of_a_node_are_counted(gres: str, gpus: tuple[int, str | None]) -> None:
    assert parse_gpus(gres) == gpus
