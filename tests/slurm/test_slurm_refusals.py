"""A failed call becomes the right one of our errors: a wrong one loses or doubles allocations."""

from __future__ import annotations

import pytest
from recordings import VERSIONS, Call, calls

from slurmtorc.errors import (
    SlurmError,
    SlurmUnavailable,
    SubmissionBarred,
    SubmissionInDoubt,
    SubmissionRefused,
)
from slurmtorc.slurm.refusals import (
    Answer,
    never_arrived,
    no_accounting,
    query_error,
    submission_error,
    unknown_ids,
)


def failed(version: str, name: str, program: str) -> list[Call]:
    return [c for c in calls(version, name) if c.argv[0] == program and c.answer.code]


# ── refused submissions, as recorded ─────────────────────────────────────────

NOT_FOR_EVER = {"max_submit_second"}
"""Refused only for as long as the earlier ones wait."""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["refusals.txt", "refusals-strict.txt"])
def test_every_recorded_refusal_is_one_line_with_slurms_words_and_a_remedy(
    version: str, name: str
) -> None:
    refused = [c for c in failed(version, name, "sbatch") if c.label not in NOT_FOR_EVER]
    assert len(refused) > 15
    for call in refused:
        error = submission_error(call.answer)
        assert isinstance(error, SubmissionRefused), call.label
        assert "\n" not in str(error)
        assert "; " in str(error)
        assert "sbatch: " not in str(error).split("; ")[0], call.label


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["refusals.txt", "refusals-strict.txt"])
def test_a_limit_on_how_many_may_wait_is_not_for_ever(version: str, name: str) -> None:
    for call in failed(version, name, "sbatch"):
        if call.label in NOT_FOR_EVER:
            error = submission_error(call.answer)
            assert isinstance(error, SlurmUnavailable)
            assert "QOSMaxSubmitJobPerUserLimit" in str(error)


REMEDIES = {
    "bad_account": ("Invalid account", "sacctmgr show assoc"),
    "bad_partition": ("invalid partition specified: nosuch", "sinfo -s"),
    "bad_qos": ("Invalid qos", "sacctmgr show assoc"),
    "bad_time_format": ("Invalid --time", "ask for less time"),
    "too_much_mem": ("Memory specification", "sinfo -e"),
    "too_many_gpus": ("Requested node configuration", "sinfo -e"),
    "bad_gres": ("gres", "scheduler"),
    "bad_constraint": ("Invalid feature", "scheduler"),
    "bad_option": ("unrecognized option '--nosuchoption'", "slurm_defaults"),
    "bad_directive": ("unrecognized option '--nosuch=1'", "slurm_defaults"),
    "qos_denyonlimit_wall": ("QOSMaxWallDurationPerJobLimit", "ask for less time"),
    "bad_license": ("Invalid license", "scheduler"),
    "bad_reservation": ("reservation is invalid", "scheduler"),
    "bad_node": ("Invalid node name", "scheduler"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("label", "words"), REMEDIES.items())
def test_a_refusal_says_what_to_do(version: str, label: str, words: tuple[str, str]) -> None:
    (call,) = [c for c in failed(version, "refusals.txt", "sbatch") if c.label == label]
    message = str(submission_error(call.answer))
    assert message.startswith("Slurm refused the allocation: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize("version", VERSIONS)
def test_a_strict_sites_refusals_say_what_to_do(version: str) -> None:
    messages = {
        call.label: str(submission_error(call.answer))
        for call in failed(version, "refusals-strict.txt", "sbatch")
    }
    assert "ask for less time" in messages["too_long_time"]
    assert "sinfo -e" in messages["too_many_nodes"]
    assert "sinfo -e" in messages["too_many_cpus"]
    assert "sacctmgr show assoc" in messages["partition_account_denied"]


# ── outages, as recorded ─────────────────────────────────────────────────────


@pytest.mark.parametrize("version", VERSIONS)
def test_a_controller_that_is_down_took_no_script(version: str) -> None:
    (call,) = [c for c in failed(version, "outages.txt", "sbatch") if c.label == "ctld-down"]
    assert never_arrived(call.answer)
    assert isinstance(submission_error(call.answer), SlurmUnavailable)


@pytest.mark.parametrize("label", ["munge-down", "no-configuration"])
def test_a_machine_that_cannot_send_sent_no_script(label: str) -> None:
    (call,) = [c for c in failed("22.05", "outages.txt", "sbatch") if c.label == label]
    assert isinstance(submission_error(call.answer), SlurmUnavailable)


def test_a_missing_configuration_is_said_with_what_to_do() -> None:
    for program in ("sbatch", "squeue", "sacct"):
        for call in failed("22.05", "outages.txt", program):
            if call.label == "no-configuration":
                assert "set SLURM_CONF" in str(submission_error(call.answer))
                assert "set SLURM_CONF" in str(query_error(call.answer))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("program", ["squeue", "scancel", "sinfo", "sacct"])
def test_a_daemon_that_is_down_is_no_answer(version: str, program: str) -> None:
    recorded = [
        call
        for call in failed(version, "outages.txt", program)
        if call.label in {"ctld-down", "dbd-down", "mysql-down", "munge-down"}
    ]
    assert recorded
    for call in recorded:
        assert isinstance(query_error(call.answer), SlurmUnavailable), call
        assert not unknown_ids(call.answer)
        assert not no_accounting(call.answer)


def test_a_cluster_without_accounting_says_so() -> None:
    (call,) = [c for c in failed("22.05", "outages.txt", "sacct") if c.label == "accounting-off"]
    assert no_accounting(call.answer)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_id_is_told_from_a_wrong_question(version: str) -> None:
    recorded = {
        " ".join(call.argv): call.answer
        for program in ("squeue", "scancel", "sacct")
        for call in failed(version, "unknown-ids.txt", program)
    }
    assert unknown_ids(recorded["squeue -h -j 999999"])
    wrong = [answer for argv, answer in recorded.items() if argv != "squeue -h -j 999999"]
    assert len(wrong) >= 4
    for answer in wrong:
        assert not unknown_ids(answer)
        error = query_error(answer)
        assert isinstance(error, SlurmError)
        assert not isinstance(error, SlurmUnavailable)


def test_some_unknown_ids_beside_a_real_fault_are_a_fault() -> None:
    stderr = (
        "scancel: error: Kill job error on job id 1: Invalid job id specified\n"
        "scancel: error: Kill job error on job id 2: Access/permission denied\n"
    )
    assert not unknown_ids(Answer("scancel", 1, "", stderr))
    assert unknown_ids(Answer("scancel", 1, "", stderr.splitlines()[0]))


# ── words that could not be recorded: they stand in Slurm's library ──────────

FAILED = "sbatch: error: Batch job submission failed: "


@pytest.mark.parametrize(
    "text",
    [
        "Socket timed out on send/recv operation",
        "Zero Bytes were transmitted or received",
        "Unable to contact slurm controller (send failure)",
        "Unable to contact slurm controller (receive failure)",
        "Unable to contact slurm controller (shutdown failure)",
        "Message receive failure",
        "Communication shutdown failure",
        "Unexpected message received",
        "Protocol authentication error",
        "Failed to send entire message",
        "Received zero length message",
    ],
)
def test_an_answer_that_was_lost_leaves_doubt(text: str) -> None:
    assert isinstance(submission_error(Answer("sbatch", 1, "", FAILED + text)), SubmissionInDoubt)


@pytest.mark.parametrize(
    "text",
    [
        "Unable to contact slurm controller (connect failure)",
        "Communication connection failure",
        "Can't find an address, check slurm.conf",
        "Slurm backup controller in standby mode",
        "Failed to connect to authentication agent",
        "Slurm job queue full, sleeping and retrying",
        "Slurm temporarily unable to accept job, sleeping and retrying",
        "Resource temporarily unavailable",
        "Unable to create job record, try again",
        "I/O error writing script/environment to file",
        "System submissions disabled",
    ],
)
def test_what_surely_was_not_taken_may_be_sent_later(text: str) -> None:
    error = submission_error(Answer("sbatch", 1, "", FAILED + text))
    assert isinstance(error, SlurmUnavailable)
    assert str(error).startswith("not submitted: ")


def test_a_machine_that_may_not_submit_is_told_from_other_refusals() -> None:
    for words, kind in (("Access/permission denied", SubmissionBarred), ("x", SubmissionRefused)):
        assert type(submission_error(Answer("sbatch", 1, "", FAILED + words))) is kind


def test_the_sites_own_words_are_a_refusal() -> None:
    stderr = "sbatch: error: Please name a project with --comment\n" + FAILED + "Unspecified error"
    error = submission_error(Answer("sbatch", 1, "", stderr))
    assert isinstance(error, SubmissionRefused)
    assert "Please name a project with --comment; Unspecified error" in str(error)
    assert "ask the site" in str(error)


def test_an_option_that_cannot_be_read_is_a_refusal_whatever_its_words() -> None:
    stderr = "sbatch: error: Invalid --sockets-per-node specification"
    assert isinstance(submission_error(Answer("sbatch", 255, "", stderr)), SubmissionRefused)


def test_an_sbatch_that_was_killed_leaves_doubt_whatever_it_had_said() -> None:
    stderr = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"
    assert isinstance(submission_error(Answer("sbatch", -9, "", stderr)), SubmissionInDoubt)


def test_a_silent_failure_is_said_by_its_exit_status() -> None:
    assert "exit status 3" in str(query_error(Answer("squeue", 3)))
