"""What a worker does for the workflow itself: the commands of its `run_commands` actions.

Commands are processes beside the jobs, one after the other for each action, and nobody waits for
them: a long archive never delays a job. Three moments are different. Before its first job a
worker does what the start of the workflow and its own start ask for, and waits while another
worker still does the workflow's start. Before it leaves it does what is due, and at last what
its own end asks for. And at the allocation's end commands are ended as jobs are, only later, so
that the worker's last action still finds time. What must never happen: a command that is run
twice, or one of which nobody can say what became of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slurmtorc.model import Action, ActionRun, ActionType, ComputeNode, TriggerType
from slurmtorc.ports import EVERYTHING, Order
from slurmtorc.rules.endings import LAUNCH_FAILED, Stopped
from slurmtorc.rules.triggers import OF_WORKERS
from slurmtorc.worker.paths import action_log

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from slurmtorc.model import Workflow
    from slurmtorc.ports import Exit
    from slurmtorc.worker.attempts import Surroundings
    from slurmtorc.worker.station import Ports

log = logging.getLogger(__name__)

AT_ONCE = 4
"""How many actions one worker executes at a time, while jobs run."""
SILENCE_S = 60.0
"""How long after its lease has run out a worker is still waited for that does the start."""
ASK_S = 1.0
"""How often a worker asks whether the start that another one does is over."""
SOFT, HARD = 0.5, 0.25
"""Parts of the headroom before the allocation's end: commands are asked, then made, to end."""
SHOWN = 100
"""How much of a failed command is shown."""
SIGNAL_BASE = 128

_FIRST_KEY = 1 << 62
_BEGIN = frozenset({TriggerType.ON_WORKFLOW_START})
_COMPLETE = frozenset({TriggerType.ON_WORKFLOW_COMPLETE})
_START = frozenset({TriggerType.ON_WORKER_START})
_END = frozenset({TriggerType.ON_WORKER_COMPLETE})
_AMID = frozenset(TriggerType) - OF_WORKERS - _COMPLETE
"""What may become due while jobs run: also a start that is to be made once more."""


def is_action(key: int) -> bool:
    """Whether a process is a command of an action."""
    return key >= _FIRST_KEY


@dataclass(slots=True)
class _Execution:
    """An action whose commands run here."""

    action: Action
    run: ActionRun
    commands: Sequence[str]
    at: int = -1
    """The command that runs."""
    last: bool = False
    """It was begun because the worker is about to end."""
    why: str | None = None
    """Why it was told to end."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is to be told of an execution."""

    run: ActionRun
    return_code: int
    reason: str | None = None


class Acting:
    """The actions of one worker."""

    def __init__(
        self, ports: Ports, around: Surroundings, me: ActionRun, end_time: float | None = None
    ) -> None:
        """`me`: the worker and the host of every execution; no worker, where one stands in."""
        self._ports = ports
        self._around = around
        self._me = me
        self._end = end_time
        self._running: dict[int, _Execution] = {}
        self._untold: list[_Outcome] = []
        self._known: dict[int, Action] | None = None
        """All run_commands actions of the workflow, by id; None: not asked for yet."""
        self._waits_for = 0
        """The execution of another worker that is waited for."""
        self._ask_at = 0.0
        """When the store is asked again what became of it."""
        self.is_open = False
        """What comes before the first job is done."""
        self.is_over = False
        """What comes before the worker's end is done."""

    @property
    def busy(self) -> bool:
        """Whether a command runs, or an end is still to be told."""
        return bool(self._running or self._untold)

    # ── what is due ──────────────────────────────────────────────────────────

    def begin(self, now: float) -> None:
        """What comes before the first job, a step of it."""
        if self.busy or now < self._ask_at:
            return
        if self._known is None:
            self.learn()
        waits = bool(self._known) and (
            self._take_next(_BEGIN) or self._is_started_elsewhere(now) or self._take_next(_START)
        )
        self.is_open = not waits

    def learn(self) -> None:
        """Ask which actions there are; most workflows have none, and cost no question more."""
        where = {"workflow_id": self._workflow.id, "action_type": ActionType.RUN_COMMANDS}
        found = self._ports.store.rows(Action, EVERYTHING, **where)
        self._known = {action.id: action for action in found.items}

    def look(self) -> None:
        """While jobs run: take what is due."""
        if not self._known:
            return
        due = self._due(_AMID)
        # Not all workers begin with the same.
        first = (self._me.compute_node_id or 0) % max(1, len(due))
        for action in due[first:] + due[:first]:
            if len(self._running) >= AT_ONCE:
                return
            self._take(action)

    def wind_up(self, stopped: Stopped | None) -> None:
        """What comes before the worker's end, a step of it. Slurm leaves no time for that."""
        if self.busy or self.is_over:
            return
        if not self._known or stopped is Stopped.ALLOCATION:
            last: tuple[Collection[TriggerType], ...] = ()
        else:
            last = (_END,) if stopped else (_AMID, _COMPLETE, _END)
        self.is_over = not any(self._take_next(triggers) for triggers in last)

    def _due(self, triggers: Collection[TriggerType]) -> list[Action]:
        known = self._known or {}
        me = self._me.compute_node_id
        pending = self._ports.store.pending_actions(self._workflow.id, me)
        return [one for one in pending if one.id in known and one.trigger_type in triggers]

    def _take_next(self, triggers: Collection[TriggerType]) -> bool:
        """Begin the first of these that can be had; whether there was one."""
        return any(self._take(action) for action in self._due(triggers))

    def _is_started_elsewhere(self, now: float) -> bool:
        """Whether another worker still does what the start of the workflow asks for."""
        starts = [
            action.id
            for action in (self._known or {}).values()
            if action.trigger_type is TriggerType.ON_WORKFLOW_START and not action.persistent
        ]
        if not starts:
            return False
        store, where = self._ports.store, {"workflow_id": self._workflow.id, "action_id": starts}
        return any(
            self._is_alive(run, now) for run in store.rows(ActionRun, end_time=None, **where).items
        )

    def _is_alive(self, run: ActionRun, now: float) -> bool:
        """Whether an execution may still come to its end; one of a dead worker is lost."""
        if run.compute_node_id is None:
            return False
        node = self._ports.store.get(ComputeNode, run.compute_node_id)
        if now > node.lease_until + SILENCE_S:
            reason = f"lost: worker {node.id} on {node.hostname} gives no sign of life"
            self._ports.store.end_action(run.id, None, reason)
            log.warning("Action %d is %s", run.action_id, reason)
            return False
        self._ask_at = now + ASK_S
        if self._waits_for != run.id:
            self._waits_for = run.id
            log.info(
                "Jobs wait for action %d (on_workflow_start) on %s", run.action_id, run.hostname
            )
        return True

    # ── execution ────────────────────────────────────────────────────────────

    @property
    def _workflow(self) -> Workflow:
        return self._around.workflow

    def _take(self, action: Action) -> bool:
        """Claim an action and start its first command; False if somebody else has it."""
        path = action_log(
            self._around.output_dir,
            self._workflow.id,
            action.id,
            self._workflow.run_id,
            self._me.compute_node_id or 0,
        )
        by = replace(self._me, action_id=action.id, log_path=path)
        run = self._ports.store.claim_action(action.id, by)
        if run is None:
            return False
        self._start(action, run)
        return True

    def adopt(self) -> None:
        """Start what was claimed by us and the answer lost: no command of it has begun."""
        if not self._known:
            return
        mine = {"compute_node_id": self._me.compute_node_id, "end_time": None}
        ours = {execution.run.id for execution in self._running.values()}
        ours.update(outcome.run.id for outcome in self._untold)
        for run in self._ports.store.rows(ActionRun, **mine).items:
            if run.id not in ours and run.action_id in self._known:
                self._start(self._known[run.action_id], run)

    def _start(self, action: Action, run: ActionRun) -> None:
        commands = tuple(action.action_config.get("commands", ()))
        execution = _Execution(action, run, commands, last=action.trigger_type in _END)
        self._running[_FIRST_KEY + run.id] = execution
        log.info("Action started action_id=%d trigger=%s", action.id, action.trigger_type.value)
        self._next(execution)

    def _next(self, execution: _Execution) -> None:
        """Start the next command, or be done."""
        execution.at += 1
        if execution.at == len(execution.commands):
            self._done(execution, 0, None)
            return
        try:
            _write(execution.run.log_path, f"$ {execution.commands[execution.at]}\n")
        except OSError as error:
            why = f"its log cannot be written: {error.strerror}: {execution.run.log_path}"
            self._done(execution, LAUNCH_FAILED.return_code, why)
            return
        self._ports.launcher.start(self._order(execution))

    def _order(self, execution: _Execution) -> Order:
        action, around = execution.action, self._around
        env = {
            **around.env,
            "TORC_ACTION_ID": str(action.id),
            "TORC_TRIGGER_TYPE": action.trigger_type.value,
        }
        return Order(
            key=_FIRST_KEY + execution.run.id,
            command=execution.commands[execution.at],
            env=env | dict(self._workflow.env or {}),
            directory=around.output_dir,
            stdout=execution.run.log_path,
            stderr=execution.run.log_path,
            append=True,
        )

    # ── ends ─────────────────────────────────────────────────────────────────

    def sift(self, exits: Iterable[Exit]) -> list[Exit]:
        """Take note of commands that have ended; the ends of everything else."""
        others = []
        for exit_ in exits:
            if exit_.key in self._running:
                self._ended(self._running[exit_.key], exit_)
            else:
                others.append(exit_)
        return others

    def _ended(self, execution: _Execution, exit_: Exit) -> None:
        if exit_.code == 0 and execution.why is None:
            self._next(execution)
            return
        code = _return_code(exit_)
        if code == 0 and execution.at == len(execution.commands) - 1:
            self._done(execution, 0, None)  # told to end, it has come to its own end
            return
        where = f"command {execution.at + 1} of {len(execution.commands)}"
        text = " ".join(execution.commands[execution.at].split())
        shown = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
        if execution.why is not None:
            reason = f"ended in {where}, {shown!r}: {execution.why}"
        elif exit_.launch_error is not None:
            reason = f"{where} could not be started: {exit_.launch_error}"
        else:
            reason = f"{where} failed with return code {code}: {shown}"
        self._done(execution, code or SIGNAL_BASE, reason)

    def _done(self, execution: _Execution, code: int, reason: str | None) -> None:
        del self._running[_FIRST_KEY + execution.run.id]
        self._untold.append(_Outcome(execution.run, code, reason))
        what, number = execution.action.trigger_type.value, execution.action.id
        if code == 0:
            log.info("Action completed action_id=%d trigger=%s", number, what)
        else:
            log.error("Action %d (%s) failed: %s", number, what, reason)

    def tell(self) -> None:
        """Tell the store what has ended."""
        while self._untold:
            told = self._untold[0]
            self._ports.store.end_action(told.run.id, told.return_code, told.reason)
            self._untold.pop(0)

    # ── stopping ─────────────────────────────────────────────────────────────

    def stop(self, why: Stopped, *, hard: bool, everything: bool = False) -> None:
        """End commands, but not those of the worker's own end, unless `everything` is meant."""
        for key, execution in self._running.items():
            if everything or not execution.last:
                self._stop(key, execution, why, hard=hard)

    def _stop(self, key: int, execution: _Execution, why: Stopped, *, hard: bool) -> None:
        execution.why = execution.why or why.value
        self._ports.launcher.stop(key, hard=hard)

    def watch_time(self, now: float) -> None:
        """End what would not come to its end before the allocation does."""
        if self._end is None:
            return
        headroom = self._around.config.sigkill_headroom_seconds
        for key, execution in list(self._running.items()):
            if now >= self._end - headroom * HARD:
                self._stop(key, execution, Stopped.DEADLINE, hard=True)
            elif now >= self._end - headroom * SOFT and execution.why is None:
                self._stop(key, execution, Stopped.DEADLINE, hard=False)


def _write(path: str | None, line: str) -> None:
    """Add a line to a log, and make its folder."""
    if path is None:
        return
    with contextlib.suppress(FileExistsError):
        os.makedirs(os.path.dirname(path))  # noqa: PTH103, PTH120  as everywhere here: os.path
    with open(path, "a", encoding="utf-8") as file:  # noqa: PTH123  as above
        file.write(line)


def _return_code(exit_: Exit) -> int:
    if exit_.launch_error is not None:
        return LAUNCH_FAILED.return_code
    return exit_.code if exit_.code is not None else SIGNAL_BASE + (exit_.signal or 0)
