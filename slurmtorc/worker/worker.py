"""The worker: claim, launch, reap, report, one step at a time.

A tick reaps what ended, tells the store and asks it for more in one transaction, launches what
it was given, and says how long to rest. A job is `running` in the store before its process
starts, never after: so whatever kills this process, nobody can believe that a job which ran has
not been started.

When the store does not answer, jobs go on; what they came to is kept and told when it is back.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from slurmtorc.errors import StoreUnavailable, TorcError
from slurmtorc.model import ActionRun
from slurmtorc.rules.endings import Stopped
from slurmtorc.rules.idling import Leave, Stay, decide
from slurmtorc.worker.actions import Acting, is_action
from slurmtorc.worker.attempts import attempt_of, order_for, report_of
from slurmtorc.worker.diary import Diary
from slurmtorc.worker.doubts import Doubts
from slurmtorc.worker.intake import Intake
from slurmtorc.worker.lease import Lease
from slurmtorc.worker.news import News
from slurmtorc.worker.outage import Outage
from slurmtorc.worker.recovering import Recovering, is_script
from slurmtorc.worker.rooms import Rooms
from slurmtorc.worker.station import SHORTEST_KILL_WAIT_S

if TYPE_CHECKING:
    from slurmtorc.model import Claim, Outlook, Report, SlurmStats
    from slurmtorc.ports import Exit
    from slurmtorc.worker.attempts import Attempt, Surroundings
    from slurmtorc.worker.rooms import Place
    from slurmtorc.worker.station import Conduct, Ports, Station

log = logging.getLogger(__name__)

TOGETHER_S = 0.01
"""Ends are told together that come so soon after each other, while all places are taken."""
REST_S = 1.0
"""How long a worker rests at most: it has to notice that the workflow was canceled."""
HURRIED_REST_S = 0.1
"""The same while seconds count: Slurm ends the allocation, or may be about to."""
OUTLOOK_S = 1.0
KILL_GRACE_S = 10.0
"""Between TERM and KILL, for jobs that are stopped but not by a deadline."""
LAST_WORDS_S = 3.0
"""What a worker keeps for itself of the time that Slurm leaves it after its TERM."""


class Worker:
    """One worker of one workflow."""

    def __init__(
        self, ports: Ports, station: Station, around: Surroundings, conduct: Conduct
    ) -> None:
        self.ports, self.station = ports, station
        self.around, self.conduct = around, conduct
        self.running: dict[int, Attempt] = {}
        """By job; an attempt stays here until its recovery script has ended too."""
        self.stopped: Stopped | None = None
        self.left: Leave | None = None
        self.in_doubt = False
        """It ends without a word of the jobs it stopped, as nobody has said why."""
        self.outage = Outage()
        self._rooms = Rooms(station.whole, station.gpus, station.nodes)
        self._intake = Intake(ports.store, station.node, self._rooms, conduct.max_parallel_jobs)
        self._doubts = Doubts(ports.why)
        self._diary = Diary()
        self._stats: list[SlurmStats] = []
        self._reports: list[Report] = []
        self._recovering = Recovering(
            ports.launcher,
            ports.clock,
            around,
            hide_gpus=bool(station.gpus),
            end_time=conduct.end_time,
        )
        self._acting = Acting(ports, around, _executor(station), conduct.end_time)
        self._canceled = self._killed = False
        self._is_wound_up = False  # nothing is left to be done for the workflow before the end
        self._lease = Lease(ports.store, station.node.id)
        self._news = News(ports.store, ports.launcher, ports.clock)
        self._interrupts = 0
        self._idle_since = ports.clock.now()
        self._stopped_at = self._next_outlook = 0.0

    # ── the step ─────────────────────────────────────────────────────────────

    def tick(self) -> float | None:
        """One step; seconds to rest, or None when the worker has ended."""
        now = self.ports.clock.now()
        self._watch_time(now)  # first: what ends after a signal may have ended by it
        self._reap()
        self._begin_ready()
        if now >= self.outage.retry_at:
            try:
                self._talk(now)
                self.outage.over()
            except StoreUnavailable as error:
                self._outage(error, now)
        else:
            self._diary.write()
        if self._is_over(now):
            return None
        return self._rest(now)

    def _is_over(self, now: float) -> bool:
        if self.left is not None and self._has_nothing() and self._is_wound_up:
            return True
        last = self._stopped_at + max(self._kill_wait() - 1, SHORTEST_KILL_WAIT_S - 1)
        self.in_doubt = self.stopped is Stopped.ALLOCATION and now >= last
        return self.in_doubt

    def _has_nothing(self) -> bool:
        return not (self.running or self._reports or self._ahead())

    def rest(self, seconds: float) -> None:
        """Until the time is over or a process ends; with room for a job, also until news."""
        now = self.ports.clock.now()
        if self._wants() and now >= self.outage.retry_at:
            self._news.wait(seconds, now - self._idle_since)
        else:
            self.ports.launcher.wait(seconds)

    def interrupt(self) -> None:
        """Stop cleanly: jobs are asked to end, and no more are taken. Again: end them at once."""
        self._interrupts += 1

    def finish(self) -> None:
        """The last words of a worker that has ended: accounts that were still out."""
        self._diary.write()
        if self.stopped is not Stopped.ALLOCATION:
            with contextlib.suppress(StoreUnavailable):  # no result depends on them
                self._note_accounts(last=True)

    def kill(self) -> None:
        """End all jobs now; for the case that this worker itself has failed."""
        self._diary.write()
        self._signal(hard=True)

    def _rest(self, now: float) -> float:
        if now < self.outage.retry_at:
            return min(self.outage.retry_at - now, REST_S)
        if self._doubts.held or self.stopped is Stopped.ALLOCATION:
            return HURRIED_REST_S
        due = [self._tell_at(), self._intake.shelf.due()]
        return max(0.0, min([REST_S, *(moment - now for moment in due if moment is not None)]))

    def _tell_at(self) -> float | None:
        """When the store hears of the reports, even if nothing else is to be said."""
        return self._reports[0].completion_time + TOGETHER_S if self._reports else None

    # ── processes ────────────────────────────────────────────────────────────

    def _reap(self) -> None:
        now = self.ports.clock.now()
        ended = self.ports.launcher.poll()
        of_jobs = self._acting.sift(ended)
        if len(of_jobs) < len(ended):
            self._next_outlook = now  # what an action has done may decide what is to be done next
        for exit_ in self._doubts.sift(of_jobs, self.stopped, now):
            report = self._came_to(exit_)
            if report is None:
                continue
            attempt = self.running.pop(report.job_id)
            self._rooms.leave(attempt.claim.job_id)
            self._reports.append(report)
            self._idle_since = self.ports.clock.now()

    def _came_to(self, exit_: Exit) -> Report | None:
        """What an ended process means for its job; None while the job is being recovered."""
        if is_script(exit_.key):
            return self._recovering.ended(exit_, self.stopped)
        attempt = self.running[exit_.key]
        self._intake.shelf.learn(exit_.end_time - exit_.start_time)
        report = report_of(attempt, exit_, self.around, self.stopped)
        self._diary.note(attempt, report)
        return self._recovering.judged(attempt, report, self.stopped, canceled=self._canceled)

    def _ahead(self) -> list[int]:
        """Jobs that are started in the store and have not begun."""
        return [claim.job_id for claim in self._intake.shelf.claims]

    def _begin_ready(self) -> None:
        """Fill what became free with what is started already; the store hears of it later."""
        if self.left is None and self._intake.shelf.claims:
            now, left = self.ports.clock.now(), self._seconds_left()
            self._launch(self._intake.ready(len(self.running), left, now))

    def _launch(self, placed: list[tuple[Claim, Place]]) -> None:
        for claim, place in placed:
            attempt = attempt_of(claim, self.around, place)
            self.running[claim.job_id] = attempt
            hide = bool(self.station.gpus) and not claim.requirement.num_gpus
            order = order_for(attempt, self.around, hide_gpus=hide)
            self.ports.launcher.start(order)
            log.debug(
                "Job started job_id=%d job_name=%s attempt_id=%d",
                claim.job_id,
                claim.name,
                claim.attempt_id,
            )

    # ── stopping ─────────────────────────────────────────────────────────────

    def _watch_time(self, now: float) -> None:
        """Stop what must be stopped: asked by somebody, or at the allocation's end."""
        self._recovering.watch_time(now)
        self._acting.watch_time(now)
        self._watch_end(now)
        if self._interrupts:
            why, again = self._interruption(now), self._interrupts > 1
            # Slurm sends its TERM twice, a few milliseconds apart: that is no impatience.
            self._stop(why, now, hard=again and why is not Stopped.ALLOCATION)
            if again:
                self._acting.stop(why, hard=True, everything=True)
        if self.stopped is not None and now >= self._stopped_at + self._grace():
            self._stop(self.stopped, now, hard=True)

    def _watch_end(self, now: float) -> None:
        """Stop jobs before the allocation's end; steps have limits of their own."""
        config, end = self.around.config, self.conduct.end_time
        if end is None or now < self._deadline(end):
            return
        if self.conduct.by_steps:
            self.left = self.left or Leave(Stopped.DEADLINE.value)
        else:
            self._stop(Stopped.DEADLINE, now, hard=now >= end - config.sigkill_headroom_seconds)

    def _interruption(self, now: float) -> Stopped:
        """What a signal means. After the known end of the allocation nobody need be asked."""
        means, end = self.conduct.interrupt_means, self.conduct.end_time
        over = means is Stopped.ALLOCATION and end is not None and now >= end
        return Stopped.DEADLINE if over else means

    def _deadline(self, end: float) -> float:
        """When jobs must be told to end."""
        config = self.around.config
        lead = 0 if self.conduct.by_steps else config.sigterm_lead_seconds
        return end - config.sigkill_headroom_seconds - lead

    def _grace(self) -> float:
        if self.stopped is Stopped.DEADLINE:
            return self.around.config.sigterm_lead_seconds
        if self.stopped is Stopped.ALLOCATION:
            return self._kill_wait() - LAST_WORDS_S
        return KILL_GRACE_S

    def _kill_wait(self) -> float:
        return max(self.conduct.kill_wait_s, SHORTEST_KILL_WAIT_S)

    def _stop(self, why: Stopped, now: float, *, hard: bool = False) -> None:
        """Ask all jobs to end, once; end them, once. No more are taken."""
        if self.stopped is None:
            self.stopped, self._stopped_at = why, now
            log.warning("Stopping: %s; %d jobs run", why.value, len(self.running))
            self.left = self.left or Leave(why.value)
            self._signal(hard=hard, scripts=why is not Stopped.DEADLINE)
        elif hard and not self._killed:
            self._signal(hard=True, scripts=why is not Stopped.DEADLINE)

    def _signal(self, *, hard: bool, scripts: bool = True) -> None:
        """Scripts have a little more time than jobs at a deadline, and an end of their own."""
        self._killed = self._killed or hard
        self._acting.stop(self.stopped or Stopped.INTERRUPTED, hard=hard)
        for key in list(self.ports.launcher.running()):
            if not is_action(key) and (scripts or not is_script(key)):
                self.ports.launcher.stop(key, hard=hard)

    # ── the store ────────────────────────────────────────────────────────────

    def _talk(self, now: float) -> None:
        """Everything this step has to say and to ask."""
        if self.outage.failures:
            self._find_lost()
        self._lease.renew(now)
        self._heed_lease(now)
        self._acting.tell()
        if not self._acting.is_open and self.left is None:
            self._acting.begin(now)
        self._give_back(now)  # first: what is on the shelf must not be claimed a second time
        moves = self._moves(now)
        if moves:
            self._exchange()
        self._note_accounts()
        if now >= self._next_outlook or (moves and not self.running):
            self._look(now)
        if self.left is not None and self._has_nothing():
            self._wind_up()

    def _moves(self, now: float) -> bool:
        """Whether it is time to report, or to ask for jobs; ends soon after each other wait."""
        wants = self._wants()
        tell_at = self._tell_at()
        if tell_at is not None and now < tell_at and not wants and self.left is None:
            return False
        return bool(self._reports) or (wants and self._news.came())

    def _wants(self) -> bool:
        """Whether it would begin another job."""
        return self._acting.is_open and self.left is None and self._has_room()

    def _note_accounts(self, *, last: bool = False) -> None:
        """Tell what accounting says of steps; their results are in the store by now."""
        if self.ports.accounts is not None:
            self._stats += self.ports.accounts(last=last)
        if self._stats:
            self.ports.store.note_stats(self._stats)
            self._stats = []

    def _exchange(self) -> None:
        """Report and claim in one transaction; launch what was claimed once it is committed."""
        store, node_id = self.ports.store, self.station.node.id
        self._diary.write()
        with store.together():
            if self._reports:
                self._lease.renew(self.ports.clock.now(), along=True)
                store.complete(node_id, self._reports)
            if self.left is None:
                claims = self._intake.choose(len(self.running), self._seconds_left())
                self._recovering.learn(store, claims)
        self._reports = []
        if self.left is None:
            self._launch(self._intake.keep(self.ports.clock.now()))

    def _seconds_left(self) -> float | None:
        end = self.conduct.end_time
        return None if end is None else self._deadline(end) - self.ports.clock.now()

    def _has_room(self) -> bool:
        return self._intake.has_room(len(self.running))

    def _give_back(self, now: float) -> None:
        """What is started and has not begun, if it cannot begin soon."""
        due = self._intake.shelf.due()
        if due is not None and (now >= due or self.left is not None):
            self._intake.give_back()

    def _heed_lease(self, now: float) -> None:
        if self._lease.is_lost and self.left is None:
            log.error("This worker was given up; its jobs belong to others now")
            self._stop(Stopped.CANCELED, now, hard=True)

    def _look(self, now: float) -> None:
        """Do what is due in the workflow; see whether it was canceled, and whether to stay."""
        self._next_outlook = now + OUTLOOK_S
        self._act()
        outlook = self.ports.store.outlook(self.around.workflow.id)
        self._canceled = outlook.is_canceled
        if outlook.is_canceled and self.stopped is None:
            self._stop(Stopped.CANCELED, now)
        if self._has_nothing() and self._acting.is_open:
            self._think_of_leaving(outlook, now)

    def _act(self) -> None:
        """Do what is due in the workflow; what goes wrong there is no matter of the jobs."""
        if self.left is not None or not self._acting.is_open:
            return
        self._acting.look()
        self._ask_for_nodes()

    def _ask_for_nodes(self, *, leaving: bool = False) -> None:
        if self.ports.act is None:
            return
        try:
            self.ports.act(self.station.node.id, leaving=leaving)
        except StoreUnavailable:
            raise
        except TorcError as error:
            log.error("An action failed: %s", error)  # noqa: TRY400  one clear line

    def _wind_up(self) -> None:
        """What is left to do for the workflow, once this worker runs no job any more."""
        if self._is_wound_up:
            return
        self._acting.wind_up(self.stopped)
        if not self._acting.is_over:
            return
        if self.stopped in {None, Stopped.DEADLINE}:
            self._ask_for_nodes(leaving=True)  # again, if the store does not answer
        self._is_wound_up = True

    def _think_of_leaving(self, outlook: Outlook, now: float) -> None:
        """Leave if there is no use in staying; but ask once more for work before going."""
        if self.left is not None or isinstance(self._decision(outlook, now), Stay):
            return
        self._exchange()
        if self.running:
            return
        decision = self._decision(self.ports.store.outlook(self.around.workflow.id), now)
        if isinstance(decision, Leave):
            log.info("Leaving: %s", decision.reason)
            self.left = decision

    def _decision(self, outlook: Outlook, now: float) -> Stay | Leave:
        return decide(
            outlook,
            idle_s=now - self._idle_since,
            idle_limit_s=self.conduct.idle_limit_s,
            patient=self.conduct.patient,
            acts=self._acting.busy,
        )

    # ── outages ──────────────────────────────────────────────────────────────

    def _outage(self, error: StoreUnavailable, now: float) -> None:
        self.outage.failed(error, now)
        self._intake.forget()  # what was claimed and is not known of is found and given back
        self._lease.doubt()
        self._news.forget()
        longest = 60 * self.around.workflow.compute_node_wait_for_healthy_database_minutes
        if not self.running and (self._interrupts > 1 or now >= self._idle_since + longest):
            raise error

    def _find_lost(self) -> None:
        """After an answer that never came: give back jobs, and do actions, that we do not know."""
        store, node_id = self.ports.store, self.station.node.id
        if self._reports:  # first: the next attempt of one of these may be what was lost
            store.complete(node_id, self._reports)
            self._reports = []
        unknown = set(store.held(node_id)) - {*self.running, *self._ahead()}
        if unknown:
            store.give_up(node_id, sorted(unknown))
        self._acting.adopt()
        if self.stopped is not None:
            self._acting.stop(self.stopped, hard=self._killed)


def _executor(station: Station) -> ActionRun:
    """Who executes actions on this worker."""
    node = station.node
    return ActionRun(action_id=0, compute_node_id=node.id, hostname=node.hostname)
