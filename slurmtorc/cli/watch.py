"""`torc watch`: follow workflows in Slurm until the end, and do what is needed to get there."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slurmtorc.cli.agent import AGENT_OPTIONS, chosen_agent
from slurmtorc.cli.context import ID, State, TorcCommand, pass_state, with_options
from slurmtorc.cli.keeping import tidy
from slurmtorc.cli.log import log_to
from slurmtorc.cli.render import note
from slurmtorc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slurmtorc.model import Workflow
    from slurmtorc.watch.acts import Manner, Ports
    from slurmtorc.watch.agent import Agent
    from slurmtorc.watch.watcher import Conduct, Watch

log = logging.getLogger("slurmtorc.cli.watch")

INFRASTRUCTURE = 5
INTERRUPTED = 130
_SECONDS = click.FloatRange(min=0.0)
_FACTOR = click.FloatRange(min=1.0)

_OPTIONS = (
    click.option("--all", "everything", is_flag=True, help="All workflows that are not complete."),
    click.option(
        "-p", "--poll-interval", type=click.FloatRange(min=1.0), default=60.0, show_default=True,
        help="Seconds between questions to Slurm; ends in the store are noticed sooner.",
    ),
    click.option("--once", is_flag=True, help="One look, for cron and scrontab."),
    click.option("--dry-run", is_flag=True, help="Say what would be done; do and store nothing."),
    click.option("--history", is_flag=True, help="Print what watches have decided so far."),
    click.option("-s", "--show-job-counts", is_flag=True, help="A line at every look."),
    click.option("-o", "--output-dir", metavar="DIR", help="Where output goes."),
    click.option("--auto-schedule", is_flag=True, help="Ask for nodes when jobs wait for some."),
    click.option(
        "--auto-schedule-threshold", type=click.IntRange(min=0), default=5, show_default=True,
        help="Retries that must wait before more nodes are asked for; 0: any.",
    ),
    click.option(
        "--auto-schedule-cooldown", type=_SECONDS, default=1800.0, show_default=True,
        help="Seconds between asking for nodes while there are some.",
    ),
    click.option(
        "--auto-schedule-stranded-timeout", type=_SECONDS, default=7200.0, show_default=True,
        help="Seconds after which fewer retries get nodes too; 0: never.",
    ),
    click.option("--account", help="For new allocations.  [default: as before]"),
    click.option("--partition", help="For new allocations.  [default: as before]"),
    click.option("--walltime", help="For new allocations, as 04:00:00.  [default: planned]"),
    click.option("-r", "--recover", is_flag=True, help="Heal failures and run them again."),
    click.option(
        "-m", "--max-retries", type=click.IntRange(min=0), help="Recoveries.  [default: no limit]"
    ),
    click.option(
        "--memory-multiplier", type=_FACTOR, default=1.5, show_default=True,
        help="How much more memory a job gets that ran out of it.",
    ),
    click.option(
        "--runtime-multiplier", type=_FACTOR, default=1.5, show_default=True,
        help="How much more time a job gets that ran out of it.",
    ),
    click.option("--retry-unknown", is_flag=True, help="Recover failures of unknown cause too."),
    click.option(
        "--recovery-hook", metavar="CMD",
        help="Run this before recovering failures of unknown cause; they are run again then.",
    ),
    *AGENT_OPTIONS,
)  # fmt: skip


@click.command("watch", cls=TorcCommand)
@click.argument("workflow_ids", metavar="[WORKFLOW_ID]...", type=ID, nargs=-1)
@with_options(_OPTIONS)
@pass_state
def watch(state: State, /, workflow_ids: tuple[int, ...], **given: Any) -> int:
    """Follow workflows' jobs and allocations until the end.

    Allocations that later stages need are asked for here too, jobs of dead workers are ended and
    tried again by their failure handlers, and what is left in the queue when nothing is left to
    run is canceled. Any number of watches may look at a workflow: one acts, the others take over
    when it is gone. With --ai-recovery, jobs that failed and were set aside are shown to an
    agent, a program that decides about them by `torc jobs classify`.

    Exit status: 0 all jobs completed, 1 some did not, 3 jobs are left and nothing can run them,
    4 the workflow was canceled, 5 the store was lost, 130 after Ctrl-C (the workflow goes on). Of
    several workflows, the highest.

    Example: torc watch 7 --auto-schedule --recover
    """
    if given["output_dir"]:
        state.overrides["output_dir"] = given["output_dir"]
    agent = chosen_agent(given["ai_agent"], asked=given["ai_recovery"])
    workflows = _chosen(state, workflow_ids, everything=given["everything"])
    if given["history"]:
        _history(state, workflows)
        return 0
    if not workflows:
        note("No workflow is left to watch.")
        return 0
    conduct = _conduct(state, given)
    if not conduct.dry_run:
        _log(state, workflows)
    ports = watch_ports(state, agent)
    status = _followed(state, ports, workflows, conduct, every_look=given["show_job_counts"])
    if not conduct.dry_run:
        tidy(state)
    return status


def _chosen(state: State, ids: Sequence[int], *, everything: bool) -> list[Workflow]:
    from slurmtorc.model import Workflow
    from slurmtorc.ports import EVERYTHING

    if everything == bool(ids):
        raise UsageError("name the workflows to watch, or say --all")
    if ids:
        return [state.store.get(Workflow, number) for number in dict.fromkeys(ids)]
    begun = state.store.rows(Workflow, EVERYTHING, is_archived=False, is_canceled=False).items
    return [one for one in begun if one.run_id and not state.store.outlook(one.id).is_complete]


# ── how ──────────────────────────────────────────────────────────────────────


def _conduct(state: State, given: dict[str, Any]) -> Conduct:
    from slurmtorc.rules.watching import Policy
    from slurmtorc.watch.watcher import Conduct

    policy = Policy(
        auto_schedule=given["auto_schedule"],
        threshold=given["auto_schedule_threshold"],
        cooldown_s=given["auto_schedule_cooldown"],
        stranded_s=given["auto_schedule_stranded_timeout"],
        recover=given["recover"],
        max_retries=given["max_retries"],
        ask_agent=given["ai_recovery"],
    )
    return Conduct(
        policy=policy,
        manner=_manner(state, given),
        poll_s=given["poll_interval"],
        once=given["once"],
        dry_run=given["dry_run"],
    )


def _manner(state: State, given: dict[str, Any]) -> Manner:
    from slurmtorc.rules.healing import Treatment
    from slurmtorc.rules.requesting import Options
    from slurmtorc.watch.acts import Manner

    options = Options(
        account=given["account"], partition=given["partition"], walltime=given["walltime"]
    )
    assert options.walltime_s != 0, "a walltime is refused before anything begins"
    treatment = Treatment(
        memory_multiplier=given["memory_multiplier"],
        runtime_multiplier=given["runtime_multiplier"],
        retry_unknown=given["retry_unknown"] or given["recovery_hook"] is not None,
    )
    return Manner(
        output_dir=state.settings.output_dir,
        options=options,
        treatment=treatment,
        hook=given["recovery_hook"],
        most_recoveries=given["max_retries"],
    )


def _log(state: State, workflows: Sequence[Workflow]) -> None:
    """Append to the watch's log, beside the workflow's output; one of several is `all`."""
    from slurmtorc.schedule.folder import directory_of, make_folder

    host = socket.gethostname().partition(".")[0]
    name = f"wf{workflows[0].id}" if len(workflows) == 1 else "all"
    folder = Path(directory_of(workflows[0]), state.settings.output_dir)
    make_folder(str(folder))
    log_to(folder / f"watch_{host}_{name}.log")


# ── the watch ────────────────────────────────────────────────────────────────


def _followed(
    state: State,
    ports: Ports,
    workflows: Sequence[Workflow],
    conduct: Conduct,
    *,
    every_look: bool,
) -> int:
    from slurmtorc.cli.summary import emit_summary
    from slurmtorc.cli.watching import display_for
    from slurmtorc.watch.watcher import Watch

    with display_for(workflows, as_json=state.as_json, every_look=every_look) as display:
        following = Watch(ports, workflows, conduct, display.show)
        status = _driven(following, conduct)
    if status is not None:
        return status
    ended = following.ended
    if not (conduct.once or conduct.dry_run or state.as_json):
        for number, stop in ended.items():
            emit_summary(state.store.overview(number), as_json=False)
            note(f"Workflow {number}: {stop.reason}.")
    return max((stop.exit_code for stop in ended.values()), default=0)


def _driven(following: Watch, conduct: Conduct) -> int | None:
    """Watch until the end; the exit status if it came from outside."""
    from slurmtorc.errors import StoreUnavailable
    from slurmtorc.loop import drive

    try:
        with _terminable():
            drive(following.tick, following.ports.clock.sleep)
    except StoreUnavailable as error:
        log.error("The store was lost: %s", error)  # noqa: TRY400  one clear line
        note(f"torc: error: {error}")
        return INFRASTRUCTURE
    except KeyboardInterrupt:
        if not conduct.dry_run:
            following.leave()
        note("Stopped watching; the workflow goes on.")
        return INTERRUPTED
    if not conduct.dry_run:
        following.leave()
    return None


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a watch as Ctrl-C does: the lease is given back."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def watch_ports(state: State, agent: Agent | None = None) -> Ports:
    """What a watch in this process acts through."""
    from slurmtorc.watch.acts import Ports
    from slurmtorc.wiring import (
        agents,
        clock,
        deputy,
        recovery_scripts,
        slurm,
        submitter,
        traces,
    )

    port = slurm(state.settings)
    return Ports(
        store=state.store,
        slurm=port,
        clock=clock,
        submitter=submitter(state.store, port, state.settings),
        agents=None if agent is None else agents(agent, state.store.url, state.settings.output_dir),
        scripts=recovery_scripts(state.store.url),
        deputy=deputy(state.store),
        traces=traces,
        holder=secrets.token_hex(8),
        hostname=socket.gethostname().partition(".")[0],
        pid=os.getpid(),
    )


# ── what was decided ─────────────────────────────────────────────────────────


def _history(state: State, workflows: Sequence[Workflow]) -> None:
    from slurmtorc.cli.render import emit_json, emit_table, plain
    from slurmtorc.model import Decision
    from slurmtorc.ports import EVERYTHING
    from slurmtorc.units import iso_time

    ids = [workflow.id for workflow in workflows]
    decisions = state.store.rows(Decision, EVERYTHING, workflow_id=ids).items
    if state.as_json:
        items = [plain(one) for one in decisions]
        emit_json({"items": items, "decisions": items})
        return
    rows = (
        (iso_time(one.timestamp), one.workflow_id, one.decision, one.reason, _numbers(one))
        for one in decisions
    )
    columns = ("When", "Workflow", "Decision", "Why", "Numbers")
    emit_table("Decisions", columns, rows, empty="No watch has decided anything yet.")


def _numbers(decision: Any) -> str:
    shown = ((name, value) for name, value in decision.numbers.items() if name != "rule")
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in shown
    )
