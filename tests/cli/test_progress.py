"""How a run is shown while the store has troubles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slurmtorc.cli.progress import Follower, display_for
from slurmtorc.errors import StoreUnavailable
from slurmtorc.model import JobStatus, Progress

if TYPE_CHECKING:
    import pytest


class Moody:
    """A store that answers only now and then."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)

    def progress(self, workflow_id: int) -> Progress:
        if not self.answers.pop(0):
            raise StoreUnavailable("the server is restarting; try again")
        counts = {JobStatus.COMPLETED: len(self.answers)}
        return Progress(workflow_id=workflow_id, run_id=1, counts=counts, is_canceled=False)


def test_a_store_that_is_away_is_told_once_and_ends_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    store: Any = Moody(True, False, False, True)
    with display_for("workflow 1") as display:
        follower = Follower(store, 1, display)
        for _ in range(4):
            follower.update(final=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "jobs done" not in line] == [
        "The store: the server is restarting; try again; jobs go on",
        "The store answers again",
    ]


def test_what_the_worker_is_told_is_shown_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    store: Any = Moody(True)
    with display_for("workflow 1") as display:
        follower = Follower(store, 1, display)
        follower.update()
        for _ in range(2):
            follower.update("its disk is full")
    assert capsys.readouterr().err.count("its disk is full") == 1
