"""What a sandbox consists of: what was asked for, and what this machine gave for it.

Values only: they are made once, kept as plan.json in the sandbox's directory, and read again by
every later command. Nothing here looks at the machine.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import InvalidValue, SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SERVICES = ("munge", "mariadb", "slurmdbd", "slurmctld")
"""The daemons that are no nodes, in the order in which they need each other."""

CLUSTER_NAME = "sandbox"
MOST_NODES = 256

_ACCOUNT = re.compile(r"[a-z0-9_][a-z0-9_.-]*", re.ASCII)
_KEY = re.compile(r"[A-Za-z]+", re.ASCII)
_WORD = re.compile(r"[\w.-]+", re.ASCII)
_OPTION = re.compile(r"[A-Za-z]+=\S+", re.ASCII)
_OWN_OPTION = {"nodename": "--nodes", "partitionname": "--partition"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the user asks for."""

    nodes: int = 3
    cpus: int = 4
    """Of each node; declared, the machine may have fewer."""
    memory: int = 4000
    """MiB of each node; declared."""
    gpus: int = 0
    """Of each node; there is nothing behind them."""
    accounts: tuple[str, ...] = ("sandbox",)
    """The first is the user's default."""
    partitions: tuple[str, ...] = (
        "debug MaxTime=01:00:00 Nodes=ALL Default=YES",
        "short MaxTime=00:10:00 Nodes=ALL",
    )
    """Each as slurm.conf has it after `PartitionName=`."""
    settings: tuple[tuple[str, str], ...] = ()
    """Lines of slurm.conf, instead of or beside our own."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """As in n1, n2, n3."""
        return tuple(f"n{number}" for number in range(1, self.nodes + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A shape, and what the machine gave for it."""

    shape: Shape
    ports: Mapping[str, int]
    """By daemon; munge and mariadb have sockets instead."""
    user: str
    """Who runs everything: Slurm's own user, and the owner of the sandbox."""
    version: tuple[int, int]
    """Slurm's, as in (22, 5)."""
    address: str
    loopback_name: bool
    """Whether the machine's own name is a loopback address."""
    hostnames: bool
    """Whether each node gets a host name of its own."""
    gpu_devices: str
    """What gres.conf says of where the GPUs are: `File=…` or `Count=…`."""

    @property
    def daemons(self) -> tuple[str, ...]:
        """In the order in which they start."""
        return (*SERVICES, *self.shape.node_names)

    @property
    def account(self) -> str:
        """The one to submit with."""
        return self.shape.accounts[0]


def shape(wanted: Mapping[str, Any], base: Shape | None = None) -> Shape:
    """`base` (or the default) with what is wanted instead, checked."""
    result = replace(base or Shape(), **{name: _frozen(value) for name, value in wanted.items()})
    for name, check in _CHECKS.items():
        check(getattr(result, name))
    return replace(result, partitions=_completed(result.partitions))


def differences(there: Shape, wanted: Mapping[str, Any]) -> list[str]:
    """What is wanted otherwise than it is there, in words."""
    asked = shape(wanted, there)
    return [
        f"{field.name} {_text(getattr(there, field.name))}, not {_text(getattr(asked, field.name))}"
        for field in fields(Shape)
        if getattr(there, field.name) != getattr(asked, field.name)
    ]


def to_json(plan: Plan) -> str:
    """For plan.json."""
    return json.dumps(asdict(plan), indent=2) + "\n"


def from_json(text: str) -> Plan:
    """Of plan.json."""
    try:
        tree = json.loads(text)
        there = {name: _frozen(value) for name, value in tree.pop("shape").items()}
        return Plan(shape=Shape(**there), **{name: _frozen(value) for name, value in tree.items()})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SandboxError("it is no plan of a sandbox") from error


def setting(text: str) -> tuple[str, str]:
    """KEY=VALUE, as given to --set."""
    key, equals, value = text.partition("=")
    if not equals or not _KEY.fullmatch(key) or not value.strip() or not value.isprintable():
        raise InvalidValue(
            f"--set {text!r} is no line of slurm.conf",
            allowed="write KEY=VALUE, as in SlurmdTimeout=12",
        )
    if option := _OWN_OPTION.get(key.lower()):
        raise InvalidValue(f"--set {key} is not possible", allowed=f"use {option}")
    return key, value.strip()


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _text(value: Any) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return ", ".join("=".join(x) if isinstance(x, tuple) else x for x in value) or "nothing"


# ── checks: what must not reach a configuration file ─────────────────────────


def _count(name: str, least: int, most: int) -> Callable[[int], None]:
    def check(value: int) -> None:
        if not least <= value <= most:
            raise InvalidValue(
                f"{name} is {value}", allowed=f"write a number from {least} to {most}"
            )

    return check


def _accounts(names: tuple[str, ...]) -> None:
    for name in names:
        if not _ACCOUNT.fullmatch(name):
            raise InvalidValue(
                f"account {name!r} is no name of a Slurm account",
                allowed="write lower-case letters, digits, and . _ -",
            )


def _partitions(texts: tuple[str, ...]) -> None:
    for text in texts:
        name, *options = text.split() or [""]
        if not _WORD.fullmatch(name) or not all(map(_OPTION.fullmatch, options)):
            raise InvalidValue(
                f"partition {text!r} is no line of slurm.conf",
                allowed="write 'NAME KEY=VALUE …', as in 'long MaxTime=2-00:00:00'",
            )


_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "nodes": _count("the number of nodes", 1, MOST_NODES),
    "cpus": _count("the number of CPUs", 1, 65_533),
    "memory": _count("memory in MiB", 1, 2**31),
    "gpus": _count("the number of GPUs", 0, 1024),
    "accounts": _accounts,
    "partitions": _partitions,
}


def _completed(partitions: tuple[str, ...]) -> tuple[str, ...]:
    """All nodes where no nodes are named, and the first is the default if none says it is."""
    lines = [" ".join(text.split()) for text in partitions]
    lines = [text if " nodes=" in text.lower() else f"{text} Nodes=ALL" for text in lines]
    if not any(" default=" in text.lower() for text in lines):
        lines[0] += " Default=YES"
    return tuple(lines)
