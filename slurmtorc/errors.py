"""Every error this program raises on purpose, and how each one ends.

    TorcError                  exit 1
    ├── UsageError             exit 2   the command line itself is wrong
    ├── InvalidValue                    a value is not in the form its field asks for
    ├── SpecError                       a workflow file has faults; carries all of them
    ├── NotFound                        no record has that id or name
    ├── Conflict                        the record's state does not allow it
    │   └── IllegalTransition           a job cannot go from that status by that event
    ├── StoreError
    │   ├── StoreUnavailable            the database does not answer now (transient)
    │   │   ├── StoreBusy               another writer was in the way; nothing was changed
    │   │   └── StoreFull               its disk is full; nothing was changed
    │   ├── StoreRefused                the database cannot be used as asked
    │   └── StoreTooNew                 a newer version of this program made it
    ├── SlurmError
    │   ├── SlurmUnavailable            a Slurm daemon does not answer now (transient)
    │   ├── SubmissionRefused           sbatch said no, and would say no again
    │   │   └── SubmissionBarred            no, without a word why: perhaps to this machine alone
    │   └── SubmissionInDoubt           sbatch may or may not have submitted (transient)
    └── SandboxError                    the throw-away cluster could not be made

A message is one line: what happened, to which value, and what to do. `exit_code` is the
command's exit status, `http_status` the server's answer, and `transient` says that the same
call may succeed later: retrying is a property of the error, not of the caller.
"""

from __future__ import annotations

from dataclasses import dataclass


class TorcError(Exception):
    """The root of all errors raised on purpose."""

    exit_code = 1
    http_status = 500
    transient = False


class UsageError(TorcError):
    """The command line itself is wrong."""

    exit_code = 2
    http_status = 400


class InvalidValue(TorcError, ValueError):
    """A value is not in the form its field asks for.

    `allowed` says what may be written instead; it is part of the message.
    """

    http_status = 422

    def __init__(self, message: str, *, allowed: str = "") -> None:
        super().__init__(f"{message}; {allowed}" if allowed else message)
        self.problem = message
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong (or worth knowing) in a workflow file."""

    message: str
    path: tuple[str | int, ...] = ()
    """Keys and list indices from the top of the file: ('jobs', 3, 'memory')."""
    hint: str = ""
    """What to write instead, or what is allowed."""
    warning: bool = False
    line: int | None = None
    """From 1; None where the format cannot tell."""
    column: int | None = None


class SpecError(TorcError):
    """A workflow file has faults; all of them are in `faults`."""

    http_status = 422

    def __init__(self, source: str, faults: list[Fault]) -> None:
        self.source = source
        self.faults = faults
        count = sum(not fault.warning for fault in faults)
        super().__init__(f"{source}: {count} fault{'s' if count != 1 else ''}")


class NotFound(TorcError):
    """No record has that id or name."""

    http_status = 404


class Conflict(TorcError):
    """The state of a record does not allow what was asked."""

    http_status = 409


class IllegalTransition(Conflict):
    """A job cannot go from its status by that event."""


class StoreError(TorcError):
    """The database refused or failed."""


class StoreUnavailable(StoreError):
    """The database does not answer now; the same call may succeed later."""

    http_status = 503
    transient = True


class StoreBusy(StoreUnavailable):
    """Another writer was in the way and the transaction was undone: it may be tried as it was."""


class StoreFull(StoreUnavailable):
    """The database's disk is full. The transaction was undone; work goes on when there is room."""


class StoreRefused(StoreError):
    """The database cannot be used as asked: wrong URL, read-only, full, unsafe place."""


class StoreTooNew(StoreError):
    """A newer version of this program made the database."""


class SlurmError(TorcError):
    """Slurm, or a command of Slurm's, failed."""


class SlurmUnavailable(SlurmError):
    """A Slurm daemon does not answer now; the same call may succeed later."""

    transient = True


class SubmissionRefused(SlurmError):
    """Sbatch refused the script, and would refuse it again."""


class SubmissionBarred(SubmissionRefused):
    """Slurm denied access: to this user, or to jobs submitted from this machine (AllocNodes)."""


class SubmissionInDoubt(SlurmError):
    """Nobody can say yet whether Slurm accepted the script."""

    transient = True


class SandboxError(TorcError):
    """The throw-away cluster could not be made, found or ended."""
