"""The parts an explanation is made of: reasons with their numbers, and words for return codes.

Shared by explaining (one job) and finishing (a whole workflow). A reason is a value: the same
one is printed as a sentence, given out as JSON, and tested by its rule and its numbers.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slurmtorc.model import Ending
from slurmtorc.rules.endings import SIGNAL_BASE
from slurmtorc.rules.wording import NAMED
from slurmtorc.units import display_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slurmtorc.model import JobStatus, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing that is so, the numbers it follows from, and what to do about it."""

    rule: str
    """A word for programs, which stays when the sentence changes."""
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    """A command or an advice; empty where nothing needs to be done."""


@dataclass(frozen=True, slots=True)
class Section:
    """Reasons that belong together."""

    title: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A job by its name, and its status."""

    id: int
    name: str
    status: JobStatus


# ── words ────────────────────────────────────────────────────────────────────

_ENDINGS = {
    Ending.TIMEOUT: "it was stopped because its time was over: the allocation's end, or the "
    "limit of its step",
    Ending.OOM: "it used more memory than it had asked for, and was killed",
    Ending.NODE_FAIL: "it ended with its node, which failed",
    Ending.PREEMPTED: "it lost its nodes to somebody of higher priority",
    Ending.CANCELED: "it was canceled by a person, or its worker was told to stop",
    Ending.ORPHANED: "its worker is gone, and nobody knows how it ended",
    Ending.MISSING_OUTPUT: "it exited with 0, but an output it declares was not there",
    Ending.LAUNCH_FAILED: "it could not be started at all",
}
_EXITS = {
    126: "its shell could not execute the command (126): not executable, or for another machine",
    127: "its shell did not find the command (127)",
}
_SIGNALS = {
    "SIGKILL": "killed from outside, often by the kernel for its memory",
    "SIGTERM": "it was asked to end by somebody outside torc",
    "SIGSEGV": "it crashed: a segmentation fault",
    "SIGBUS": "it crashed: a bus error",
    "SIGABRT": "it aborted itself",
    "SIGILL": "it was built for another CPU",
    "SIGFPE": "it crashed: an arithmetic error",
    "SIGXCPU": "it used up a limit on CPU time",
    "SIGPIPE": "what read its output had gone",
}


def in_words(code: int, ending: Ending) -> str:
    """A return code and its ending, as a sentence about 'it'."""
    if ending is not Ending.EXIT:
        return _ENDINGS[ending]
    if code in _EXITS:
        return _EXITS[code]
    name = _signal(code - SIGNAL_BASE)
    if name is None:
        return f"it exited with {code}"
    meaning = f": {_SIGNALS[name]}" if name in _SIGNALS else ""
    return f"it ended by {name} ({code} = {SIGNAL_BASE} + {code - SIGNAL_BASE}){meaning}"


def _signal(number: int) -> str | None:
    try:
        return signal.Signals(number).name
    except ValueError:
        return None


def attempt_line(result: Result) -> str:
    """One attempt in one line."""
    took = display_seconds(result.exec_time_s)
    late = ", told too late to count" if result.superseded else ""
    return (
        f"run {result.run_id}, attempt {result.attempt_id}: {result.status.word}, return code "
        f"{result.return_code}, after {took}: {in_words(result.return_code, result.ending)}{late}"
    )


def chain_words(names: Sequence[str]) -> str:
    """A chain from what comes first to what comes last; of a long one both its ends."""
    shown = names if len(names) <= 2 * NAMED else [*names[:NAMED], "…", *names[-NAMED:]]
    return " -> ".join(shown)
