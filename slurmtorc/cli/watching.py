"""How watched workflows are shown: a live view on a terminal, lines in a log, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

import click

from slurmtorc.cli.render import console, note
from slurmtorc.cli.summary import STYLES
from slurmtorc.model import JobStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from slurmtorc.model import Allocation, Progress, Workflow
    from slurmtorc.watch.watcher import View


class Display(Protocol):
    """Something that is shown each look."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, view: View) -> None:
        """Show this."""


def display_for(
    workflows: Sequence[Workflow], *, as_json: bool = False, every_look: bool = False
) -> Display:
    """A live view on a terminal, plain lines elsewhere, on stderr both; JSON lines on stdout."""
    if as_json:
        return _Stream()
    if sys.stderr.isatty():
        return _Live(workflows)
    return _Lines(every_look=every_look)


def counts(progress: Progress) -> str:
    """'3 running, 12 completed'."""
    shown = [f"{progress.counts[s]} {s.word}" for s in JobStatus if progress.counts.get(s)]
    return ", ".join(shown) or "no jobs"


class _Stream:
    """A JSON document for each look at each workflow, on one line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, view: View) -> None:
        choice, seen = view.choice, view.seen
        document = {
            "workflow_id": view.workflow.id,
            "timestamp": seen.now,
            "decision": type(choice).__name__.lower(),
            "rule": choice.rule,
            "reason": choice.reason,
            "numbers": dict(choice.numbers),
            "acts": list(view.acts),
            "passive": view.passive,
            "jobs_by_status": {s.word: seen.progress.counts.get(s, 0) for s in JobStatus},
            "allocations": {
                "waiting": seen.waiting, "running": seen.running, "doubtful": seen.doubtful,
            },
            "workers": seen.workers,
            "next_look": view.next_look,
        }  # fmt: skip
        click.echo(json.dumps(document, ensure_ascii=False))
        sys.stdout.flush()


class _Lines:
    """A line whenever something has changed; or at every look."""

    def __init__(self, *, every_look: bool) -> None:
        self._every_look = every_look
        self._last: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, view: View) -> None:
        number = view.workflow.id
        line = f"{counts(view.seen.progress)}; {view.choice.reason}"
        stamp = f"{time.strftime('%H:%M:%S')} workflow {number}: "
        for act in view.acts:
            note(f"{stamp}{act}")
        if self._every_look or line != self._last.get(number):
            note(f"{stamp}{line}")
            self._last[number] = line


class _Live:
    """Of each workflow its jobs by status, its allocations, and what the watch makes of it."""

    def __init__(self, workflows: Sequence[Workflow]) -> None:
        from rich.live import Live

        self._views: dict[int, View | None] = dict.fromkeys(one.id for one in workflows)
        self._live = Live(
            console=console(stderr=True), refresh_per_second=2, get_renderable=self._all
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, view: View) -> None:
        self._views[view.workflow.id] = view

    def _all(self) -> Any:
        from rich.console import Group

        return Group(*(part for view in self._views.values() if view for part in _parts(view)))


def _parts(view: View) -> list[Any]:
    left = max(0.0, view.next_look - time.time())
    looked = time.strftime("%H:%M:%S", time.localtime(view.seen.now))
    return [
        f"Workflow {view.workflow.id} ({view.workflow.name})",
        _jobs(view),
        _allocations(view),
        *view.acts,
        f"{looked} {view.choice.reason} · next look in {left:.0f} s",
    ]


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

    table = Table()
    for name in ("Allocation", "Slurm job", "State", "Nodes", "Time left"):
        table.add_column(name, no_wrap=True)
    table.add_column("Why")
    for allocation in view.scene.allocations:
        table.add_row(*_row(allocation, view))
    return table if view.scene.allocations else "no allocations"


def _row(allocation: Allocation, view: View) -> tuple[str, ...]:
    from slurmtorc.slurm.states import explain
    from slurmtorc.units import display_seconds

    entry = view.scene.queue.get(allocation.scheduler_id or 0)
    state = entry.state.value.lower() if entry else allocation.status.value
    nodes = (entry.nodes if entry else "") or f"{allocation.nodes} asked for"
    why = explain(entry.reason) if entry and entry.reason else ""
    left = "-"
    if entry is not None and entry.end_time is not None and entry.nodes:
        left = display_seconds(max(0.0, entry.end_time - time.time()))
    return str(allocation.id), str(allocation.scheduler_id or "-"), state, nodes, left, why
