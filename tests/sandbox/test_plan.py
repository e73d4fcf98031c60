"""What may be asked for, how it is kept, and how it is compared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurmtorc.errors import InvalidValue, SandboxError
from slurmtorc.sandbox.plan import Plan, Shape, differences, from_json, setting, shape, to_json

NAMES = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,9}", fullmatch=True)
SHAPES = st.builds(
    Shape,
    nodes=st.integers(1, 256),
    cpus=st.integers(1, 512),
    memory=st.integers(1, 10**6),
    gpus=st.integers(0, 16),
    accounts=st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    settings=st.lists(st.tuples(st.just("KillWait"), NAMES), max_size=2).map(tuple),
)


def a_plan(shape: Shape | None = None, **facts: Any) -> Plan:
    given = {
        "ports": {"slurmdbd": 10001, "slurmctld": 10002, "n1": 10003, "n2": 10004},
        "user": "alice",
        "version": (22, 5),
        "address": "127.0.0.1",
        "loopback_name": True,
        "hostnames": False,
        "gpu_devices": "",
    }
    return Plan(shape=shape or Shape(nodes=2), **{**given, **facts})


@given(SHAPES)
def test_a_plan_is_read_as_it_was_written(asked: Shape) -> None:
    plan = a_plan(asked)
    assert from_json(to_json(plan)) == plan


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"shape": {"knots": 3}}', '{"shape": 3}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(SandboxError):
        from_json(text)


def test_services_start_before_nodes() -> None:
    assert a_plan().daemons == ("munge", "mariadb", "slurmdbd", "slurmctld", "n1", "n2")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"nodes": 0}, "the number of nodes is 0; write a number from 1 to 256"),
        ({"nodes": 257}, "the number of nodes is 257"),
        ({"cpus": -1}, "the number of CPUs is -1"),
        ({"memory": 0}, "memory in MiB is 0"),
        ({"gpus": -1}, "the number of GPUs is -1; write a number from 0 to"),
        ({"accounts": ("a\nb",)}, "account 'a\\nb' is no name"),
        ({"accounts": ("Big",)}, "write lower-case letters"),
        ({"partitions": ("",)}, "partition '' is no line"),
        ({"partitions": ("a MaxTime",)}, "write 'NAME KEY=VALUE …'"),
        ({"partitions": ("a b\nNodeName=x",)}, "is no line of slurm.conf"),
    ],
)
def test_bad_shapes_are_refused_with_what_to_write(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        shape(wanted)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["a"], ("a Nodes=ALL Default=YES",)),
        (["a", "b"], ("a Nodes=ALL Default=YES", "b Nodes=ALL")),
        (["a", "b Default=YES"], ("a Nodes=ALL", "b Default=YES Nodes=ALL")),
        (["a  nodes=n1   MaxTime=5"], ("a nodes=n1 MaxTime=5 Default=YES",)),
    ],
)
def test_partitions_get_all_nodes_and_one_is_the_default(
    given: list[str], kept: tuple[str, ...]
) -> None:
    assert shape({"partitions": given}).partitions == kept


def test_a_shape_again_is_itself() -> None:
    once = shape({"partitions": ["a", "b"]})
    assert shape({}, once) == once


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({}, []),
        ({"nodes": 2, "cpus": 4}, []),
        ({"nodes": 3}, ["nodes 2, not 3"]),
        ({"gpus": 1, "accounts": ("x", "y")}, ["gpus 0, not 1", "accounts sandbox, not x, y"]),
        ({"settings": (("KillWait", "9"),)}, ["settings nothing, not KillWait=9"]),
    ],
)
def test_differences_name_what_is_there_and_what_is_wanted(
    wanted: dict[str, Any], said: list[str]
) -> None:
    assert differences(shape({"nodes": 2}), wanted) == said


def test_a_setting_is_split_at_its_first_equals_sign() -> None:
    assert setting("AuthInfo= socket=/x") == ("AuthInfo", "socket=/x")


@pytest.mark.parametrize(
    "text", ["", "KillWait", "=5", "KillWait=", "Kill Wait=5", "KillWait=5\nSlurmUser=root"]
)
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="write KEY=VALUE"):
        setting(text)


@pytest.mark.parametrize(
    ("text", "option"), [("NodeName=x", "--nodes"), ("partitionname=x", "--partition")]
)
def test_settings_that_have_an_option_say_which(text: str, option: str) -> None:
    with pytest.raises(InvalidValue, match=f"use {option}"):
        setting(text)
