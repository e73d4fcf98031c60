"""Commands that change what is stored ask whoever sits at the terminal, and nobody else."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest
from torc import COMMAND, PATIENCE_S

if TYPE_CHECKING:
    from torc import Torc

SPEC = """
name: w
user_data: [{name: rate, data: 1}]
jobs: [{name: a, command: "true"}]
"""
CHANGES = [
    (("jobs", "update", "1", "--command", "false", "--priority", "3"),
     "Change command and priority of job 1 (a)?"),
    (("user-data", "update", "1", "--data", "2"), "Give user data 1 (rate) another value?"),
]  # fmt: skip


def at_a_terminal(torc: Torc, answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with a terminal as its input, on which this is typed."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        return subprocess.run(
            [*COMMAND, *arguments], cwd=torc.folder, env=torc.env, stdin=theirs,
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)


def stored(torc: Torc) -> tuple[str, str]:
    return torc("jobs", "get", "1", "-f", "json").out, torc("user-data", "get", "1").out


@pytest.mark.parametrize(("change", "question"), CHANGES)
def test_a_change_is_asked_about_and_made_only_if_it_is_wanted(
    torc: Torc, change: tuple[str, ...], question: str
) -> None:
    torc("create", torc.write("w.yaml", SPEC))
    before = stored(torc)
    assert question in at_a_terminal(torc, "n\n", *change).stderr
    assert stored(torc) == before
    assert question not in at_a_terminal(torc, "", *change, "--dry-run").stderr
    assert stored(torc) == before
    assert question in at_a_terminal(torc, "y\n", *change).stderr
    assert stored(torc) != before


@pytest.mark.parametrize(("change", "question"), CHANGES)
def test_no_prompts_changes_without_a_question(
    torc: Torc, change: tuple[str, ...], question: str
) -> None:
    torc("create", torc.write("w.yaml", SPEC))
    before = stored(torc)
    assert question not in at_a_terminal(torc, "", *change, "--no-prompts").stderr
    assert stored(torc) != before
