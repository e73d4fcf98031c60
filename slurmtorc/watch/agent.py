"""An agent: a program that is shown jobs that wait for a decision, and decides by `torc`.

Separate from what it is asked, because a program of somebody else's may be missing, fail, or
hang: it is a process beside the watch, with an end to its time, and holds nobody up. What must
never happen here: an agent's words become a decision. It decides by `torc jobs classify` alone.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict, InvalidValue
from slurmtorc.ports import Order
from slurmtorc.schedule.folder import directory_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from slurmtorc.model import Workflow
    from slurmtorc.ports import Clock, Exit, Launcher

log = logging.getLogger(__name__)

TIMEOUT_S = 1800.0
"""An agent that takes longer is ended; what it has decided until then counts."""
GRACE_S = 10.0
"""Between TERM and KILL."""
DEFAULT = "claude"
_PROMPT = '"$(cat "$TORC_PROMPT_FILE")"'
_COPILOT = f"gh copilot -p {_PROMPT}"
KNOWN = {
    "claude": f"claude --print {_PROMPT}",
    "copilot": _COPILOT,
    "github-copilot": _COPILOT,
}
"""Agents that take the prompt as an argument."""


@dataclass(frozen=True, slots=True)
class Agent:
    """Who is asked."""

    name: str
    """As the user wrote it."""
    command: str
    """For bash, with $TORC_PROMPT_FILE."""


def agent_of(given: str) -> Agent:
    """A known name, or a command line of the user's. Raises InvalidValue."""
    if given in KNOWN:
        return Agent(given, KNOWN[given])
    try:
        words = shlex.split(given)
    except ValueError as error:
        raise InvalidValue(f"agent {given!r}: {error}", allowed="close its quotes") from None
    if not words:
        known = ", ".join(sorted(KNOWN))
        raise InvalidValue("the agent is empty", allowed=f"write {known}, or a command line")
    return Agent(given, f'{given} < "$TORC_PROMPT_FILE"')


@dataclass(frozen=True, slots=True)
class Answer:
    """How an agent's process has ended."""

    workflow_id: int
    complaint: str | None
    """Why it was no use; None if it exited with 0."""


@dataclass(slots=True)
class _Run:
    until: float
    output: str
    asked_to_end: bool = False


class Agents:
    """The agent of one watch: at most one process of it for each workflow."""

    def __init__(
        self, launcher: Launcher, clock: Clock, agent: Agent, url: str, output_dir: str
    ) -> None:
        self.agent = agent
        self._launcher = launcher
        self._clock = clock
        self._url = url
        self._output_dir = output_dir
        self._runs: dict[int, _Run] = {}

    @property
    def busy(self) -> Collection[int]:
        """The workflows that an agent thinks about."""
        return self._runs.keys()

    def ask(self, workflow: Workflow, prompt: str) -> str:
        """Show it a prompt; where its output goes. Raises Conflict if that cannot be written."""
        folder = Path(directory_of(workflow), self._output_dir)
        stem = f"watch_{socket.gethostname().partition('.')[0]}_wf{workflow.id}_agent"
        file, output = folder / f"{stem}_prompt.txt", str(folder / f"{stem}.log")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(prompt, encoding="utf-8")
        except OSError as error:
            raise Conflict(f"{file} cannot be written: {error.strerror}") from error
        self._runs[workflow.id] = _Run(self._clock.now() + TIMEOUT_S, output)
        self._launcher.start(self._order(workflow, str(file), output))
        return output

    def _order(self, workflow: Workflow, file: str, output: str) -> Order:
        return Order(
            key=workflow.id,
            command=f"exec >> {shlex.quote(output)} 2>&1; {self.agent.command}",
            env={
                "TORC_WORKFLOW_ID": str(workflow.id),
                "TORC_RUN_ID": str(workflow.run_id),
                "TORC_STORE_URL": self._url,
                "TORC_API_URL": self._url,
                "TORC_PROMPT_FILE": file,
                "PATH": _path(),
            },
            directory=str(Path.cwd()),
        )

    def poll(self) -> list[Answer]:
        """Notice which have ended, and end those that take too long."""
        answers = [self._answer(exit_) for exit_ in self._launcher.poll()]
        for number, run in self._runs.items():
            if self._clock.now() >= run.until + (GRACE_S if run.asked_to_end else 0):
                self._launcher.stop(number, hard=run.asked_to_end)
                run.asked_to_end = True
        return answers

    def _answer(self, exit_: Exit) -> Answer:
        run = self._runs.pop(exit_.key)
        what = _complaint(exit_, run)
        if what is None:
            return Answer(exit_.key, None)
        return Answer(exit_.key, f"agent {self.agent.name!r} {what}; its output: {run.output}")

    def wait(self, seconds: float) -> None:
        """Rest, but no longer than until one ends."""
        self._launcher.wait(seconds)

    def stop(self) -> None:
        """End them all."""
        for number in list(self._runs):
            self._launcher.stop(number, hard=True)


_NOT_RUN = {126: "could not be run", 127: "was not found"}
"""What bash exits with."""


def _complaint(exit_: Exit, run: _Run) -> str | None:
    if run.asked_to_end:
        return f"took longer than {TIMEOUT_S:.0f} s and was ended"
    if exit_.launch_error is not None:
        return f"could not be started: {exit_.launch_error}"
    if exit_.signal is not None:
        return f"was ended by signal {exit_.signal}"
    if not exit_.code:
        return None
    return _NOT_RUN.get(exit_.code, f"exited with {exit_.code}")


def _path() -> str:
    """PATH; with this program's own folder at its end if `torc` is not on it."""
    path = os.environ.get("PATH", os.defpath)
    if shutil.which("torc", path=path) is None:
        path += os.pathsep + str(Path(sys.executable).parent)
    return path
