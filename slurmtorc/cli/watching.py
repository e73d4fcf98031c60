"""How a watched workflow is shown: a live view on a terminal, a line for each change in a log."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from slurmtorc.cli.render import console, note
from slurmtorc.cli.summary import STYLES
from slurmtorc.model import JobStatus

if TYPE_CHECKING:
    from typing import Self

    from slurmtorc.model import Allocation, Progress, Workflow
    from slurmtorc.watch.watcher import View


class Display(Protocol):
    """Something that is shown each look."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, view: View) -> None:
        """Show this."""


def display_for(workflow: Workflow) -> Display:
    """A live view on a terminal, plain lines elsewhere; on stderr both."""
    return _Live(workflow) if sys.stderr.isatty() else _Lines(workflow)


def counts(progress: Progress) -> str:
    """'3 running, 12 completed'."""
    shown = [f"{progress.counts[s]} {s.word}" for s in JobStatus if progress.counts.get(s)]
    return ", ".join(shown) or "no jobs"


class _Lines:
    """A line whenever something has changed."""

    def __init__(self, workflow: Workflow) -> None:
        self._title = f"workflow {workflow.id}"
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, view: View) -> None:
        line = f"{counts(view.seen.progress)}; {view.decision.reason}"
        if line != self._last:
            note(f"{time.strftime('%H:%M:%S')} {self._title}: {line}")
            self._last = line


class _Live:
    """Jobs by status, the allocations, and what the watch makes of it."""

    def __init__(self, workflow: Workflow) -> None:
        from rich.live import Live

        self._workflow = workflow
        self._live = Live(console=console(stderr=True), refresh_per_second=2)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, view: View) -> None:
        from rich.console import Group

        title = f"Workflow {self._workflow.id} ({self._workflow.name})"
        reason = f"{time.strftime('%H:%M:%S')} {view.decision.reason}"
        self._live.update(Group(title, _jobs(view), _allocations(view), reason), refresh=True)


def _jobs(view: View) -> Any:
    from rich.text import Text

    parts = [
        Text(f"{count} {status.word}", style=STYLES.get(status, ""))
        for status in JobStatus
        if (count := view.seen.progress.counts.get(status))
    ]
    return Text("  ").join(parts)


def _allocations(view: View) -> Any:
    from rich.table import Table

    table = Table("Allocation", "Slurm job", "State", "Nodes", "Why")
    for allocation in view.allocations:
        table.add_row(*_row(allocation, view))
    return table if view.allocations else "no allocations"


def _row(allocation: Allocation, view: View) -> tuple[str, ...]:
    from slurmtorc.slurm.states import explain

    entry = view.queue.get(allocation.scheduler_id or 0)
    state = entry.state.value.lower() if entry else allocation.status.value
    nodes = (entry.nodes if entry else "") or f"{allocation.nodes} asked for"
    why = explain(entry.reason) if entry and entry.reason else ""
    return str(allocation.id), str(allocation.scheduler_id or "-"), state, nodes, why
