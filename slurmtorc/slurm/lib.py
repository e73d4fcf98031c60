"""SlurmLib: the Slurm port over pyslurm, with Slurm's programs behind it.

Its questions save the start of a program; they mean the same. Two rules keep them so. What the
library cannot ask is asked by the programs: an option it does not know, a plugin of the site's
that only sbatch loads, a library that does not load any more. And its no is never the last word:
what it says was refused, or not canceled, is tried by the programs, whose answer counts. Only a
yes is believed, and doubt is doubt: then nothing is sent again (`find` is the way out).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import (
    InvalidValue,
    SlurmError,
    SlurmUnavailable,
    SubmissionInDoubt,
    SubmissionRefused,
)
from slurmtorc.model import Site
from slurmtorc.slurm import refusals, rows
from slurmtorc.slurm.bucket import Bucket
from slurmtorc.slurm.cli import SLACK
from slurmtorc.slurm.commands import submit_environment
from slurmtorc.slurm.directives import description
from slurmtorc.slurm.helper import Lost, Unfit
from slurmtorc.slurm.states import state_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slurmtorc.model import AccountingEntry, QueueEntry
    from slurmtorc.ports import Clock, Script, Slurm
    from slurmtorc.settings import Settings
    from slurmtorc.slurm.helper import Helper

_TOKEN = re.compile(r"[a-z0-9]+")

_CONNECTION_ERRORS = frozenset({1001, 1800})
"""No connection could be made: surely nothing was sent."""
_OF_THE_CONTROLLER = range(2000, 3000)
"""The controller's own answers. Others, an errno of the system's too, leave open what arrived."""
_OTHER_RELEASE = frozenset({1005, 1006})
"""Slurm is not the one any more that the library was made for."""


class SlurmLib:
    """The cluster that this machine's Slurm library talks to."""

    def __init__(
        self,
        helper: Helper,
        programs: Slurm,
        *,
        settings: Settings,
        clock: Clock,
        environ: Mapping[str, str] | None = None,
        bucket: Bucket | None = None,
    ) -> None:
        self._helper = helper
        self._programs = programs
        self._bucket = bucket or Bucket(settings.slurm_rate, settings.slurm_burst, clock)
        self._environment = submit_environment(os.environ if environ is None else environ)
        self._site: Site | None = None

    # ── the port ─────────────────────────────────────────────────────────────

    def submit(self, script: Script) -> int:
        """Slurm's job id."""
        wanted = description(script.text)
        if wanted is None or not os.path.isdir(script.directory):  # noqa: PTH112  as given, unresolved
            return self._programs.submit(script)
        try:
            return self._send(script, wanted)
        except Unfit:
            return self._programs.submit(script)
        except SubmissionRefused:
            return self._already_there(script.token) or self._programs.submit(script)

    def look(self, slurm_job_ids: Collection[int]) -> dict[int, QueueEntry]:
        """What the queue says, of ended jobs too while Slurm remembers them (MinJobAge)."""
        wanted = sorted(set(slurm_job_ids))
        if not wanted:
            return {}
        try:
            found = {row["id"]: rows.queued(row) for row in self._ask("jobs", ids=wanted)}
        except Unfit:
            return self._programs.look(slurm_job_ids)
        return {number: found[number] for number in slurm_job_ids if number in found}

    def account(self, slurm_job_ids: Collection[int], since: float) -> dict[int, AccountingEntry]:
        """What accounting says; nothing at all where a cluster keeps none."""
        wanted, earliest = set(slurm_job_ids), int(max(0.0, since - SLACK))
        if not wanted:  # to the library no ids are all jobs of the day
            return {}
        try:
            told = self._ask("accounts", ids=sorted(wanted), start=earliest) or ()
        except Unfit:
            return self._programs.account(slurm_job_ids, since)
        return {
            row["id"]: rows.accounted(row)
            for row in told
            if row["id"] in wanted and (row["submit"] or earliest) >= earliest
        }

    def find(self, token: str, since: float) -> int | None:
        """The id of the caller's job that bears the token; None means what it does to SlurmCli."""
        if not _TOKEN.fullmatch(token):
            raise InvalidValue(f"token {token!r}", allowed="write lower-case letters and digits")
        earliest = int(max(0.0, since - SLACK))
        try:
            found = rows.first(self._ask("jobs", user=os.getuid()), token, earliest)
            if found is None:
                told = self._ask("accounts", user=os.getuid(), start=earliest)
                found = rows.first(told or (), token, earliest)
        except Unfit:
            return self._programs.find(token, since)
        return found

    def cancel(self, slurm_job_ids: Collection[int]) -> None:
        """End allocations; those that the library is not sure of are canceled by scancel."""
        wanted = sorted(set(slurm_job_ids))
        if not wanted:
            return
        try:
            left = self._ask("cancel", ids=wanted)
        except Unfit:
            left = wanted
        if left:
            self._programs.cancel(left)

    def site(self) -> Site:
        """The cluster as it was when first asked; a new object asks again."""
        if self._site is None:
            try:
                told = self._ask("site")
            except Unfit:
                return self._programs.site()
            self._site = Site(name=told["name"] or "cluster", partitions=rows.partitions(told))
        return self._site

    # ── calls ────────────────────────────────────────────────────────────────

    def _ask(self, question: str, **given: Any) -> Any:
        """The answer. Raises Unfit if the library cannot ask, SlurmUnavailable and SlurmError."""
        self._bucket.take()
        try:
            said = self._helper.ask(question, **given)
        except Unfit:
            raise
        except Lost as error:
            raise SlurmUnavailable(str(error)) from None
        if "errno" in said:
            raise _question_error(said)
        return _answer(said)

    def _send(self, script: Script, wanted: dict[str, Any]) -> int:
        """One submission. Unfit and SubmissionRefused say that there is none."""
        self._helper.start()
        self._bucket.take()
        try:
            said = self._helper.ask(
                "submit",
                description=wanted,
                environment=self._environment,
                directory=script.directory,
            )
        except Unfit:
            raise
        except Lost as error:
            raise SubmissionInDoubt(f"{error}: it may have submitted, or not") from None
        if "errno" in said:
            raise _submission_error(said)
        return int(_answer(said))

    def _already_there(self, token: str) -> int | None:
        """An allocation of that token which the library submitted though it said no."""
        try:
            told = self._ask("jobs", user=os.getuid())
        except Unfit:
            return None
        except SlurmError as error:
            raise SubmissionInDoubt(f"Slurm refused, and then was gone ({error})") from None
        alive = [row for row in told if not state_of(row["state"] or "").final]
        return rows.first(alive, token, 0)


# ── what the child said ──────────────────────────────────────────────────────


def _answer(said: Mapping[str, Any]) -> Any:
    if "silent" in said:
        raise SlurmUnavailable(f"Slurm's controller does not answer: {said['silent']}")
    if "raised" in said:
        raise Unfit(said["raised"])
    return said["answer"]


def _question_error(said: Mapping[str, Any]) -> Exception:
    """A failed question: Slurm's own no, or nobody answered."""
    number, words = said["errno"], said["said"]
    if number in _OTHER_RELEASE:
        return Unfit(words)
    if number in _OF_THE_CONTROLLER:
        return refusals.query_error(refusals.Answer("Slurm's library", 1, stderr=words))
    return SlurmUnavailable(f"Slurm's library got no answer: {words}")


def _submission_error(said: Mapping[str, Any]) -> SlurmError:
    """Which of the three a failed submission means; what is not known is doubt."""
    number, words = said["errno"], said["said"]
    if number in _CONNECTION_ERRORS:
        return SlurmUnavailable(f"not submitted: Slurm's controller does not answer ({words})")
    if number in _OF_THE_CONTROLLER:
        return SubmissionRefused(words)
    return SubmissionInDoubt(f"Slurm's library may have submitted ({words}, error {number})")
