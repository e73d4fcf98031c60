"""`torc run`: a workflow on this machine, to its end."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slurmtorc.cli.context import State, TorcCommand, pass_state
from slurmtorc.cli.keeping import tidy
from slurmtorc.cli.log import log_to
from slurmtorc.cli.render import note
from slurmtorc.errors import Conflict
from slurmtorc.rules.wording import archived, counted, does, several

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slurmtorc.model import Draft, Workflow
    from slurmtorc.ports import Store
    from slurmtorc.worker.employ import Offer
    from slurmtorc.worker.node import Node
    from slurmtorc.worker.station import Ports
    from slurmtorc.worker.worker import Worker

STUCK = 3
CANCELED = 4
SIGNAL_BASE = 128


MOST = 1_000_000
"""More CPUs, GPUs or processes than any node has."""


@click.command("run", cls=TorcCommand)
@click.argument("workflow", metavar="FILE|ID")
@click.option(
    "--max-parallel-jobs",
    type=click.IntRange(1, MOST),
    metavar="N",
    help="Run N jobs at a time, whatever they need. Without it, jobs are packed by "
    "CPUs, memory and GPUs.",
)
@click.option("--num-cpus", type=click.IntRange(1, MOST), help="CPUs jobs may use.  [default: all]")
@click.option(
    "--memory-gb",
    type=click.FloatRange(min=0, min_open=True),
    help="Memory jobs may use, in GiB.  [default: all]",
)
@click.option("--num-gpus", type=click.IntRange(0, MOST), help="GPUs jobs may use.  [default: all]")
@click.option(
    "-o", "--output-dir", metavar="DIR", help="Where jobs' output goes.  [default: torc_output]"
)
@click.option(
    "-i", "--ignore-missing-data", is_flag=True, help="Begin although input files are missing."
)
@click.option("--fail-on-error", is_flag=True, help="Exit with 1 if any job did not complete.")
@pass_state
def run(
    state: State,
    workflow: str,
    max_parallel_jobs: int | None,
    num_cpus: int | None,
    memory_gb: float | None,
    num_gpus: int | None,
    output_dir: str | None,
    ignore_missing_data: bool,
    fail_on_error: bool,
) -> int:
    """Run a workflow on this machine, to its end.

    FILE is a workflow file (YAML, JSON, JSON5, TOML or KDL; - reads YAML or JSON from standard
    input); ID is a workflow in the store, which goes on where it was left. Ctrl-C stops cleanly:
    running jobs end and go back to the queue; a second Ctrl-C kills them.

    Exit status: 0 when the workflow ran to its end (jobs may have failed: see --fail-on-error),
    3 when jobs are left that cannot run here, 4 when it was canceled, 130 after Ctrl-C.

    Example: torc run examples/hello.yaml --max-parallel-jobs 4
    """
    given = {
        "max_parallel_jobs": max_parallel_jobs,
        "num_cpus": num_cpus,
        "memory_gb": memory_gb,
        "num_gpus": num_gpus,
        "output_dir": output_dir,
    }
    state.overrides.update({name: value for name, value in given.items() if value is not None})
    node = this_machine(state)
    found = _prepared(state, workflow, node, ignore_missing=ignore_missing_data)
    return carry_out(state, found, node, fail_on_error=fail_on_error)


def carry_out(state: State, workflow: Workflow, node: Node, *, fail_on_error: bool) -> int:
    """Work on a workflow that has begun, to its end; the exit status."""
    worker = _worker(state, workflow, node)
    interrupted = _drive(state, worker)
    status = _end(state, worker, interrupted, fail_on_error=fail_on_error)
    if interrupted is None:
        tidy(state)
    return status


def this_machine(state: State) -> Node:
    """This machine, within the limits the user sets."""
    from slurmtorc.worker.node import this_node

    settings, node = state.settings, this_node(os.environ)
    if settings.num_cpus is not None:
        node = replace(node, cpus=settings.num_cpus)
    if settings.memory_gb is not None:
        node = replace(node, memory_bytes=int(settings.memory_gb * 1024**3))
    if settings.num_gpus is not None:
        node = replace(node, gpus=_devices(node.gpus, settings.num_gpus))
    return node


def _devices(there: tuple[str, ...], count: int) -> tuple[str, ...]:
    """So many devices: those there are, then numbers that none of them has."""
    numbers = (str(i) for i in range(count + len(there)))
    return tuple(dict.fromkeys((*there, *numbers)))[:count]


# ── the workflow ─────────────────────────────────────────────────────────────


def _prepared(state: State, name: str, node: Node, *, ignore_missing: bool) -> Workflow:
    """The workflow, begun: made from a file, or found by its id."""
    from slurmtorc.model import Workflow
    from slurmtorc.schedule.begin import begin
    from slurmtorc.worker.sweep import sweep

    if is_id(name):
        store = state.store
        workflow = store.get(Workflow, int(name))
        refuse_closed(workflow)
        if back := sweep(store, workflow.id, node.hostname):
            jobs = f"{counted(back, 'job')} of a worker that died"
            note(f"Workflow {workflow.id}: {jobs} {does(back, 'come')} back")
        if workflow.run_id and not _waits_for_a_new_run(store, workflow.id):
            _tell_of_bad_start(store, workflow.id)
            return workflow
        workflow_id, last = workflow.id, workflow.run_id
    else:
        draft = read_draft(name)
        workflow_id, last = created(state, draft, name, node, ignore_missing=ignore_missing), 0
    store = state.open_store(create=True)
    return begin(store, workflow_id, ignore_missing=ignore_missing, after_run=last)


def _tell_of_bad_start(store: Store, workflow_id: int) -> None:
    """Jobs begin although the start of the workflow may have left half of what they need."""
    from slurmtorc.cli.summary import told_of_action
    from slurmtorc.model import TriggerType

    for mishap in store.overview(workflow_id).mishaps:
        if mishap.trigger_type is TriggerType.ON_WORKFLOW_START:
            note(f"torc: warning: jobs go on although: {told_of_action(mishap)}")


def _waits_for_a_new_run(store: Store, workflow_id: int) -> bool:
    """Whether jobs were reset since the last run began, and no worker is at work in it."""
    from slurmtorc.model import JobStatus

    outlook = store.outlook(workflow_id)
    return JobStatus.UNINITIALIZED in outlook.present and not outlook.held


def created(
    state: State, draft: Draft, name: str, node: Node, *, ignore_missing: bool = False
) -> int:
    """A workflow that can run here, stored; its id. Errors speak of `name`."""
    from slurmtorc.schedule.begin import refuse_misfits, refuse_missing_inputs
    from slurmtorc.schedule.folder import make_folder
    from slurmtorc.worker.employ import whole

    if state.settings.max_parallel_jobs is None:
        refuse_misfits(draft, whole(node), name, "this machine")
    if not ignore_missing:
        refuse_missing_inputs(draft, os.getcwd(), name)  # noqa: PTH109
    make_folder(os.path.abspath(state.settings.output_dir))  # noqa: PTH100  resolve follows links
    workflow_id = state.open_store(create=True).create(draft)
    note(f"Created workflow {workflow_id}")
    return workflow_id


_LONGEST_ID = 19  # digits of what 64 bits hold


def is_id(name: str) -> bool:
    """Whether a FILE|ID argument is an id: a number that is no file's name."""
    return name.isdecimal() and len(name) < _LONGEST_ID and not Path(name).exists()


def read_draft(name: str) -> Draft:
    """A checked draft, owned by the caller and submitted from here."""
    from slurmtorc.spec import load

    return owned(load(name))


def owned(draft: Draft) -> Draft:
    """The same draft, owned by the caller and submitted from here."""
    draft.workflow = replace(
        draft.workflow,
        user=caller(),
        submission_directory=os.getcwd(),  # noqa: PTH109
    )
    return draft


def caller() -> str:
    """Whose workflows these are."""
    return os.environ.get("TORC_USERNAME") or getpass.getuser()


def refuse_closed(workflow: Workflow) -> None:
    """Raise Conflict for a workflow in which nothing may run."""
    if workflow.is_archived:
        raise Conflict(archived(workflow.id))
    if workflow.is_canceled:
        message = f"workflow {workflow.id} was canceled"
        raise Conflict(f"{message}; begin what is left with: torc workflows reinit {workflow.id}")


# ── the worker ───────────────────────────────────────────────────────────────


def _worker(state: State, workflow: Workflow, node: Node) -> Worker:
    from slurmtorc.model import ExecutionConfig
    from slurmtorc.worker.employ import Offer, employ
    from slurmtorc.worker.node import all_nodes
    from slurmtorc.worker.paths import local_log
    from slurmtorc.worker.station import Conduct

    config = ExecutionConfig.of(workflow.execution_config)
    by_steps = config.by_steps(in_slurm=node.slurm_job_id is not None)
    conduct = Conduct(
        max_parallel_jobs=state.settings.max_parallel_jobs,
        idle_limit_s=workflow.compute_node_wait_for_new_jobs_seconds,
        patient=True,
        end_time=node.end_time if by_steps else None,
        by_steps=by_steps,
    )
    nodes = all_nodes(os.environ) if by_steps else ()
    offer = Offer(node=node, nodes=nodes, output_dir=state.settings.output_dir, conduct=conduct)
    worker = employ(_ports(state, workflow, offer), workflow, offer)
    log_to(local_log(worker.around.output_dir, node.hostname, workflow.id, workflow.run_id))
    return worker


def _ports(state: State, workflow: Workflow, offer: Offer) -> Ports:
    """Jobs are processes here, or steps of the allocation this command was started in."""
    from slurmtorc.wiring import clock, local_launcher, step_launcher, steps
    from slurmtorc.worker.employ import refuse_steps_outside
    from slurmtorc.worker.station import Ports

    refuse_steps_outside(workflow, offer.node)
    if not offer.nodes:
        return Ports(store=state.store, launcher=local_launcher(workflow), clock=clock)
    habits = steps(state.settings).habits()
    launcher = step_launcher(state.settings, workflow, offer.nodes, habits)
    return Ports(store=state.store, launcher=launcher, clock=clock, accounts=launcher.accounts)


def _drive(state: State, worker: Worker) -> int | None:
    """Work until the end, showing how far it is; the signal that ended it, if one did."""
    from slurmtorc.cli.progress import Follower, display_for
    from slurmtorc.worker.employ import work

    workflow = worker.around.workflow
    with _signals(worker) as caught, display_for(f"workflow {workflow.id}") as display:
        follower = Follower(state.store, workflow.id, display)

        def rest(seconds: float) -> None:
            follower.update(worker.outage.trouble)
            worker.rest(seconds)

        work(worker, rest)
        follower.update(final=True)
    return caught[0] if caught else None


@contextlib.contextmanager
def _signals(worker: Worker) -> Iterator[list[int]]:
    """SIGINT, SIGTERM and SIGHUP stop the worker cleanly; a second one kills its jobs."""
    caught: list[int] = []

    def handle(number: int, _frame: object) -> None:
        caught.append(number)
        worker.interrupt()
        if len(caught) == 1:
            note("\nStopping: running jobs end and go back to the queue (again: kill them)")

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it goes on
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield caught
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# ── the end ──────────────────────────────────────────────────────────────────


def _tell_of_nodes(state: State, workflow_id: int) -> None:
    """Nodes that the workflow would ask for, and that this command does not."""
    from slurmtorc.model import ActionType

    asking = [
        action
        for action in state.store.pending_actions(workflow_id)
        if action.action_type is ActionType.SCHEDULE_NODES
    ]
    if asking and not state.store.outlook(workflow_id).is_complete:
        ids = ", ".join(str(action.id) for action in asking)
        note(
            f"Actions that ask for nodes (schedule_nodes: {ids}) are not executed by `torc run`; "
            f"ask for them with: torc submit {workflow_id}"
        )


def _end(state: State, worker: Worker, interrupted: int | None, *, fail_on_error: bool) -> int:
    from slurmtorc.cli.summary import emit_summary

    workflow_id = worker.around.workflow.id
    seen = state.store.overview(workflow_id)
    emit_summary(seen, as_json=state.as_json)
    progress = seen.progress
    _tell_of_nodes(state, workflow_id)
    if interrupted is not None and not progress.is_complete:
        note(f"Stopped. Go on with: torc run {workflow_id}")
        return SIGNAL_BASE + interrupted
    if progress.is_canceled:
        note(f"Workflow {workflow_id} was canceled.")
        return CANCELED
    if not progress.is_complete:
        reason = worker.left.reason if worker.left else "the worker left"
        note(f"{several(progress.unfinished, 'job')} left: {reason}.")
        return STUCK
    return 1 if fail_on_error and progress.unsuccessful else 0
