"""SlurmCli over small programs on PATH: when it asks, how often, and what it makes of silence.

What the programs print is real (tests/recorded); what a test sets is only which of it, and when.
The same adapter against a real cluster: tests/contract/test_slurm.py.
"""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slurmtorc.errors import (
    InvalidValue,
    SlurmError,
    SlurmUnavailable,
    SubmissionInDoubt,
    SubmissionRefused,
)
from slurmtorc.model import SlurmState
from slurmtorc.ports import Script
from slurmtorc.settings import Settings
from slurmtorc.slurm.cli import PING_AFTER, PING_BEFORE_QUESTIONS_AFTER, SLACK, SlurmCli

if TYPE_CHECKING:
    from slurmtorc.clock import ManualClock

UP = "Slurmctld(primary) at vm is UP"
DOWN = "Slurmctld(primary) at vm is DOWN"
NO_CONNECTION = (
    "sbatch: error: Batch job submission failed: "
    "Unable to contact slurm controller (connect failure)"
)
DATABASE_DOWN = "sacct: error: Problem talking to the database: Connection refused"
NO_ACCOUNTING = "Slurm accounting storage is disabled"
SINCE = 1_700_000_000.0
SUBMITTED = "2023-11-14T22:13:20"  # SINCE, in UTC


class Programs:
    """Slurm's programs as scripts that note each call and print what they were told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.log.touch()
        for name in ("sbatch", "squeue", "sacct", "scancel", "sinfo"):
            self.say(name, "")
        self.say("scontrol", UP)

    def say(self, name: str, stdout: str, stderr: str = "", code: int = 0, body: str = "") -> None:
        path = self.folder / name
        path.write_text(
            "#!/bin/bash\n"
            f'echo {name} "$@" >> {shlex.quote(str(self.log))}\n'
            f"{body}\n"
            f"printf '%s' {shlex.quote(stdout)}; printf '%s' {shlex.quote(stderr)} >&2\n"
            f"exit {code}\n"
        )
        path.chmod(0o755)

    @property
    def called(self) -> list[str]:
        return [line.split()[0] for line in self.log.read_text().splitlines()]

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def environ(self, **more: str) -> dict[str, str]:
        return {"PATH": f"{self.folder}:/usr/bin:/bin", "TZ": "UTC"} | more


def running(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    folder = tmp_path / "bin"
    folder.mkdir()
    return Programs(folder)


@pytest.fixture
def slurm(programs: Programs, clock: ManualClock) -> SlurmCli:
    return SlurmCli(Settings(slurm_rate=0), clock, environ=programs.environ())


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script("#!/bin/bash\n#SBATCH --time=1\n", "wf1_tok1", "tok1", str(tmp_path))


# ── submitting ───────────────────────────────────────────────────────────────


def test_a_script_is_sent_by_standard_input_from_its_directory(
    programs: Programs, slurm: SlurmCli, script: Script, tmp_path: Path
) -> None:
    programs.say("sbatch", "88\n", body=f"cat > {tmp_path}/sent; pwd > {tmp_path}/where")
    assert slurm.submit(script) == 88
    assert (tmp_path / "sent").read_text() == script.text
    assert (tmp_path / "where").read_text().strip() == str(tmp_path)
    assert programs.lines[-1] == "sbatch --parsable"


def test_a_refusal_is_not_sent_again(programs: Programs, slurm: SlurmCli, script: Script) -> None:
    programs.say("sbatch", "", "sbatch: error: invalid partition specified: x", 1)
    with pytest.raises(SubmissionRefused, match="invalid partition specified: x"):
        slurm.submit(script)
    assert programs.called.count("sbatch") == 1


def test_a_script_that_surely_went_nowhere_is_sent_again(
    programs: Programs, slurm: SlurmCli, script: Script, tmp_path: Path
) -> None:
    once = f"if mkdir {tmp_path}/tried 2>/dev/null; then echo '{NO_CONNECTION}' >&2; exit 1; fi"
    programs.say("sbatch", "88\n", body=once)
    assert slurm.submit(script) == 88
    assert programs.called.count("sbatch") == 2


@pytest.mark.parametrize(
    ("stdout", "stderr", "code"),
    [
        ("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv", 1),
        ("", "sbatch: error: Batch job submission failed: Zero Bytes were transmitted", 1),
        ("", "", 0),
        ("thank you\n", "", 0),
    ],
)
def test_a_script_in_doubt_is_never_sent_again(
    programs: Programs, slurm: SlurmCli, script: Script, stdout: str, stderr: str, code: int
) -> None:
    programs.say("sbatch", stdout, stderr, code)
    with pytest.raises(SubmissionInDoubt):
        slurm.submit(script)
    assert programs.called.count("sbatch") == 1


def test_an_sbatch_that_hangs_is_ended_and_leaves_doubt(
    programs: Programs, clock: ManualClock, script: Script
) -> None:
    pid = programs.folder / "pid"
    programs.say("sbatch", "88\n", body=f"sleep 60 & echo $! > {pid}; wait")
    slurm = SlurmCli(Settings(slurm_rate=0, slurm_timeout=0.5), clock, environ=programs.environ())
    with pytest.raises(SubmissionInDoubt, match=r"did not answer within 0\.5 s"):
        slurm.submit(script)
    assert programs.called.count("sbatch") == 1
    limit = time.monotonic() + 10  # a kill takes its time
    while running(int(pid.read_text())):
        assert time.monotonic() < limit, "what a site's wrapper started goes on"
        time.sleep(0.01)


def test_nothing_is_sent_to_a_controller_that_is_down(
    programs: Programs, slurm: SlurmCli, script: Script
) -> None:
    programs.say("scontrol", DOWN, code=1)
    with pytest.raises(SlurmUnavailable, match="is DOWN"):
        slurm.submit(script)
    assert set(programs.called) == {"scontrol"}


def test_a_directory_that_is_not_there_is_said(slurm: SlurmCli) -> None:
    with pytest.raises(SlurmError, match="/nowhere is not there"):
        slurm.submit(Script("#!/bin/bash\n", "wf1_a", "a", "/nowhere"))


def test_a_job_inherits_the_users_environment_but_no_hidden_options(
    programs: Programs, clock: ManualClock, script: Script, tmp_path: Path
) -> None:
    programs.say("sbatch", "88\n", body=f"env > {tmp_path}/env")
    environ = programs.environ(LC_ALL="de_DE.UTF-8", SBATCH_ACCOUNT="other", MINE="kept")
    SlurmCli(Settings(slurm_rate=0), clock, environ=environ).submit(script)
    seen = (tmp_path / "env").read_text().splitlines()
    assert "MINE=kept" in seen
    assert "LC_ALL=de_DE.UTF-8" in seen
    assert not any(line.startswith("SBATCH_") for line in seen)


# ── asking ───────────────────────────────────────────────────────────────────


def test_nothing_is_asked_about_nothing(programs: Programs, slurm: SlurmCli) -> None:
    assert slurm.look([]) == {}
    assert slurm.account([], SINCE) == {}
    slurm.cancel([])
    assert programs.called == []


def test_many_allocations_are_one_question(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("squeue", "\n".join(f"{n}|RUNNING|x|x|x|n1|None|w" for n in range(1, 400)))
    found = slurm.look(range(1, 400))
    assert programs.called == ["scontrol", "squeue"]
    assert {entry.state for entry in found.values()} == {SlurmState.RUNNING}
    assert len(found) == 399


def test_what_was_not_asked_about_is_left_out(programs: Programs, slurm: SlurmCli) -> None:
    """Slurm 22.05 answers for all tasks of an array when it is asked for one id."""
    programs.say("squeue", "5|RUNNING|x|x|x|n1|None|w\n6|RUNNING|x|x|x|n1|None|w\n")
    assert list(slurm.look([5])) == [5]


def test_an_unknown_id_is_absent_however_slurm_says_so(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("squeue", "", "slurm_load_jobs error: Invalid job id specified", 1)
    assert slurm.look([99]) == {}
    programs.say("squeue", "")
    assert slurm.look([98, 99]) == {}


def test_a_failed_question_is_never_an_empty_answer(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("squeue", "", "slurm_load_jobs error: Unable to contact slurm controller", 1)
    with pytest.raises(SlurmUnavailable):
        slurm.look([1])
    programs.say("squeue", "", "squeue: error: Unrecognized option", 1)
    with pytest.raises(SlurmError, match="Unrecognized option"):
        slurm.look([1])


def test_a_question_is_asked_again_a_few_times_and_by_the_clock(
    programs: Programs, slurm: SlurmCli, clock: ManualClock
) -> None:
    programs.say("squeue", "", "squeue: error: Socket timed out on send/recv operation", 1)
    begin = clock.now()
    with pytest.raises(SlurmUnavailable):
        slurm.look([1])
    assert programs.called.count("squeue") == 3
    assert 0 < clock.now() - begin < 5


def test_a_question_that_is_wrong_is_asked_once(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("squeue", "", "squeue: error: Unrecognized option", 1)
    with pytest.raises(SlurmError):
        slurm.look([1])
    assert programs.called.count("squeue") == 1


def test_a_controller_that_answered_just_now_is_not_pinged(
    programs: Programs, slurm: SlurmCli, clock: ManualClock
) -> None:
    slurm.look([1])
    slurm.look([1])
    assert programs.called == ["scontrol", "squeue", "squeue"]
    clock.sleep(PING_BEFORE_QUESTIONS_AFTER)
    slurm.look([1])
    assert programs.called[3:] == ["scontrol", "squeue"]


def test_who_asks_every_minute_asks_once(
    programs: Programs, slurm: SlurmCli, clock: ManualClock
) -> None:
    slurm.look([1])
    for _ in range(3):
        clock.sleep(60)
        slurm.look([1])
    assert programs.called == ["scontrol", *["squeue"] * 4]


def test_before_sbatch_a_controller_must_have_answered_just_now(
    programs: Programs, slurm: SlurmCli, clock: ManualClock, script: Script
) -> None:
    programs.say("sbatch", "7\n")
    slurm.look([1])
    clock.sleep(PING_AFTER)
    slurm.submit(script)
    assert programs.called == ["scontrol", "squeue", "scontrol", "sbatch"]


def test_a_controller_that_is_down_is_found_out_by_pings_alone(
    programs: Programs, slurm: SlurmCli
) -> None:
    programs.say("scontrol", DOWN, code=1)
    with pytest.raises(SlurmUnavailable, match="controller does not answer"):
        slurm.look([1])
    assert set(programs.called) == {"scontrol"}


def test_one_of_several_controllers_is_enough(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("scontrol", f"{DOWN}\nSlurmctld(backup) at vm2 is UP\n", code=1)
    assert slurm.look([1]) == {}


def test_a_ping_that_says_neither_stops_nothing(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("scontrol", "", "scontrol: error: what is ping", 1)
    assert slurm.look([1]) == {}


def test_accounting_is_asked_while_the_controller_is_down(
    programs: Programs, slurm: SlurmCli
) -> None:
    programs.say("scontrol", DOWN, code=1)
    programs.say("sacct", f"5|COMPLETED|{SUBMITTED}|x|x|1|00:01:00|n1|w")
    assert slurm.account([5], SINCE)[5].state is SlurmState.COMPLETED
    assert programs.called == ["sacct"]


def test_an_earlier_job_with_a_recycled_id_is_not_ours(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("sacct", f"5|COMPLETED|{SUBMITTED}|x|x|1|00:01:00|n1|w")
    assert slurm.account([5], SINCE + SLACK + 1) == {}
    assert list(slurm.account([5], SINCE + SLACK)) == [5]


def test_an_outage_of_accounting_is_not_an_empty_answer(
    programs: Programs, slurm: SlurmCli
) -> None:
    programs.say("sacct", "", DATABASE_DOWN, 1)
    with pytest.raises(SlurmUnavailable, match="database"):
        slurm.account([5], SINCE)


def test_a_cluster_without_accounting_is_asked_once(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("sacct", "", NO_ACCOUNTING, 1)
    assert slurm.account([5], SINCE) == {}
    assert slurm.account([5], SINCE) == {}
    assert slurm.find("tok", SINCE) is None
    assert programs.called.count("sacct") == 1


# ── finding ──────────────────────────────────────────────────────────────────


def test_a_token_in_the_queue_is_found_without_accounting(
    programs: Programs, slurm: SlurmCli
) -> None:
    programs.say("squeue", f"6|{SUBMITTED}|wf1_tok2|(null)\n7|{SUBMITTED}|wf1_tok|(null)\n")
    assert slurm.find("tok", SINCE) == 7
    assert "sacct" not in programs.called


def test_a_token_that_has_left_the_queue_is_found_in_accounting(
    programs: Programs, slurm: SlurmCli
) -> None:
    programs.say("sacct", f"7|{SUBMITTED}|wf1_tok\n")
    assert slurm.find("tok", SINCE) == 7
    assert f"--user {os.getuid()}" in programs.lines[-1]


def test_of_several_jobs_with_one_token_the_first_is_meant(
    programs: Programs, slurm: SlurmCli
) -> None:
    later = SUBMITTED.replace("22:13", "22:14")
    programs.say("squeue", f"6|{later}|wf1_tok|(null)\n9|{SUBMITTED}|wf1_tok|(null)\n")
    assert slurm.find("tok", SINCE) == 9


def test_absence_is_said_only_when_both_have_answered(programs: Programs, slurm: SlurmCli) -> None:
    assert slurm.find("tok", SINCE) is None
    programs.say("sacct", "", DATABASE_DOWN, 1)
    with pytest.raises(SlurmUnavailable):
        slurm.find("tok", SINCE)
    programs.say("sacct", "")
    programs.say("squeue", "", "squeue: error: Zero Bytes were transmitted or received", 1)
    with pytest.raises(SlurmUnavailable):
        slurm.find("tok", SINCE)


def test_a_job_submitted_long_before_is_another_one(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("squeue", f"7|{SUBMITTED}|wf1_tok|(null)\n")
    assert slurm.find("tok", SINCE + SLACK) == 7
    assert slurm.find("tok", SINCE + SLACK + 1) is None


@pytest.mark.parametrize("token", ["", "a_b", "A", "a b", "a|b", "é"])
def test_what_cannot_be_a_token_is_refused(slurm: SlurmCli, token: str) -> None:
    with pytest.raises(InvalidValue, match="token"):
        slurm.find(token, SINCE)


# ── cancelling ───────────────────────────────────────────────────────────────


def test_many_are_cancelled_in_one_call(programs: Programs, slurm: SlurmCli) -> None:
    slurm.cancel({7, 3, 5})
    assert programs.lines[-1] == "scancel 3 5 7"


def test_cancelling_what_has_ended_is_no_error(programs: Programs, slurm: SlurmCli) -> None:
    programs.say(
        "scancel", "", "scancel: error: Kill job error on job id 7: Invalid job id specified", 1
    )
    slurm.cancel([7])


def test_cancelling_somebody_elses_job_is_said(programs: Programs, slurm: SlurmCli) -> None:
    programs.say(
        "scancel", "", "scancel: error: Kill job error on job id 7: Access/permission denied", 1
    )
    with pytest.raises(SlurmError, match="Access/permission denied"):
        slurm.cancel([7])


# ── the machine ──────────────────────────────────────────────────────────────


def test_the_site_is_asked_once(programs: Programs, slurm: SlurmCli) -> None:
    programs.say("sinfo", "debug*|up|1:00:00|3|8|4000|gpu:2\n")
    programs.say("scontrol", f"{UP}\nClusterName             = mini\n")
    assert slurm.site() == slurm.site()
    assert slurm.site().name == "mini"
    assert slurm.site().partitions[0].gpus == 2
    assert programs.called.count("sinfo") == 1


def test_missing_programs_are_said_with_what_to_do(clock: ManualClock, tmp_path: Path) -> None:
    slurm = SlurmCli(Settings(slurm_rate=0), clock, environ={"PATH": str(tmp_path)})
    with pytest.raises(SlurmError, match="not found on PATH; load the site's Slurm module"):
        slurm.look([1])


def test_a_configuration_that_is_not_there_is_said_at_once(
    programs: Programs, clock: ManualClock
) -> None:
    environ = programs.environ(SLURM_CONF="/nowhere/slurm.conf")
    slurm = SlurmCli(Settings(slurm_rate=0), clock, environ=environ)
    with pytest.raises(SlurmError, match=r"SLURM_CONF is /nowhere/slurm\.conf"):
        slurm.look([1])
    assert programs.called == []


def test_every_call_costs_a_token(programs: Programs, clock: ManualClock) -> None:
    slurm = SlurmCli(Settings(slurm_rate=1, slurm_burst=2), clock, environ=programs.environ())
    begin = clock.now()
    for number in range(1, 5):
        slurm.look([number])
    assert programs.called == ["scontrol", "squeue", "squeue", "squeue", "squeue"]
    assert clock.now() - begin == pytest.approx(3)
