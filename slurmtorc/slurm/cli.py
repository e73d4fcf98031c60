"""SlurmCli: the Slurm port over Slurm's own programs, and the only one that has them started.

Everything read or written as text is elsewhere (commands, parse, refusals); here is what text
cannot say: how often, in which environment, and when to ask again. Three rules hold: no program
is started without a token of the bucket; a failed question is never an empty answer; and sbatch
is never called a second time unless the first call surely sent nothing.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, TypeVar

from slurmtorc.errors import InvalidValue, SlurmUnavailable, SubmissionInDoubt
from slurmtorc.model import Site
from slurmtorc.slurm import commands, parse, programs, refusals, steps, usage
from slurmtorc.slurm.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from slurmtorc.model import AccountingEntry, Habits, QueueEntry, StepEntry, UsageEntry
    from slurmtorc.ports import Clock, Script
    from slurmtorc.settings import Settings
    from slurmtorc.slurm.commands import Columns
    from slurmtorc.slurm.refusals import Answer

T = TypeVar("T")

PING_AFTER = 5.0
"""Seconds since the controller last answered, after which it is pinged before sbatch is called:
a ping costs 10 ms, and any other program takes 9 to 20 s to find out that the controller is down,
which for sbatch is a doubt."""
PING_BEFORE_QUESTIONS_AFTER = 90.0
"""The same before a question, where only time is lost: who asks every minute asks once, as long
as there are answers. After a failure the next question is preceded by a ping."""

SLACK = 2 * 3600.0
"""How much earlier than `since` a submit time may be and still count as later. Slurm prints
local time, so in the hour that clocks repeat in autumn a moment is read an hour too early; the
rest is for clocks that disagree. A token is unique whatever its age: this only keeps old jobs
with a recycled id apart."""

_ATTEMPTS = 3
_PATIENCE = 5.0
"""Seconds after the first try of a question; later tries are the caller's."""

_TOKEN = re.compile(r"[a-z0-9]+")
_DOWN = re.compile(r"is DOWN")
_UP = re.compile(r"is UP")


class SlurmCli:
    """The cluster that this machine's Slurm programs talk to."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        environ: Mapping[str, str] | None = None,
        bucket: Bucket | None = None,
    ) -> None:
        """`bucket`: shared with others of this process that ask Slurm."""
        found = os.environ if environ is None else environ
        self._clock = clock
        self._bucket = bucket or Bucket(settings.slurm_rate, settings.slurm_burst, clock)
        self._timeout = settings.slurm_timeout
        self._questions = commands.clean_environment(found)
        self._submissions = commands.submit_environment(found)
        self._answered: float | None = None
        self._accounting = True
        self._site: Site | None = None

    # ── the port ─────────────────────────────────────────────────────────────

    def submit(self, script: Script) -> int:
        """Slurm's job id. A script that surely went nowhere is sent again; one in doubt, never."""
        answer = self._patiently(lambda: self._send(script))
        if answer.code:
            raise refusals.submission_error(answer)
        number = parse.submitted(answer.stdout)
        if number is None:
            raise SubmissionInDoubt(f"sbatch answered {answer.stdout.strip()!r}, which is no id")
        return number

    def look(self, slurm_job_ids: Collection[int]) -> dict[int, QueueEntry]:
        """What the queue says, of ended jobs too while Slurm remembers them (MinJobAge)."""
        entries: dict[int, QueueEntry] = {}
        for chunk in commands.chunks(slurm_job_ids):
            entries |= parse.queue(self._ask(commands.squeue(chunk)))
        return {number: entries[number] for number in slurm_job_ids if number in entries}

    def account(self, slurm_job_ids: Collection[int], since: float) -> dict[int, AccountingEntry]:
        """What accounting says; nothing at all where a cluster keeps none."""
        earliest = since - SLACK
        entries: dict[int, AccountingEntry] = {}
        for chunk in commands.chunks(slurm_job_ids):
            entries |= parse.accounting(self._ask_accounting(commands.sacct(chunk, earliest)))
        return {
            number: entry
            for number, entry in entries.items()
            if number in slurm_job_ids and (entry.submit_time or earliest) >= earliest
        }

    def usage(self, slurm_job_ids: Collection[int], since: float) -> list[UsageEntry]:
        """What accounting keeps of allocations and their steps: the port Ledger."""
        earliest = since - SLACK
        found: list[UsageEntry] = []
        for chunk in commands.chunks(slurm_job_ids):
            found += usage.entries(self._ask_accounting(commands.sacct_usage(chunk, earliest)))
        return [
            entry
            for entry in found
            if entry.slurm_job_id in slurm_job_ids
            and (entry.step or (entry.submit_time or earliest) >= earliest)
        ]

    def find(self, token: str, since: float) -> int | None:
        """The id of the caller's job that bears the token and was submitted after `since`.

        The queue is asked first and accounting only if it does not know. None means: at this
        moment neither has it. That is proof only once the controller has worked off what was
        sent to it before, and accounting has caught up (Slurm 22.05 writes a job down up to
        six seconds late; the queue covers that while it remembers ended jobs). So a caller in
        doubt asks again after a while before it submits again. Without accounting None means
        that no such job is waiting or running: one that ended and was forgotten is not told
        from one that never was, and neither can do harm beside a second one. An id is no proof
        of success either: Slurm keeps some that it refused, as FAILED without a node.
        """
        if not _TOKEN.fullmatch(token):
            raise InvalidValue(f"token {token!r}", allowed="write lower-case letters and digits")
        earliest = since - SLACK
        text = self._ask(commands.squeue_names())
        found = _first(text, commands.QUEUE_NAMES, token, earliest)
        if found is None:
            text = self._ask_accounting(commands.sacct_names(earliest, os.getuid()))
            found = _first(text, commands.ACCOUNT_NAMES, token, earliest)
        return found

    def cancel(self, slurm_job_ids: Collection[int]) -> None:
        """End allocations; Slurm says nothing of those it does not know, and nor do we."""
        for chunk in commands.chunks(slurm_job_ids):
            self._ask(commands.scancel(chunk))

    def site(self) -> Site:
        """The cluster as it was when first asked; a new object asks again."""
        if self._site is None:
            found = parse.partitions(self._ask(commands.SINFO))
            config = self._ask(commands.SHOW_CONFIG)
            name = parse.cluster_name(config) or "cluster"
            self._site = Site(name=name, partitions=found, **parse.default_memory(config))
        return self._site

    # ── the port Steps ───────────────────────────────────────────────────────

    def habits(self) -> Habits:
        """How this cluster treats processes. Asked once: a worker that starts has defaults."""
        return steps.habits(self._asked(commands.SHOW_CONFIG, controller=True))

    def account_steps(self, slurm_job_id: int) -> dict[str, StepEntry]:
        """What accounting says of the steps; nothing where a cluster keeps none."""
        return steps.entries(self._ask_accounting(steps.sacct(slurm_job_id)))

    def signal_steps(self, slurm_job_id: int, names: Collection[str], number: int) -> None:
        """Signal those of the steps that still run."""
        running = steps.ids(self._ask(steps.squeue(slurm_job_id)))
        wanted = [running[name] for name in names if name in running]
        if wanted:
            self._run(steps.scancel(wanted, number), self._questions)

    # ── calls ────────────────────────────────────────────────────────────────

    def _ask(self, argv: Sequence[str]) -> str:
        """What the controller printed; '' where it only said that it knows no such id."""
        return self._patiently(lambda: self._asked(argv, controller=True))

    def _ask_accounting(self, argv: Sequence[str]) -> str:
        """What sacct printed; '' where the cluster keeps no accounting, which is remembered."""
        if not self._accounting:
            return ""
        return self._patiently(lambda: self._asked(argv, controller=False))

    def _asked(self, argv: Sequence[str], *, controller: bool) -> str:
        if controller:
            self._ping(PING_BEFORE_QUESTIONS_AFTER)
        answer = self._run(argv, self._questions)
        if answer.code == 0 or refusals.unknown_ids(answer):
            self._answered = self._clock.now() if controller else self._answered
            return answer.stdout
        if not controller and refusals.no_accounting(answer):
            self._accounting = False
            return ""
        if controller:
            self._answered = None
        raise refusals.query_error(answer)

    def _send(self, script: Script) -> Answer:
        """One sbatch. SlurmUnavailable says that it surely sent nothing."""
        self._ping(PING_AFTER)
        answer = self._run(
            commands.SBATCH, self._submissions, text=script.text, directory=script.directory
        )
        if refusals.never_arrived(answer):
            raise refusals.submission_error(answer)
        if answer.code == 0:
            self._answered = self._clock.now()
        return answer

    def _ping(self, silence_s: float) -> None:
        """Raise SlurmUnavailable if the controller is down, unless it has answered lately."""
        now = self._clock.now()
        if self._answered is not None and 0 <= now - self._answered < silence_s:
            return
        answer = self._run(commands.PING, self._questions)
        if _UP.search(answer.stdout):  # the first of several controllers may be down
            self._answered = now
        elif _DOWN.search(answer.stdout):
            why = answer.text if answer.stderr else answer.stdout.splitlines()[0]
            raise SlurmUnavailable(f"Slurm's controller does not answer: {why}")

    def _patiently(self, call: Callable[[], T]) -> T:
        """Again after a moment if nobody answered; doubt and refusals pass through at once."""
        from tenacity import (  # noqa: PLC0415  a worker that never asks Slurm need not load it
            Retrying,
            retry_if_exception_type,
            stop_after_attempt,
            wait_exponential,
        )

        started = self._clock.now()
        retrying = Retrying(
            retry=retry_if_exception_type(SlurmUnavailable),
            stop=lambda state: (
                stop_after_attempt(_ATTEMPTS)(state) or self._clock.now() - started > _PATIENCE
            ),
            wait=wait_exponential(multiplier=0.25, max=1.0),
            sleep=self._clock.sleep,
            reraise=True,
        )
        return retrying(call)

    def _run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        text: str = "",
        directory: str | None = None,
    ) -> Answer:
        """The one way to a program: every call costs a token."""
        self._bucket.take()
        return programs.run(argv, env, timeout=self._timeout, text=text, directory=directory)


def _first(text: str, columns: Columns, token: str, since: float) -> int | None:
    """The earliest of the jobs that bear the token: others are copies made by hand."""
    return min(parse.tokens(text, columns, token, since), default=(0.0, None))[1]
