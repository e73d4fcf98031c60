"""How a running workflow is shown: a live line on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from slurmtorc.cli.render import note
from slurmtorc.errors import StoreUnavailable
from slurmtorc.model import COMPLETE, JobStatus

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from slurmtorc.model import Progress
    from slurmtorc.ports import Store

LIVE_S = 0.5
PLAIN_S = 5.0


class Display(Protocol):
    """Something that is told how far a workflow is."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, progress: Progress) -> None:
        """Show this."""


class Follower:
    """Asks the store now and then, and shows what it says."""

    def __init__(self, store: Store, workflow_id: int, display: Display) -> None:
        self.store = store
        self.workflow_id = workflow_id
        self.display = display
        self._gap = LIVE_S if isinstance(display, Live) else PLAIN_S
        self._next = 0.0
        self._trouble: str | None = None

    def update(self, trouble: str | None = None, *, final: bool = False) -> None:
        """Show the progress, if the last time is long enough ago; and a new trouble at once.

        A store that does not answer now is no reason to end: the worker goes on as well.
        """
        now = time.monotonic()
        if now >= self._next or final:
            self._next = now + self._gap
            try:
                self.display.show(self.store.progress(self.workflow_id))
            except StoreUnavailable as error:
                trouble = trouble or str(error)
        if trouble != self._trouble:
            self._trouble = trouble
            note(f"The store: {trouble}; jobs go on" if trouble else "The store answers again")


def display_for(title: str) -> Display:
    """A live display on a terminal, plain lines elsewhere; on stderr both."""
    return Live(title) if sys.stderr.isatty() else Plain(title)


class Live:
    """One line that changes."""

    def __init__(self, title: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        from slurmtorc.cli.render import console

        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            console=console(stderr=True),
        )
        self._task = self._bar.add_task(title, total=None, counts="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        self._bar.update(
            self._task, total=progress.total, completed=_done(progress), counts=_counts(progress)
        )


class Plain:
    """A line whenever something has changed."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, progress: Progress) -> None:
        """Print the counts, if they are others than last time."""
        line = f"{_done(progress)}/{progress.total} jobs done{_counts(progress, ', ')}"
        if line != self._last:
            note(f"{time.strftime('%H:%M:%S')} {self._title}: {line}")
            self._last = line


def _done(progress: Progress) -> int:
    return sum(progress.counts.get(status, 0) for status in COMPLETE)


def _counts(progress: Progress, before: str = "") -> str:
    shown = (JobStatus.RUNNING, JobStatus.FAILED, JobStatus.TERMINATED, JobStatus.CANCELED)
    parts = [f"{progress.counts[s]} {s.word}" for s in shown if progress.counts.get(s)]
    return before + ", ".join(parts) if parts else ""
