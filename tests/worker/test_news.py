"""Resting until others have changed something: with a store that rings, and one that does not."""

from __future__ import annotations

import pytest

from slurmtorc.clock import ManualClock
from slurmtorc.errors import StoreUnavailable
from slurmtorc.worker.news import GAP_S, LONGEST_GAP_S, News

SOON = 0.5
LONG = 10.0


class Others:
    """A store and a launcher: what happens to them is told by the clock."""

    def __init__(self, bell: int | None = None) -> None:
        self.clock = ManualClock(0.0)
        self.changes: list[float] = []
        self.ends: list[float] = []
        self.waits: list[float] = []
        self.is_away = False
        self._bell = bell

    def stamp(self) -> object:
        if self.is_away:
            raise StoreUnavailable("away")
        return sum(1 for moment in self.changes if moment <= self.clock.now())

    def bell(self) -> int | None:
        return self._bell

    def wait(self, seconds: float, bell: int | None = None) -> bool:
        """As a launcher does: until a process ends, or it rings."""
        self.waits.append(seconds)
        now = self.clock.now()
        until = min([moment for moment in self._heard(bell) if moment >= now] or [now + seconds])
        self.clock.sleep(min(until, now + seconds) - now)
        return until <= now + seconds and bool(self._heard(bell)) and self.clock.now() == until

    def _heard(self, bell: int | None) -> list[float]:
        return [*self.ends, *(self.changes if bell is not None else ())]


@pytest.fixture(params=[None, 7], ids=["looking", "ringing"])
def others(request: pytest.FixtureRequest) -> Others:
    return Others(request.param)


def news_of(others: Others) -> News:
    return News(others, others, others.clock)  # type: ignore[arg-type]  all that it asks of them


def test_a_rest_ends_with_a_change_whether_the_store_rings_or_not(others: Others) -> None:
    news = news_of(others)
    assert news.came()
    others.changes = [SOON]
    news.wait(LONG, 0.0)
    assert SOON <= others.clock.now() <= SOON + LONGEST_GAP_S
    assert news.came()
    assert not news.came()


def test_a_rest_ends_with_a_process(others: Others) -> None:
    news = news_of(others)
    news.came()
    others.ends = [SOON]
    news.wait(LONG, 0.0)
    assert others.clock.now() == SOON
    assert not news.came()


def test_a_rest_ends_when_its_time_is_over(others: Others) -> None:
    news = news_of(others)
    news.came()
    news.wait(SOON, 0.0)
    assert others.clock.now() == pytest.approx(SOON)


def test_who_is_rung_at_all_the_time_rests_in_between() -> None:
    others = Others(bell=7)
    news = news_of(others)
    others.changes = [n / 1000 for n in range(1000)]
    for _ in range(10):
        news.wait(LONG, 0.0)
        assert news.came()
    assert others.clock.now() >= 10 * GAP_S


@pytest.mark.parametrize(("idle_s", "gap"), [(0.0, GAP_S), (4.0, 0.04), (60.0, LONGEST_GAP_S)])
def test_who_has_been_idle_for_long_looks_less_often(idle_s: float, gap: float) -> None:
    others = Others()
    news = news_of(others)
    news.came()
    news.wait(1.0, idle_s)
    assert max(others.waits) == pytest.approx(gap)


def test_a_store_that_is_away_ends_no_rest_and_what_was_seen_can_be_forgotten() -> None:
    others = Others()
    news = news_of(others)
    news.came()
    others.is_away = True
    news.wait(SOON, 0.0)
    assert others.clock.now() == pytest.approx(SOON)
    others.is_away = False
    news.forget()
    assert news.came()
