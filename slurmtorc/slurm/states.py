"""Slurm's words for states and for waiting, each in one table.

Separate from the parsers, so that the whole vocabulary can be read, and checked, in one place.
Two things must never happen here: a word that is not in the table becoming an end (it is
UNKNOWN, which is neither alive nor final), and an exit code being looked at (accounting prints
wrong ones, and a timeout's is 0).
"""

from __future__ import annotations

import re

from slurmtorc.model import SlurmState as S

_WORDS: dict[S, tuple[str, ...]] = {
    # Waiting, also again: a requeued allocation has its id back in the queue, and a held one
    # (REQUEUE_HOLD, SPECIAL_EXIT, RESV_DEL_HOLD) can be released by its owner. CONFIGURING has
    # nodes that still boot: nothing runs there yet.
    S.PENDING: (
        "PENDING", "PD", "CONFIGURING", "CF", "POWER_UP_NODE", "REQUEUED", "RQ",
        "REQUEUE_FED", "RF", "REQUEUE_HOLD", "RH", "RESV_DEL_HOLD", "RD", "SPECIAL_EXIT", "SE",
    ),
    # A resized allocation goes on with fewer nodes; its next row in accounting says how it ends.
    S.RUNNING: ("RUNNING", "R", "RESIZING", "RS", "SIGNALING", "SI"),
    # STOPPED keeps its CPUs, SUSPENDED gives them away; both go on when somebody says so.
    S.SUSPENDED: ("SUSPENDED", "S", "STOPPED", "ST"),
    S.COMPLETING: ("COMPLETING", "CG", "STAGE_OUT", "SO"),
    S.COMPLETED: ("COMPLETED", "CD"),
    S.FAILED: ("FAILED", "F"),
    S.TIMEOUT: ("TIMEOUT", "TO"),
    S.OUT_OF_MEMORY: ("OUT_OF_MEMORY", "OOM"),
    S.CANCELLED: ("CANCELLED", "CA"),
    S.NODE_FAIL: ("NODE_FAIL", "NF", "BOOT_FAIL", "BF"),
    S.PREEMPTED: ("PREEMPTED", "PR"),
    S.DEADLINE: ("DEADLINE", "DL"),
    # A federation started the job on another cluster: over here, but its workers may be alive
    # there. Their heartbeats decide, not this word.
    S.UNKNOWN: ("REVOKED", "RV"),
}  # fmt: skip

STATES: dict[str, S] = {word: state for state, words in _WORDS.items() for word in words}
"""Slurm's word, long or compact -> ours."""

_FIRST_WORD = re.compile(r"[A-Z_]+")


def state_of(text: str) -> S:
    """Our state for Slurm's text, read by its first word: 'CANCELLED by 65534' -> CANCELLED."""
    match = _FIRST_WORD.match(text.strip())
    return STATES.get(match[0], S.UNKNOWN) if match else S.UNKNOWN


_REASONS = {
    "AccountNotAllowed": "the account may not use this partition",
    "AccountingPolicy": "a limit of the account holds it back",
    "AssociationJobLimit": "the account has as many jobs as it may have",
    "AssociationResourceLimit": "the account has used up a limit on resources",
    "AssociationTimeLimit": "the account has used up its time limit",
    "BadConstraints": "no node can ever satisfy what it asks for",
    "BeginTime": "it may not start yet: its begin time has not come, or it was just requeued",
    "BurstBufferOperation": "the burst buffer failed",
    "BurstBufferResources": "the burst buffer has no space free",
    "BurstBufferStageIn": "files are being copied to the burst buffer",
    "Cleaning": "what is left of its earlier run is being cleaned up",
    "Constraints": "no node that is free has the features it asks for",
    "DeadLine": "it could not have ended before its deadline",
    "Dependency": "it waits for another Slurm job",
    "DependencyNeverSatisfied": "it waits for another Slurm job that failed: it will never start",
    "FedJobLock": "the clusters of the federation agree on where it runs",
    "InvalidAccount": "its account does not exist",
    "InvalidQOS": "its QOS does not exist",
    "JobArrayTaskLimit": "as many tasks of its array run as may run at once",
    "JobHeldAdmin": "an administrator holds it: ask them to release it",
    "JobHeldUser": "it is held: 'scontrol release' lets it go",
    "JobHoldMaxRequeue": "it was requeued too often, and is held",
    "JobLaunchFailure": "it could not be launched: a node or file system was at fault",
    "Licenses": "a licence it needs is in use",
    "MaxMemPerLimit": "it asks for more memory per CPU or node than the partition allows",
    "NodeDown": "a node it needs is down",
    "NonZeroExitCode": "its script ended with an error",
    "OutOfMemory": "it used more memory than it had asked for",
    "PartitionConfig": "it does not fit into the partition, or the partition has just changed",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "PartitionNodeLimit": "it asks for more or fewer nodes than the partition allows",
    "PartitionTimeLimit": "it asks for more time than the partition allows: it will never start",
    "Priority": "jobs of higher priority are before it",
    "Prolog": "the prolog of its nodes still runs",
    "QOSJobLimit": "the QOS has as many jobs as it may have",
    "QOSNotAllowed": "the account or partition may not use this QOS",
    "QOSResourceLimit": "the QOS has used up a limit on resources",
    "QOSTimeLimit": "the QOS has used up its time limit",
    "QOSUsageThreshold": "the account has used more than the QOS allows",
    "RaisedSignal": "a signal ended its script",
    "ReqNodeNotAvail": "a node it needs is down, drained or reserved",
    "Reservation": "its reservation has not begun",
    "ReservationDeleted": "its reservation was deleted",
    "Resources": "nodes are not free yet; it is next",
    "SchedDefer": "Slurm looks at it in its next round",
    "SystemFailure": "Slurm itself, a node or a file system failed",
    "TimeLimit": "it ran to its time limit",
    "job requeued in held state": "it was requeued and is held: 'scontrol release' lets it go",
    "launch failed requeued held": "it could not be launched, and is held",
    "Nodes required for job are DOWN": "the nodes it needs are down, drained or reserved",
}
"""What stands before the first comma or colon of Slurm's reason -> one sentence for people."""

_LIMIT = re.compile(
    r"(?P<whose>Assoc|QOS|)(?P<kind>Grp|Max|Min)(?P<what>[A-Z].*?)(?P<spent>(?:Run)?Minutes)?"
    r"(?P<per>PerJob|PerNode|PerUser|PerAccount)?(?:Limit|NotSatisfied)?"
)
_WHAT = {
    "BB": "burst buffer", "Billing": "billing units", "CPU": "CPUs", "Cpu": "CPUs",
    "Energy": "energy", "GRES": "GPUs and other GRES", "Jobs": "running jobs",
    "License": "licences", "Mem": "memory", "Memory": "memory", "Node": "nodes",
    "SubmitJob": "submitted jobs", "SubmitJobs": "submitted jobs", "Unknown": "some resource",
    "Wall": "walltime", "WallDuration": "walltime",
}  # fmt: skip
_PER = {"PerJob": "job", "PerNode": "node", "PerUser": "user", "PerAccount": "account"}


def explain(reason: str) -> str:
    """One short sentence for a person; '' where Slurm gives no reason."""
    text = re.sub(r"^\((.*)\)$", r"\1", reason.strip())
    if text in {"", "None", "null"}:
        return ""
    head = re.split(r"[,:]", text, maxsplit=1)[0]
    return _REASONS.get(head) or _explain_limit(head) or f"Slurm says: {text}"


def _explain_limit(word: str) -> str:
    """Slurm composes some 150 words for limits: whose, which kind, on what, counted per what."""
    match = _LIMIT.fullmatch(word)
    if match is None or match["what"] not in _WHAT:
        return ""
    whose = "the account" if match["whose"] == "Assoc" else "the QOS"
    what = _WHAT[match["what"]] + (" times minutes" if match["spent"] else "")
    per = f" one {_PER[match['per']]}" if match["per"] else ""
    if match["kind"] == "Min":
        return f"it asks for less than the least that {whose} wants: {what}"
    if match["per"] in {"PerJob", "PerNode"}:
        return f"it asks for more than {whose} allows{per}: {what}"
    return f"{whose} has reached its limit on {what}{' for' + per if per else ''}"
