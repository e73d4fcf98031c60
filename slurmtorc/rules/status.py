"""What may become of a job: (status, event) -> status, and nothing about it anywhere else.

Two rules for whoever edits this table. All transitions of a job are here; SQL that changes
many jobs at once takes its WHERE from `sources` and its SET from `target`. And an absent key is
the error: it is raised in one place, with the status and the event in the message. The diagram
in the README is compared with this table by a test.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from slurmtorc.errors import IllegalTransition
from slurmtorc.model import JobStatus as S


class JobEvent(StrEnum):
    """What can happen to a job."""

    BLOCK = "initialize, with something to wait for"
    FREE = "initialize, with nothing to wait for"
    UNBLOCK = "all it waited for is complete"
    CASCADE = "something it waited for failed"
    CLAIM = "claim"
    RELEASE = "release"
    START = "start"
    WITHDRAW = "withdraw"
    SUCCEED = "exit 0"
    FAIL = "fail"
    TERMINATE = "terminate"
    SET_ASIDE = "fail, decision pending"
    AGAIN = "next attempt"
    CANCEL = "cancel"
    RESET = "reset"
    DISABLE = "disable"
    ENABLE = "enable"


E = JobEvent

TRANSITIONS: dict[tuple[S, E], S] = (
    {
        (S.UNINITIALIZED, E.BLOCK): S.BLOCKED,
        (S.UNINITIALIZED, E.FREE): S.READY,
        (S.DISABLED, E.ENABLE): S.UNINITIALIZED,
        (S.BLOCKED, E.BLOCK): S.BLOCKED,
        (S.BLOCKED, E.FREE): S.READY,
        (S.BLOCKED, E.UNBLOCK): S.READY,
        (S.BLOCKED, E.CASCADE): S.CANCELED,
        (S.READY, E.BLOCK): S.BLOCKED,
        (S.READY, E.FREE): S.READY,
        (S.READY, E.CLAIM): S.PENDING,
        (S.PENDING, E.START): S.RUNNING,
        (S.PENDING, E.RELEASE): S.READY,
        (S.PENDING, E.CANCEL): S.CANCELED,
        (S.RUNNING, E.WITHDRAW): S.READY,
        (S.RUNNING, E.SUCCEED): S.COMPLETED,
        (S.RUNNING, E.FAIL): S.FAILED,
        (S.RUNNING, E.TERMINATE): S.TERMINATED,
        (S.RUNNING, E.SET_ASIDE): S.PENDING_FAILED,
        (S.RUNNING, E.AGAIN): S.READY,
        (S.RUNNING, E.CANCEL): S.CANCELED,
        (S.PENDING_FAILED, E.AGAIN): S.READY,
        (S.PENDING_FAILED, E.FAIL): S.FAILED,
        (S.TERMINATED, E.BLOCK): S.BLOCKED,
        (S.TERMINATED, E.FREE): S.READY,
        (S.PENDING_FAILED, E.BLOCK): S.BLOCKED,
        (S.PENDING_FAILED, E.FREE): S.READY,
    }
    | {
        (status, E.RESET): S.UNINITIALIZED
        for status in S
        if status not in {S.PENDING, S.RUNNING, S.UNINITIALIZED}
    }
    | {
        (status, E.DISABLE): S.DISABLED
        for status in S
        if status not in {S.PENDING, S.RUNNING, S.COMPLETED, S.DISABLED}
    }
)


def after(status: S, event: JobEvent) -> S:
    """The status that follows. Raises IllegalTransition."""
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        message = f"a job that is {status.word} cannot change by '{event}'"
        raise IllegalTransition(message) from None


@cache
def sources(event: JobEvent) -> tuple[S, ...]:
    """The statuses from which an event is possible."""
    return tuple(sorted(status for status, happened in TRANSITIONS if happened is event))


def target(event: JobEvent) -> S:
    """Where an event leads, whatever the status before: every event has one target."""
    (only,) = {end for (_, happened), end in TRANSITIONS.items() if happened is event}
    return only


_ENDS = {
    S.COMPLETED: E.SUCCEED,
    S.FAILED: E.FAIL,
    S.TERMINATED: E.TERMINATE,
    S.PENDING_FAILED: E.SET_ASIDE,
    S.CANCELED: E.CANCEL,
}


def end_event(status: S) -> JobEvent:
    """The event by which an attempt ends in that status."""
    try:
        return _ENDS[status]
    except KeyError:
        raise IllegalTransition(f"an attempt cannot end as {status.word}") from None
