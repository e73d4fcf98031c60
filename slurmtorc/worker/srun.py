"""SrunLauncher: a job is a step of the allocation, made and waited for by an srun of its own.

The srun is a process here, and its end is told by the kernel like any other's. It passes on the
job's exit code, and 128 + n for a signal; why a step was ended only accounting knows: a time
limit, too much memory, somebody's scancel. So the end of a step that did not succeed is held
back until accounting has spoken, or has been silent for long enough; never that of one that
succeeded, nor of one that this worker has stopped itself.

An srun that was told to end, or whose node was lost, may exit with 0 although the job did not
(seen on 22.05). So a 0 after a stop, or beside an error of srun's own, is believed only if
accounting says COMPLETED.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from slurmtorc.model import SlurmState, SlurmStats
from slurmtorc.ports import Exit
from slurmtorc.slurm import steps
from slurmtorc.worker import attempts, shell

if TYPE_CHECKING:
    from collections.abc import Collection

    from slurmtorc.model import Capacity, ResourceRequirements, StepEntry
    from slurmtorc.ports import Clock, Launcher, Order
    from slurmtorc.worker.clerk import Clerk

LOOK_S = 0.1
"""How long a wait lasts at most while accounting is being asked."""
SIGNAL_BASE = 128
LAST_SIGNAL = 64
_ENDINGS = frozenset({SlurmState.TIMEOUT, SlurmState.OUT_OF_MEMORY, SlurmState.CANCELLED})
_NAME = re.compile(r"wf(\d+)_j(\d+)_r(\d+)_a(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """The allocation whose steps these are, and how the workflow wants them."""

    slurm_job_id: int
    whole: Capacity
    """One node's; and how many nodes."""
    end_time: float | None = None
    headroom_s: float = 0.0
    """How long before the allocation's end its steps end."""
    signal: str | None = None
    bind: str | None = "none"


class SrunLauncher:
    """Starts jobs as steps, and everything that is no job's attempt as processes here."""

    def __init__(self, local: Launcher, clerk: Clerk, clock: Clock, allotment: Allotment) -> None:
        self._local = local
        self._clerk = clerk
        self._clock = clock
        self._allotment = allotment
        self._orders: dict[int, Order] = {}
        self._waiting: dict[str, Exit] = {}
        self._stopped: dict[int, bool] = {}
        """Keys that were told to end; True: by force."""
        self._ended: list[Exit] = []
        self._accounts: list[StepEntry] = []

    # ── the port ─────────────────────────────────────────────────────────────

    def start(self, order: Order) -> None:
        """Start an srun; one that cannot be started comes back from poll()."""
        if not order.step:
            self._local.start(order)
            return
        wanted, there = (order.need.num_nodes if order.need else 1), self._allotment.whole.nodes
        if wanted > there:
            now, why = self._clock.now(), f"it needs {wanted} nodes, and the allocation has {there}"
            self._ended.append(
                Exit(key=order.key, code=None, signal=None, start_time=now, end_time=now,
                     launch_error=why)
            )  # fmt: skip
            return
        self._orders[order.key] = order
        call = shlex.join(steps.srun(self._step(order)))
        self._local.start(replace(order, command=call, memory_limit=None, stop_signal=SIGTERM))

    def poll(self) -> list[Exit]:
        """Steps that ended since the last call, and of which is known why."""
        for exit_ in self._local.poll():
            self._sort(exit_)
        for name, entry in self._clerk.answers().items():
            self._heard(name, entry)
        ended, self._ended = self._ended, []
        return ended

    def stop(self, key: int, *, hard: bool) -> None:
        """Ask the step to end, through Slurm; or have its srun end it."""
        order = self._orders.get(key)
        if order is None:
            self._local.stop(key, hard=hard)
            return
        self._stopped[key] = hard or self._stopped.get(key, False)
        if order.step in self._waiting:
            self._stop_waiting(order.step)
        elif hard:
            self._local.stop(key, hard=False)  # srun then kills its step, wherever that runs
        else:
            self._clerk.signal(order.step, order.stop_signal)

    def wait(self, seconds: float, bell: int | None = None) -> bool:
        """Rest, but no longer than until a step's end is known."""
        if self._ended:
            return True
        if not self._waiting:
            return self._local.wait(seconds, bell)
        return self._local.wait(min(seconds, LOOK_S), bell) or seconds > LOOK_S

    def running(self) -> Collection[int]:
        """The keys of what has not come back from poll()."""
        waiting = {exit_.key for exit_ in (*self._waiting.values(), *self._ended)}
        return {*self._local.running(), *waiting}

    def accounts(self, *, last: bool = False) -> list[SlurmStats]:
        """What accounting has said of steps since the last call; with `last` it is waited for."""
        if last:
            self._clerk.finish()
            for name, entry in self._clerk.answers().items():
                self._heard(name, entry)
        accounts, self._accounts = self._accounts, []
        return [_stats(entry, self._allotment.slurm_job_id) for entry in accounts]

    # ── starting ─────────────────────────────────────────────────────────────

    def _step(self, order: Order) -> steps.Step:
        allotment = self._allotment
        words = shell.words(order.command)
        # In place of the shell, so that a signal to the step's task is one to the job.
        command = f"exec {order.command}" if words else order.command
        if order.stdout is not None and order.stdout == order.stderr:
            command = f"exec 2>&1; {command}"  # two streams through srun would lose their order
        return steps.Step(
            slurm_job_id=allotment.slurm_job_id,
            name=order.step,
            argv=("bash", "-c", command),
            need=None if order.need is None else _fitted(order.need, allotment.whole),
            nodes=order.nodes,
            minutes=steps.minutes_left(allotment.end_time, allotment.headroom_s, self._clock.now()),
            signal=allotment.signal,
            bind=allotment.bind,
        )

    # ── ending ───────────────────────────────────────────────────────────────

    def _sort(self, exit_: Exit) -> None:
        order = self._orders.get(exit_.key)
        if order is None:
            self._ended.append(exit_)
            return
        exit_ = _passed_on(exit_, killed=self._stopped.get(exit_.key, False))
        stopped = exit_.key in self._stopped
        if exit_.launch_error is not None or (stopped and exit_.code != 0):
            self._tell(exit_.key, exit_)
        elif exit_.code == 0 and not stopped and not _complains(order):
            self._tell(exit_.key, exit_)
            self._clerk.ask(order.step, waits=False)
        else:
            self._waiting[order.step] = exit_
            self._clerk.ask(order.step, waits=True, twice=exit_.code == 0)

    def _stop_waiting(self, name: str) -> None:
        """Its end was this worker's doing, or might as well have been; success must be proven."""
        exit_ = self._waiting[name]
        if exit_.code != 0:
            self._tell(exit_.key, self._waiting.pop(name))

    def _tell(self, key: int, exit_: Exit) -> None:
        del self._orders[key]
        self._stopped.pop(key, None)
        self._ended.append(exit_)

    def _heard(self, name: str, entry: StepEntry | None) -> None:
        if entry is not None:
            self._accounts.append(entry)
        exit_ = self._waiting.pop(name, None)
        if exit_ is not None:
            self._tell(exit_.key, _explained(exit_, entry))


def _passed_on(exit_: Exit, *, killed: bool) -> Exit:
    """The step's end for its srun's: what the srun itself used is nobody's business."""
    code, number = exit_.code, exit_.signal
    above = 0 if code is None else code - SIGNAL_BASE
    if 0 < above <= LAST_SIGNAL:
        code, number = None, above
    elif killed and code == 0:
        code, number = None, SIGKILL
    return replace(
        exit_, code=code, signal=number, peak_memory_bytes=None, avg_memory_bytes=None,
        peak_cpu_percent=None, avg_cpu_percent=None,
    )  # fmt: skip


def _explained(exit_: Exit, entry: StepEntry | None) -> Exit:
    """The end with what accounting says of it; a 0 that it does not confirm was a TERM."""
    state = None if entry is None else entry.state
    if exit_.code == 0 and state is not SlurmState.COMPLETED:
        exit_ = replace(exit_, code=None, signal=SIGTERM)
    return replace(
        exit_,
        slurm_state=state if state in _ENDINGS else None,
        peak_memory_bytes=None if entry is None else entry.max_rss_bytes,
    )


def _complains(order: Order) -> bool:
    """Whether srun itself has written an error into the job's stderr."""
    return b"srun: error:" in (attempts.last_bytes(order.stderr) or b"")


def _fitted(need: ResourceRequirements, whole: Capacity) -> ResourceRequirements:
    """No more than a node has: for a larger step srun waits for ever, without a word.

    Such jobs come only to a worker that was told to run jobs whatever they need.
    """
    return replace(
        need,
        num_cpus=min(need.num_cpus, whole.cpus),
        memory_bytes=min(need.memory_bytes, whole.memory_bytes),
        num_gpus=min(need.num_gpus, whole.gpus),
    )


def _stats(entry: StepEntry, slurm_job_id: int) -> SlurmStats:
    match = _NAME.fullmatch(entry.name)
    assert match is not None, "only steps of attempts are asked about"
    workflow_id, job_id, run_id, attempt_id = (int(number) for number in match.groups())
    return SlurmStats(
        workflow_id=workflow_id,
        job_id=job_id,
        run_id=run_id,
        attempt_id=attempt_id,
        slurm_job_id=slurm_job_id,
        step=entry.step,
        max_rss_bytes=entry.max_rss_bytes,
        max_vm_size_bytes=entry.max_vm_size_bytes,
        max_disk_read_bytes=entry.max_disk_read_bytes,
        max_disk_write_bytes=entry.max_disk_write_bytes,
        ave_cpu_seconds=entry.ave_cpu_seconds,
        node_list=entry.nodes,
    )
