"""The table of transitions, and the diagram in the README that is drawn from it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from slurmtorc.errors import IllegalTransition
from slurmtorc.model import COMPLETE, TERMINAL, JobStatus
from slurmtorc.rules.status import TRANSITIONS, JobEvent, after, end_event, sources, target

S, E = JobStatus, JobEvent

README = Path(__file__).parents[2] / "README.md"


def test_the_eleven_statuses_have_torcs_numbers() -> None:
    assert {s.word: s.value for s in S} == {
        "uninitialized": 0, "blocked": 1, "ready": 2, "pending": 3, "running": 4, "completed": 5,
        "failed": 6, "canceled": 7, "terminated": 8, "disabled": 9, "pending_failed": 10,
    }  # fmt: skip
    assert {5, 6, 7, 8} == COMPLETE
    assert {5, 6, 7, 8, 10} == TERMINAL


def test_what_is_not_in_the_table_is_the_one_error() -> None:
    for status, event in itertools.product(S, E):
        if (status, event) in TRANSITIONS:
            assert after(status, event) is TRANSITIONS[status, event]
        else:
            with pytest.raises(IllegalTransition, match=status.word):
                after(status, event)


@pytest.mark.parametrize("event", list(E))
def test_an_event_leads_to_one_status_from_wherever_it_is_possible(event: JobEvent) -> None:
    assert sources(event)
    assert {after(status, event) for status in sources(event)} == {target(event)}


def test_no_running_job_is_reset_or_claimed() -> None:
    for status in (S.PENDING, S.RUNNING):
        for event in (E.RESET, E.CLAIM, E.BLOCK, E.FREE):
            assert (status, event) not in TRANSITIONS


def test_a_complete_job_changes_only_by_a_decision_or_a_new_run() -> None:
    leaving = {event for status, event in TRANSITIONS if status in COMPLETE}
    assert leaving == {E.RESET, E.BLOCK, E.FREE, E.DISABLE}
    assert (S.COMPLETED, E.DISABLE) not in TRANSITIONS
    assert {s for s in COMPLETE if (s, E.FREE) in TRANSITIONS} == {S.TERMINATED}


def test_every_status_is_reached_from_the_first() -> None:
    reached = {S.UNINITIALIZED}
    while more := {end for (start, _), end in TRANSITIONS.items() if start in reached} - reached:
        reached |= more
    assert reached == set(S)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_attempts_end_in_terminal_statuses(status: JobStatus) -> None:
    assert target(end_event(status)) is status


@pytest.mark.parametrize("status", sorted(set(S) - TERMINAL))
def test_attempts_end_in_no_other_status(status: JobStatus) -> None:
    with pytest.raises(IllegalTransition, match="cannot end"):
        end_event(status)


def test_the_diagram_in_the_readme_shows_exactly_the_table() -> None:
    """Arrows of the mermaid diagram against the table; resets are one sentence below it."""
    text = README.read_text()
    diagram = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", text, re.DOTALL)
    assert diagram is not None
    arrow = re.compile(r"^\s*(\w+) --> (\w+)(?:: (.*))?$", re.MULTILINE)
    drawn = {
        (S[start.upper()], S[end.upper()], label) for start, end, label in arrow.findall(diagram[1])
    }
    told = {
        (start, end, event.value)
        for (start, event), end in TRANSITIONS.items()
        if event is not E.RESET
    }
    assert drawn == told
    resettable = [status.word for status in sources(E.RESET)]
    sentence = re.search(r"A reset takes (.*?) jobs back to `uninitialized`", text, re.DOTALL)
    assert sentence is not None
    assert sorted(re.findall(r"`(\w+)`", sentence[1])) == sorted(resettable)
