"""Slurm's words become ours, and none becomes an end that is not one."""

from __future__ import annotations

import pytest
from recordings import SACCT, SQUEUE, VERSIONS, sections

from slurmtorc.model import SlurmState as S
from slurmtorc.slurm.states import STATES, explain, state_of


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("PENDING", S.PENDING),
        ("PD", S.PENDING),
        ("CONFIGURING", S.PENDING),
        ("REQUEUED", S.PENDING),
        ("REQUEUE_HOLD", S.PENDING),
        ("SPECIAL_EXIT", S.PENDING),
        ("RESIZING", S.RUNNING),
        ("SIGNALING", S.RUNNING),
        ("STOPPED", S.SUSPENDED),
        ("STAGE_OUT", S.COMPLETING),
        ("CG", S.COMPLETING),
        ("CANCELLED by 65534", S.CANCELLED),
        ("CANCELLED+", S.CANCELLED),
        ("COMPLETED,COMPLETING", S.COMPLETED),
        ("OUT_OF_MEMORY", S.OUT_OF_MEMORY),
        ("OOM", S.OUT_OF_MEMORY),
        ("BOOT_FAIL", S.NODE_FAIL),
        ("DL", S.DEADLINE),
        ("REVOKED", S.UNKNOWN),
        ("SOMETHING_NEW", S.UNKNOWN),
        ("", S.UNKNOWN),
        ("137", S.UNKNOWN),
    ],
)
def test_a_state_is_read_by_its_first_word(text: str, state: S) -> None:
    assert state_of(text) is state


def test_an_unknown_word_is_neither_alive_nor_an_end() -> None:
    assert not state_of("SOMETHING_NEW").alive
    assert not state_of("SOMETHING_NEW").final


@pytest.mark.parametrize(
    "word", ["PD", "CF", "R", "S", "ST", "CG", "SO", "RQ", "RH", "RF", "RS", "SI", "SE", "RD"]
)
def test_what_may_still_go_on_is_alive(word: str) -> None:
    assert state_of(word).alive


def test_every_state_of_ours_has_a_word_of_slurm() -> None:
    assert set(STATES.values()) == set(S)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_state_is_known_and_both_its_words_agree(version: str) -> None:
    long, short = SQUEUE.index("%T"), SQUEUE.index("%t")
    for text in sections(version, "squeue.txt").values():
        for fields in (line.split("|") for line in text.splitlines()):
            assert state_of(fields[long]) is state_of(fields[short]) is not S.UNKNOWN
    state = SACCT.index("State")
    for name in ("sacct.txt", "sacct-D.txt"):
        for text in sections(version, name).values():
            for line in text.splitlines():
                assert state_of(line.split("|")[state]) is not S.UNKNOWN


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_reason_has_a_sentence_of_ours(version: str) -> None:
    place = SQUEUE.index("%r")
    reasons = {
        line.split("|")[place]
        for text in sections(version, "squeue.txt").values()
        for line in text.splitlines()
    } - {"None"}
    assert len(reasons) > 20
    for reason in reasons:
        assert explain(reason), reason
        assert not explain(reason).startswith("Slurm says"), reason


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("None", ""),
        ("", ""),
        ("(null)", ""),
        ("Resources", "nodes are not free yet; it is next"),
        ("(Priority)", "jobs of higher priority are before it"),
        (
            "ReqNodeNotAvail, UnavailableNodes:n3",
            "a node it needs is down, drained or reserved",
        ),
        ("RaisedSignal:9(Killed)", "a signal ended its script"),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority",
            "the nodes it needs are down, drained or reserved",
        ),
        (
            "AssocGrpCPUMinutesLimit",
            "the account has reached its limit on CPUs times minutes",
        ),
        (
            "QOSMaxCpuPerUserLimit",
            "the QOS has reached its limit on CPUs for one user",
        ),
        (
            "QOSMaxWallDurationPerJobLimit",
            "it asks for more than the QOS allows one job: walltime",
        ),
        ("QOSMinGRES", "it asks for less than the least that the QOS wants: GPUs and other GRES"),
        ("MaxJobsPerAccount", "the QOS has reached its limit on running jobs for one account"),
        ("MaximumOfFoo", "Slurm says: MaximumOfFoo"),
        ("(Brand new, really)", "Slurm says: Brand new, really"),
    ],
)
def test_a_reason_is_explained_in_one_sentence(reason: str, sentence: str) -> None:
    assert explain(reason) == sentence
