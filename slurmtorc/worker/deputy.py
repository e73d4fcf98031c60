"""Actions of complete workflows that have no worker any more, executed by somebody in its place.

The last job of a workflow may be over without a worker: it died, and its jobs were settled by a
watch. What was to follow the jobs is still due then, and nobody else would ever do it. What must
never happen: a deputy that acts while a worker is there to do it.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from slurmtorc.errors import Conflict
from slurmtorc.model import ActionRun, ComputeNode
from slurmtorc.ports import NEWEST
from slurmtorc.rules.endings import Stopped
from slurmtorc.worker.actions import Acting
from slurmtorc.worker.employ import surroundings
from slurmtorc.worker.station import Ports

if TYPE_CHECKING:
    from slurmtorc.model import Workflow
    from slurmtorc.ports import Clock, Launcher, Store

log = logging.getLogger(__name__)

DYING_S = 5.0
"""How long killed commands are waited for."""


class Deputy:
    """Stands in for workers of any number of workflows."""

    def __init__(self, store: Store, launcher: Launcher, clock: Clock) -> None:
        self._ports = Ports(store=store, launcher=launcher, clock=clock)
        self._acting: dict[tuple[int, int], Acting] = {}
        """By workflow and run."""

    @property
    def busy(self) -> bool:
        """Whether any command runs."""
        return any(acting.busy for acting in self._acting.values())

    def step(self, workflow: Workflow, output_dir: str) -> bool:
        """Do what is due; False once nothing is left to do."""
        key = workflow.id, workflow.run_id
        if key not in self._acting:
            try:
                self._acting[key] = self._prepared(workflow, output_dir)
            except Conflict as error:
                log.warning("Actions of workflow %d cannot be done here: %s", workflow.id, error)
                return False
        acting = self._acting[key]
        acting.tell()
        acting.wind_up(None)
        return not acting.is_over

    def _prepared(self, workflow: Workflow, output_dir: str) -> Acting:
        """As its last worker would have gone on; what another deputy left is lost."""
        store, where = self._ports.store, {"workflow_id": workflow.id}
        last = store.rows(ComputeNode, NEWEST, **where).items
        place = last[0].output_dir if last else output_dir
        around = surroundings(workflow, place or output_dir, store.url)
        for run in store.rows(ActionRun, compute_node_id=None, end_time=None, **where).items:
            store.end_action(run.id, None, f"lost: the watch on {run.hostname} ended amid it")
        me = ActionRun(action_id=0, hostname=socket.gethostname())
        acting = Acting(self._ports, around, me)
        acting.learn()
        return acting

    def poll(self) -> bool:
        """Note what has ended, and go on with the next command; whether anything ended."""
        ended = self._ports.launcher.poll()
        for exit_ in ended:
            for acting in self._acting.values():
                acting.sift([exit_])
        return bool(ended)

    def stop(self) -> None:
        """End all commands; their actions have failed."""
        for acting in self._acting.values():
            acting.stop(Stopped.INTERRUPTED, hard=True, everything=True)
        until = self._ports.clock.now() + DYING_S
        while self._ports.launcher.running() and self._ports.clock.now() < until:
            self._ports.launcher.wait(0.1)
            self.poll()
        for acting in self._acting.values():
            acting.tell()
