"""What three versions of Slurm printed is read, all of it, and exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import (
    SACCT,
    SINFO,
    SQUEUE,
    VERSIONS,
    calls,
    in_columns,
    sections,
    text_of,
)

from slurmtorc.model import AccountingEntry, Partition, QueueEntry
from slurmtorc.model import SlurmState as S
from slurmtorc.slurm import parse
from slurmtorc.slurm.commands import ACCOUNT, ACCOUNT_NAMES, PARTITIONS, QUEUE, QUEUE_NAMES
from slurmtorc.slurm.nodes import expand_nodes

MIB = 1024**2


def accounted(version: str, scenario: str, name: str = "sacct") -> dict[int, AccountingEntry]:
    text = sections(version, f"{name}.txt")[f"{scenario}.{name}"]
    return parse.accounting(in_columns(text, SACCT, ACCOUNT))


def queued(version: str, scenario: str) -> dict[int, QueueEntry]:
    text = sections(version, "squeue.txt")[f"{scenario}.squeue"]
    return parse.queue(in_columns(text, SQUEUE, QUEUE))


# ── all that was recorded ────────────────────────────────────────────────────


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["sacct", "sacct-D"])
def test_every_recorded_row_of_accounting_is_read(version: str, name: str) -> None:
    for label in sections(version, f"{name}.txt"):
        text = sections(version, f"{name}.txt")[label]
        ids = {line.split("|")[0] for line in text.splitlines()}
        entries = parse.accounting(in_columns(text, SACCT, ACCOUNT))
        assert {str(number) for number in entries} == {i for i in ids if "." not in i}, label
        for entry in entries.values():
            assert entry.submit_time is not None, label
            assert entry.elapsed_s is not None, label
            assert not entry.nodes or expand_nodes(entry.nodes), label
            if entry.state.final and entry.state is not S.CANCELLED:  # 24.11: a moment without End
                assert entry.end_time is not None, label


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_line_of_the_queue_is_read(version: str) -> None:
    for label, text in sections(version, "squeue.txt").items():
        entries = parse.queue(in_columns(text, SQUEUE, QUEUE))
        assert len(entries) == len(text.splitlines()), label
        for entry in entries.values():
            assert entry.submit_time is not None, label
            assert not entry.state.final or entry.end_time is not None, label
            assert not entry.nodes or expand_nodes(entry.nodes), label


# ── chosen ones, exactly ─────────────────────────────────────────────────────

ENDS = {
    "completed": S.COMPLETED,
    "failed3": S.FAILED,
    "batch_killed9": S.FAILED,
    "out_dir_missing": S.FAILED,
    "step_failed_batch_ok": S.COMPLETED,
    "timeout_plain": S.TIMEOUT,
    "timeout_exit0": S.TIMEOUT,
    "timeout_3nodes": S.TIMEOUT,
    "grp_exceed": S.TIMEOUT,
    "cancel_pending": S.CANCELLED,
    "cancel_running": S.CANCELLED,
    "cancel_by_root": S.CANCELLED,
    "nodefail_norequeue": S.NODE_FAIL,
    "nodefail_multi": S.NODE_FAIL,
    "nodefail_nokill": S.COMPLETED,
    "preempt_cancel": S.PREEMPTED,
    "preempt_norequeue": S.PREEMPTED,
    "preempt_requeue": S.COMPLETED,
    "deadline": S.DEADLINE,
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("scenario", "state"), ENDS.items())
def test_the_end_of_each_kind_is_read_in_every_version(
    version: str, scenario: str, state: S
) -> None:
    (entry,) = accounted(version, f"{scenario}/end").values()
    assert entry.state is state


def test_an_end_by_memory_is_read() -> None:
    (entry,) = accounted("22.05", "cgroup_v1/oom_batch/end").values()
    assert entry.state is S.OUT_OF_MEMORY


@pytest.mark.parametrize("version", VERSIONS)
def test_a_requeued_allocation_is_alive_whatever_its_earlier_run_came_to(version: str) -> None:
    (entry,) = accounted(version, "nodefail_requeue/requeued", "sacct-D").values()
    assert entry.state is S.PENDING
    (seen,) = queued(version, "nodefail_requeue/requeued").values()
    assert seen.state is S.PENDING
    assert seen.reason == "BeginTime"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_shrunk_allocation_is_told_by_its_last_row(version: str) -> None:
    (entry,) = accounted(version, "nodefail_nokill/end", "sacct-D").values()
    assert (entry.state, entry.nodes.count("n")) == (S.COMPLETED, 1)


def test_a_row_of_accounting_is_read_exactly() -> None:
    assert accounted("22.05", "timeout_plain/end") == {
        30: AccountingEntry(
            slurm_job_id=30,
            name="timeout_plain",
            state=S.TIMEOUT,
            nodes="n2",
            submit_time=1795171842.0,
            start_time=1795171845.0,
            end_time=1795171934.0,
            elapsed_s=89,
            timelimit_s=60,
        )
    }


def test_what_accounting_has_not_filled_in_yet_is_not_guessed() -> None:
    (first,) = accounted("22.05", "completed/running").values()
    assert (first.name, first.timelimit_s, first.end_time) == ("allocation", None, None)
    (pending,) = accounted("22.05", "nodefail_requeue/requeued").values()
    assert (pending.nodes, pending.start_time) == ("", None)


def test_a_line_of_the_queue_is_read_exactly() -> None:
    assert queued("22.05", "completed/running") == {
        2: QueueEntry(
            slurm_job_id=2,
            name="completed",
            state=S.RUNNING,
            reason="",
            nodes="n1",
            submit_time=1795171838.0,
            start_time=1795171839.0,
            end_time=1795171959.0,
        )
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reason_with_commas_stays_whole(version: str) -> None:
    texts = sections(version, "squeue.txt")
    reasons = {
        entry.reason
        for label in texts
        for entry in queued(version, label.removesuffix(".squeue")).values()
    }
    assert any("DRAINED or reserved" in reason for reason in reasons)
    assert any(reason.startswith("ReqNodeNotAvail, ") for reason in reasons)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("moment", "state"),
    [("suspend/suspended", S.SUSPENDED), ("completing/completing", S.COMPLETING)],
)
def test_what_is_between_running_and_ended_is_alive(version: str, moment: str, state: S) -> None:
    (entry,) = queued(version, moment).values()
    assert entry.state is state
    assert entry.state.alive


@pytest.mark.parametrize("version", VERSIONS)
def test_tasks_of_an_array_and_parts_of_a_heterogeneous_job_have_ids_of_their_own(
    version: str,
) -> None:
    tasks, parts = queued(version, "array/end"), queued(version, "het/end")
    assert len(tasks) == 5
    assert len(parts) == 2
    assert max(parts) == min(parts) + 1


# ── lines that are not rows ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "CLUSTER: mini\n",
        "slurm_load_jobs error: Invalid job id specified",
        "12|RUNNING",
        "12.batch|RUNNING|a|b|c|n1|None|name",
        "x|RUNNING|a|b|c|n1|None|name",
        "second half of a name|with a bar",
    ],
)
def test_what_is_not_a_row_is_no_entry(text: str) -> None:
    assert parse.queue(text) == {}
    assert parse.accounting(text) == {}


def test_a_name_may_hold_the_separator_and_a_newline() -> None:
    text = "7|RUNNING|2026-11-20T10:50:38|N/A|N/A|n1|None|a|b \n c|d\n8|PENDING|x|x|x||None|e"
    names = {number: entry.name for number, entry in parse.queue(text).items()}
    assert names == {7: "a|b ", 8: "e"}


@given(st.text())
def test_no_text_makes_the_parsers_fail(text: str) -> None:
    parse.queue(text)
    parse.accounting(text)
    parse.partitions(text)
    parse.submitted(text)
    list(parse.tokens(text, QUEUE_NAMES, "tok", 0.0))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("15", 15),
        ("15_0", 15),
        ("15_[2-4%2]", 15),
        ("16_[1,7,9]", 16),
        ("17+1", 17),
        ("2.batch", None),
        ("2.0", None),
        ("15_0.batch", None),
        ("", None),
        ("abc", None),
        ("\u0661\u0665", None),  # digits, but not ours
    ],
)
def test_a_job_number_is_read_from_every_kind_of_id(text: str, number: int | None) -> None:
    assert parse.job_number(text) == number


# ── sbatch's answer ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("88\n", 88),
        ("88;cluster\n", 88),
        ("Submitted batch job 88\n", 88),
        ("Submitted batch job 88 on cluster mini\n", 88),
        ("welcome to the cluster\n88\n", 88),
        ("", None),
        ("no id here 88\n", None),
    ],
)
def test_sbatchs_answer_is_read_in_every_form(text: str, number: int | None) -> None:
    assert parse.submitted(text) == number


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["refusals.txt", "refusals-strict.txt"])
def test_every_recorded_answer_of_sbatch_holds_an_id_unless_it_was_told_to_be_quiet(
    version: str, name: str
) -> None:
    accepted = [c for c in calls(version, name) if c.argv[0] == "sbatch" and not c.answer.code]
    silent = {c.label for c in accepted if parse.submitted(c.answer.stdout) is None}
    assert len(accepted) > 5
    assert silent <= {"quiet", "test_only"}


# ── tokens ───────────────────────────────────────────────────────────────────

SUBMITTED = 1795171838.0  # 2026-11-20T10:50:38


def found(line: str, token: str = "k3f9", since: float = SUBMITTED) -> list[int]:
    return [number for _, number in parse.tokens(line, QUEUE_NAMES, token, since)]


@pytest.mark.parametrize(
    ("name", "comment", "hit"),
    [
        ("wf1_k3f9", "(null)", True),
        ("myprefix_wf1_k3f9", "(null)", True),
        ("k3f9", "(null)", True),
        ("renamed by the site", "k3f9", True),
        ("a|b_k3f9", "(null)", True),
        ("renamed|x", "k3f9", True),
        ("wf1_xk3f9", "(null)", False),
        ("wf1_k3f9x", "(null)", False),
        ("wf1_k3f9_2", "(null)", False),
        ("k3f", "k3f", False),
        ("x", "k3f9 and more", False),
    ],
)
def test_a_token_is_found_only_whole(name: str, comment: str, hit: bool) -> None:
    assert found(f"5|2026-11-20T10:50:38|{name}|{comment}") == ([5] if hit else [])


def test_a_token_of_an_older_job_is_not_found() -> None:
    line = "5|2026-11-20T10:50:38|wf1_k3f9|(null)"
    assert found(line, since=SUBMITTED) == [5]
    assert found(line, since=SUBMITTED + 1) == []


def test_a_job_without_a_submit_time_is_not_found() -> None:
    assert found("5|N/A|wf1_k3f9|(null)") == []


def test_a_token_is_found_in_accounting() -> None:
    text = "9|2026-11-20T10:50:38|wf1_k3f9\n10|2026-11-20T10:50:38|wf1_other"
    assert list(parse.tokens(text, ACCOUNT_NAMES, "k3f9", 0.0)) == [(SUBMITTED, 9)]


# ── partitions ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_partitions_are_read(version: str) -> None:
    parts = parse.partitions(in_columns(text_of(version, "sinfo.txt"), SINFO, PARTITIONS))
    by_name = {part.name: part for part in parts}
    assert by_name["debug"] == Partition(
        name="debug",
        cpus=32,
        memory_bytes=16000 * MIB,
        nodes=3,
        gpus=2,
        max_walltime_s=3600,
        is_default=True,
    )
    assert by_name["short"].max_walltime_s == 120
    assert by_name["deny"].max_walltime_s is None
    assert not by_name["downp"].is_up
    assert [part.name for part in parts if part.is_default] == ["debug"]
    assert parse.cluster_name(text_of(version, "config.txt")) == "mini"


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("DefMemPerCPU            = 100\n", {"memory_per_cpu": 100 << 20}),
        ("DefMemPerNode           = 2048\n", {"memory_per_node": 2048 << 20}),
        ("DefMemPerNode           = UNLIMITED\n", {}),
        ("MaxMemPerCPU = 5\n", {}),
    ],
)
def test_what_is_given_without_a_word_of_memory(text: str, given: dict[str, int]) -> None:
    assert parse.default_memory(f"DbdAddr = x\n{text}EnforcePartLimits = NO\n") == given


def test_the_smallest_node_stands_for_its_partition() -> None:
    text = (
        "batch*|up|2-00:00:00|10|64|256000|(null)\n"
        "batch*|up|2-00:00:00|4|48|512000|(null)\n"
        "batch*|up|2-00:00:00|2|128+|1000000+|(null)\n"
    )
    assert parse.partitions(text) == (
        Partition(
            name="batch",
            cpus=48,
            memory_bytes=256000 * MIB,
            nodes=16,
            max_walltime_s=172800,
            is_default=True,
        ),
    )


def test_nodes_with_and_without_gpus_in_one_partition_are_told_apart() -> None:
    text = (
        "all|up|infinite|10|64|256000|(null)\n"
        "all|up|infinite|2|32|128000|gpu:a100:4(S:0-1)\n"
        "all|up|infinite|1|48|128000|gpu:a100:2,nvme:1\n"
    )
    plain, with_gpus = parse.partitions(text)
    assert (plain.name, plain.gpus, plain.nodes, plain.cpus) == ("all", 0, 10, 64)
    assert (with_gpus.name, with_gpus.gpus, with_gpus.nodes) == ("all", 2, 3)
    assert with_gpus.gpu_type == "a100"


def test_gpus_of_several_types_have_no_type() -> None:
    text = "g|up|60|1|8|1000|gpu:a100:2\ng|up|60|1|8|1000|gpu:v100:2\n"
    (part,) = parse.partitions(text)
    assert (part.gpus, part.gpu_type) == (2, None)
