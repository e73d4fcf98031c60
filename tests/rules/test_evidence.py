"""What is believed of an allocation: by tables, and against witnesses that lie within bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from slurmtorc.model import SlurmState as S
from slurmtorc.rules.evidence import (
    ABSENCE_S,
    REPORTING_S,
    SAID_S,
    SETTLED_S,
    STORE_BACK_S,
    Belief,
    Look,
    Standing,
    is_ours,
    weigh,
    worker_is_lost,
)

FINAL = sorted(state for state in S if state.final)
LEASE_S = 120.0
"""For how long a worker's lease may outlive it."""


def a_look(now: float, queue: S | None = None, **values: Any) -> Look:
    return Look(**{"now": now, "answered": True, "queue": queue} | values)


def believed(*looks: Look) -> Belief:
    belief = Belief()
    for look in looks:
        belief = weigh(belief, look)
    return belief


def silence(now: float, **values: Any) -> Look:
    return a_look(now, answered=False, **values)


# ── tables ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("looks", "standing"),
    [
        ((), Standing.UNKNOWN),
        ((a_look(0, S.PENDING),), Standing.WAITING),
        ((a_look(0, S.RUNNING),), Standing.RUNNING),
        ((a_look(0, S.SUSPENDED),), Standing.RUNNING),
        ((a_look(0, S.COMPLETING),), Standing.RUNNING),
        ((a_look(0, S.UNKNOWN),), Standing.UNKNOWN),
        ((a_look(0, S.RUNNING), a_look(1)), Standing.UNKNOWN),
        ((a_look(0, S.RUNNING), silence(1)), Standing.RUNNING),
        ((a_look(0, S.RUNNING), silence(1), silence(9999)), Standing.RUNNING),
        ((a_look(0), a_look(9999, S.PENDING)), Standing.WAITING),
    ],
)
def test_where_an_allocation_stands(looks: tuple[Look, ...], standing: Standing) -> None:
    assert believed(*looks).standing is standing


@pytest.mark.parametrize(
    ("looks", "end"),
    [
        # the queue does not know it
        ((a_look(0),), None),
        ((a_look(0), a_look(299)), None),
        ((a_look(0), a_look(300)), (S.UNKNOWN, 0)),
        ((a_look(0), a_look(300, beating=True)), None),
        ((a_look(0), a_look(300, beating=True), a_look(301)), (S.UNKNOWN, 0)),
        ((a_look(0), silence(300), silence(600)), None),
        ((a_look(0), a_look(299, S.RUNNING), a_look(300)), None),
        ((a_look(0), a_look(299, S.UNKNOWN), a_look(300)), None),
        ((a_look(0, S.UNKNOWN), a_look(300, S.UNKNOWN)), None),
        ((a_look(0), a_look(300, accounting=S.RUNNING)), (S.UNKNOWN, 0)),
        ((a_look(0), a_look(300, accounting=S.TIMEOUT)), (S.TIMEOUT, 0)),
        # it shows the end
        ((a_look(0, S.TIMEOUT),), None),
        ((a_look(0, S.TIMEOUT), a_look(29, S.TIMEOUT)), None),
        ((a_look(0, S.TIMEOUT), a_look(30, S.TIMEOUT)), (S.TIMEOUT, 0)),
        ((a_look(0, S.TIMEOUT), a_look(30)), (S.TIMEOUT, 0)),
        ((a_look(0, S.TIMEOUT), a_look(30, beating=True)), (S.TIMEOUT, 0)),
        ((a_look(0, S.TIMEOUT), a_look(29, S.PENDING), a_look(30, S.TIMEOUT)), None),
        ((a_look(0), a_look(30, S.TIMEOUT)), None),
        ((a_look(0), a_look(30, S.TIMEOUT), a_look(60, S.TIMEOUT)), (S.TIMEOUT, 30)),
        ((a_look(0, S.COMPLETING), a_look(900, S.COMPLETING)), None),
        # accounting tells of it
        ((a_look(9, S.OUT_OF_MEMORY, accounting=S.OUT_OF_MEMORY, accounting_end=7),),
         (S.OUT_OF_MEMORY, 7)),
        ((a_look(9, S.FAILED, accounting=S.FAILED),), (S.FAILED, 9)),
        ((a_look(9, accounting=S.NODE_FAIL, accounting_end=7),), None),
        ((a_look(9, S.COMPLETING, accounting=S.TIMEOUT, accounting_end=7),), None),
        ((a_look(67, S.COMPLETING, accounting=S.TIMEOUT, accounting_end=7),), (S.TIMEOUT, 7)),
        ((a_look(67, accounting=S.NODE_FAIL, accounting_end=7),), (S.NODE_FAIL, 7)),
        ((silence(66, accounting=S.NODE_FAIL, accounting_end=7),), None),
        ((silence(67, accounting=S.NODE_FAIL, accounting_end=7),), (S.NODE_FAIL, 7)),
        ((silence(999, accounting=S.NODE_FAIL),), None),
        ((silence(999, accounting=S.UNKNOWN, accounting_end=7),), None),
        ((silence(999, accounting=S.RUNNING, accounting_end=7),), None),
        ((a_look(999, S.PENDING, accounting=S.PREEMPTED, accounting_end=7),), None),
        ((a_look(999, S.UNKNOWN, accounting=S.PREEMPTED, accounting_end=7),), None),
    ],
)  # fmt: skip
def test_what_is_an_end_and_what_is_not(
    looks: tuple[Look, ...], end: tuple[S, float] | None
) -> None:
    belief = believed(*looks)
    found = None if belief.final_state is None else (belief.final_state, belief.final_at)
    assert found == end
    assert (belief.standing is Standing.ENDED) == (end is not None)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("wf1_abc", True),
        ("my_prefix_wf1_abc", True),
        ("wf1_xabc", False),
        ("wf1_abcx", False),
        ("abc", True),
        ("wf1_ABC", False),
        ("wf1_abc_", False),
        ("allocation", False),
        ("", False),
    ],
)
def test_a_recycled_id_is_known_by_its_name(name: str, ours: bool) -> None:
    assert is_ours(name, "abc") == ours


@pytest.mark.parametrize(
    ("now", "lease_until", "expired_since", "ended_at", "lost"),
    [
        (100, 101, None, None, False),
        (100, 50, None, None, False),  # nobody has seen it run out before
        (100, 50, 100 - STORE_BACK_S + 1, None, False),
        (100, 50, 100 - STORE_BACK_S, None, True),
        (100, 100, 0, None, False),  # renewed meanwhile
        (100, 500, None, 100 - REPORTING_S + 1, False),
        (100, 500, None, 100 - REPORTING_S, True),
    ],
)
def test_when_a_worker_counts_as_lost(
    now: float, lease_until: float, expired_since: float | None, ended_at: float | None, lost: bool
) -> None:
    found = worker_is_lost(
        now=now, lease_until=lease_until, expired_since=expired_since, ended_at=ended_at
    )
    assert found == lost


# ── lying witnesses ──────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Life:
    """The truth."""

    phase: S = S.PENDING
    """PENDING, RUNNING, COMPLETING, or the end."""
    next: S | None = None
    """What COMPLETING leads to: an end, or PENDING where Slurm begins it again."""
    is_over: bool = False
    ended_at: float = 0.0


_TOKEN = "abc"
_NAMES = st.sampled_from(["wf1_abc", "wf9_other", "interactive"])


class Witnesses(RuleBasedStateMachine):
    """One allocation, and rounds in which each witness lies as much as the bounds allow."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.life = _Life()
        self.first_end: tuple[S, float] | None = None
        """The end of a run that Slurm began again, and when."""
        self.belief = Belief()
        self.lease_until = 0.0
        self.hidden_since: float | None = None
        self.false_end: tuple[S, float] | None = None
        self.told: set[S] = set()
        """Ends that accounting told truly, where they had to be believed."""

    # the truth

    @initialize(accounting=st.booleans())
    def begin(self, accounting: bool) -> None:
        self.has_accounting = accounting

    @rule(seconds=st.sampled_from([1.0, 5.0, 29.0, 31.0, 59.0, 61.0, 299.0, 301.0, 4000.0]))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.life.phase is S.PENDING)
    @rule()
    def it_starts(self) -> None:
        self.life = replace(self.life, phase=S.RUNNING)

    @precondition(lambda self: self.life.phase is S.RUNNING)
    @rule()
    def a_worker_beats(self) -> None:
        self.lease_until = self.now + LEASE_S

    @precondition(lambda self: self.life.phase in {S.PENDING, S.RUNNING})
    @rule(cause=st.sampled_from(FINAL), lingers=st.booleans())
    def it_ends(self, cause: S, lingers: bool) -> None:
        phase = S.COMPLETING if lingers else cause
        self.life = _Life(phase, next=cause, is_over=True, ended_at=self.now)

    @precondition(lambda self: self.life.phase is S.RUNNING and self.first_end is None)
    @rule(cause=st.sampled_from([S.PREEMPTED, S.NODE_FAIL]))
    def slurm_takes_it_back(self, cause: S) -> None:
        self.first_end = (cause, self.now)
        self.life = _Life(S.COMPLETING, next=S.PENDING)

    @precondition(lambda self: self.life.phase is S.COMPLETING)
    @rule()
    def its_processes_are_gone(self) -> None:
        assert self.life.next is not None
        self.life = replace(self.life, phase=self.life.next)

    # a round

    @rule(data=st.data())
    def a_round(self, data: st.DataObject) -> None:
        accounting, end = self._account(data)
        answered = data.draw(st.booleans(), label="answered")
        queue = self._queue(data, accounting) if answered else None
        if self._is_stale(end) and not (queue and queue.alive and queue is not S.COMPLETING):
            assert end is not None
            if self.now - end >= SETTLED_S:
                accounting, end = None, None
        self._hear(answered=answered, queue=queue, accounting=accounting, end=end)

    def _hear(
        self, *, answered: bool, queue: S | None, accounting: S | None, end: float | None
    ) -> None:
        beating = self.lease_until > self.now
        look = Look(
            now=self.now, answered=answered, queue=queue,
            accounting=accounting, accounting_end=end, beating=beating,
        )  # fmt: skip
        before = self.belief
        self.belief = weigh(before, look)
        self._judge(before, look)

    def _judge(self, before: Belief, look: Look) -> None:
        if before.final_state is not None:
            assert self.belief == before, "an end was taken back"
            return
        if not self.life.is_over:
            assert self.belief.final_state is None, f"alive, and believed ended by {look}"
            return
        if look.accounting is self.life.next and self.belief.final_state is not None:
            shown = {look.accounting, look.queue, before.slurm_state} - {None}
            assert self.belief.final_state in shown

    def _account(self, data: st.DataObject) -> tuple[S | None, float | None]:
        """What accounting says: nothing, what it said long ago, or the truth."""
        tales: list[tuple[S | None, float | None]] = [(None, None)]
        if self.has_accounting:
            tales += [(S.PENDING, None), (S.RUNNING, None)]
            if self.first_end is not None:
                tales.append(self.first_end)
            if self.life.is_over:
                tales.append((self.life.next, self.life.ended_at))
        return data.draw(st.sampled_from(tales), label="accounting")

    def _is_stale(self, end: float | None) -> bool:
        return end is not None and self.first_end is not None and end == self.first_end[1]

    def _queue(self, data: st.DataObject, accounting: S | None) -> S | None:
        """What the queue shows; None for nothing, or for somebody else under this id."""
        lies = [state for state in (S.PENDING, S.RUNNING, S.COMPLETING) if self.life.is_over]
        lies.append(S.UNKNOWN)
        hidden = self._may_hide()
        truth = self.life.phase
        shown = data.draw(st.sampled_from([truth, *lies, *self._false_ends(accounting)]))
        name = data.draw(_NAMES, label="name") if hidden else "wf1_abc"
        if not is_ours(name, _TOKEN):
            self.hidden_since = self.now if self.hidden_since is None else self.hidden_since
            return None
        self.hidden_since = None
        if not shown.final:
            self.false_end = None
        elif not self.life.is_over and self.false_end is None:
            self.false_end = (shown, self.now)
        return shown

    def _may_hide(self) -> bool:
        if self.life.is_over:
            return True
        if self.false_end is not None and self.now - self.false_end[1] >= SAID_S:
            return False
        since = self.now if self.hidden_since is None else self.hidden_since
        return self.now - since < ABSENCE_S or self.lease_until > self.now

    def _false_ends(self, accounting: S | None) -> list[S]:
        if self.life.is_over:
            return []
        if self.false_end is not None:
            state, since = self.false_end
            return [state] if self.now - since < SAID_S and state is not accounting else []
        return [state for state in (S.PREEMPTED, S.COMPLETED) if state is not accounting]

    # the end

    @invariant()
    def its_standing_is_its_end(self) -> None:
        assert (self.belief.standing is Standing.ENDED) == (self.belief.final_state is not None)

    @precondition(lambda self: self.life.is_over)
    @rule(forgotten=st.booleans(), every=st.sampled_from([30.0, 60.0, 300.0]))
    def the_witnesses_become_honest(self, forgotten: bool, every: float) -> None:
        """The queue answers the truth, or has forgotten it; accounting tells what it can."""
        end = self.life.next
        assert end is not None
        was = self.belief.final_state
        queue = None if forgotten else end
        self.life = replace(self.life, phase=end)
        rounds = 0
        while self.belief.final_state is None:
            self.now += every
            rounds += 1
            known = (end, self.life.ended_at) if self.has_accounting else (None, None)
            self._hear(answered=True, queue=queue, accounting=known[0], end=known[1])
            assert rounds <= self._bound(every, forgotten=forgotten)
        if was is None and self.has_accounting:
            assert self.belief.final_state in {end, *self._said()}

    def _said(self) -> set[S]:
        """The false end that the queue showed last, if it was never taken back."""
        return {self.false_end[0]} if self.false_end else set()

    def _bound(self, every: float, *, forgotten: bool) -> int:
        if self.has_accounting and not forgotten:
            return 2
        span = ABSENCE_S if forgotten else SAID_S
        return 1 + -int(-span // every)


TestWitnesses = Witnesses.TestCase
TestWitnesses.settings = settings(
    max_examples=300,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
