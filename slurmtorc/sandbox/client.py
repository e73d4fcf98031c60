"""Slurm's own commands, asked about the sandbox and told to change it.

Separate so that what is asked of Slurm stands in one place. Commands get a time limit: a
controller that hangs must not hang us.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from slurmtorc.errors import SandboxError
from slurmtorc.sandbox.plan import CLUSTER_NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slurmtorc.sandbox.plan import Plan

_NODE = re.compile(r"NodeName=(\S+) .*?State=(\S+)")
_TAKEN_AWAY = frozenset({"DOWN", "DRAIN", "FAIL"})
_BAD = _TAKEN_AWAY | {"ERROR", "FUTURE", "NOT_RESPONDING", "UNKNOWN"}
_SECONDS = 30


class Client:
    """Slurm's commands in a given environment."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def answers(self) -> bool:
        """Whether the controller does."""
        return self._ask("scontrol", "ping", seconds=5) is not None

    def nodes(self) -> dict[str, str]:
        """Each node's state, in Slurm's words; empty if the controller does not answer."""
        return parse_nodes(self._ask("scontrol", "--oneliner", "show", "nodes") or "")

    def resume(self, nodes: Collection[str]) -> None:
        """Make nodes available again that somebody, or a fault, took away."""
        self._ask("scontrol", "update", f"NodeName={','.join(nodes)}", "State=RESUME")

    def reconfigure(self) -> None:
        """Let all daemons read their configuration again; nodes report themselves thereafter."""
        self._ask("scontrol", "reconfigure")

    def registered(self) -> bool:
        """Whether accounting knows the cluster: newer controllers answer before that."""
        names = self._ask("sacctmgr", "-n", "-P", "show", "cluster", "format=cluster") or ""
        return CLUSTER_NAME in names.split()

    def associate(self, plan: Plan) -> None:
        """Make the accounts, and let the user use them."""
        accounts = ",".join(plan.shape.accounts)
        added = ("sacctmgr", "-i", "-Q", "add")
        self._do((*added, "account", accounts, f"cluster={CLUSTER_NAME}"))
        self._do(
            (*added, "user", plan.user, f"account={accounts}", f"defaultaccount={plan.account}")
        )

    def associated(self, plan: Plan) -> bool:
        """Whether the controller knows of it, too."""
        text = self._ask("scontrol", "show", "assoc_mgr", f"users={plan.user}", "flags=assoc") or ""
        known = set(re.findall(r"Account=(\S+) UserName=\w", text))
        return known.issuperset(plan.shape.accounts)

    def _ask(self, *argv: str, seconds: float = _SECONDS) -> str | None:
        """What a command prints; None if it fails, or takes too long."""
        try:
            done = self._run(argv, seconds)
        except (subprocess.TimeoutExpired, OSError):
            return None
        return done.stdout if done.returncode == 0 else None

    def _do(self, argv: Sequence[str]) -> None:
        try:
            done = self._run(argv, _SECONDS)
        except subprocess.TimeoutExpired:
            raise SandboxError(f"'{' '.join(argv)}' gave no answer in {_SECONDS} s") from None
        if done.returncode:
            said = " ".join((done.stdout + done.stderr).split())
            raise SandboxError(f"'{' '.join(argv)}' failed: {said}")

    def _run(self, argv: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def parse_nodes(text: str) -> dict[str, str]:
    """Node -> state, of `scontrol --oneliner show nodes`."""
    return dict(_NODE.findall(text))


def usable(state: str) -> bool:
    """Whether a node in this state takes jobs: IDLE, MIXED+PLANNED … but not DOWN*, IDLE+DRAIN."""
    return not state_words(state) & _BAD


def resumable(state: str) -> bool:
    """Whether the node answers, and yet somebody took it away."""
    words = state_words(state)
    return "NOT_RESPONDING" not in words and bool(words & _TAKEN_AWAY)


def state_words(state: str) -> set[str]:
    """'IDLE+DRAIN' -> IDLE, DRAIN; a star is the short form of NOT_RESPONDING."""
    words = {word.rstrip("*$~#!%@^-") for word in state.split("+")}
    return words | {"NOT_RESPONDING"} if "*" in state else words
