"""What Slurm says of nodes, read and judged."""

from __future__ import annotations

import pytest

from slurmtorc.sandbox.client import Client, parse_nodes, resumable, usable

NODES = """\
NodeName=n1 Arch=x86_64 CoresPerSocket=1 CPUAlloc=0 State=IDLE ThreadsPerCore=1 Partitions=debug
NodeName=n2 Arch=x86_64 Gres=gpu:2 State=MIXED+DRAIN Reason=a State=of things [root@2026]
NodeName=n3 CPUTot=4 State=DOWN* ThreadsPerCore=1
"""


def test_nodes_and_their_states_are_read() -> None:
    assert parse_nodes(NODES) == {"n1": "IDLE", "n2": "MIXED+DRAIN", "n3": "DOWN*"}
    assert parse_nodes("") == {}


@pytest.mark.parametrize(
    ("state", "takes_jobs", "can_be_resumed"),
    [
        ("IDLE", True, False),
        ("MIXED", True, False),
        ("ALLOCATED+COMPLETING", True, False),
        ("IDLE+PLANNED", True, False),
        ("MIXED-", True, False),
        ("IDLE*", False, False),
        ("IDLE+NOT_RESPONDING", False, False),
        ("UNKNOWN", False, False),
        ("DOWN", False, True),
        ("DOWN*", False, False),
        ("DOWN+NOT_RESPONDING", False, False),
        ("IDLE+DRAIN", False, True),
        ("MIXED+DRAIN", False, True),
        ("DOWN+DRAIN", False, True),
    ],
)
def test_states_are_judged(state: str, takes_jobs: bool, can_be_resumed: bool) -> None:
    assert usable(state) is takes_jobs
    assert resumable(state) is can_be_resumed


def test_where_slurm_is_not_there_nothing_answers() -> None:
    client = Client({"PATH": "/nowhere"})
    assert not client.answers()
    assert client.nodes() == {}
