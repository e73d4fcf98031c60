"""SlurmLib: what it asks the library, what it leaves to the programs, and what it never does.

The contract of the port is in tests/contract/test_slurm.py, which runs on it too.
"""

from __future__ import annotations

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_scheduler, an_allocation
from pyslurm_fake import REFUSED, UNKNOWN_ID, UNREACHABLE, Here, LibraryCluster, RPCError

from slurmtorc.clock import SystemClock
from slurmtorc.errors import (
    InvalidValue,
    SlurmError,
    SlurmUnavailable,
    SubmissionInDoubt,
    SubmissionRefused,
)
from slurmtorc.model import SlurmState
from slurmtorc.settings import Settings, load
from slurmtorc.slurm import backend, sbatch
from slurmtorc.slurm.cli import SlurmCli
from slurmtorc.slurm.helper import Child, Lost, Unfit
from slurmtorc.slurm.lib import SlurmLib
from slurmtorc.slurm.script import render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_mock import MockerFixture

    from slurmtorc.ports import Script, Slurm


class Programs:
    """Stands where SlurmCli stands, and says who was asked what."""

    def __init__(self, port: Slurm) -> None:
        self.port = port
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            self.asked.append(name)
            return getattr(self.port, name)(*given)

        return call


class Broken(Here):
    """A helper that fails in one way at one question."""

    def __init__(self, question: str, error: Lost) -> None:
        self.question, self.error = question, error

    def ask(self, question: str, **given: Any) -> dict[str, Any]:
        if question == self.question:
            raise self.error
        return super().ask(question, **given)


@pytest.fixture
def cluster(mocker: MockerFixture) -> LibraryCluster:
    mocker.patch.object(sbatch.Path, "exists", return_value=False)
    return LibraryCluster(mocker)


@pytest.fixture
def programs(cluster: LibraryCluster) -> Programs:
    return Programs(cluster.slurm)


@pytest.fixture
def slurm(cluster: LibraryCluster, programs: Programs) -> SlurmLib:
    return cluster.through_library(programs)  # type: ignore[arg-type]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return a_script(tmp_path)


def a_script(folder: Path, **values: Any) -> Script:
    given = {"account": "sandbox", "walltime": "00:05:00", "mem": "50M", "cpus_per_task": 2}
    return render(
        scheduler=a_scheduler(**given | values),
        allocation=replace(an_allocation(1, "tok"), output_dir=str(folder)),
        worker=("sleep", "300"),
        directory=str(folder),
    )


# ── submitting ───────────────────────────────────────────────────────────────


def test_a_plain_script_is_submitted_by_the_library(
    cluster: LibraryCluster, slurm: SlurmLib, programs: Programs, script: Script
) -> None:
    number = slurm.submit(script)
    (given,) = cluster.fake.submitted
    assert programs.asked == []
    assert cluster.slurm.bookings[number].token == "tok"
    assert (given["nodes"], given["ntasks"], given["memory_per_node"]) == (1, 1, 50)


def test_the_environment_is_said_and_is_what_sbatch_would_say(
    cluster: LibraryCluster,
    slurm: SlurmLib,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SBATCH_ACCOUNT", "hidden")
    monkeypatch.setenv("OF_THE_USER", "kept")
    cluster.fake.config["propagate_resource_limits_except"] = ["MEMLOCK"]
    before = os.umask(0o027)
    try:
        cluster.through_library(slurm._programs).submit(script)
    finally:
        os.umask(before)
    given = cluster.fake.submitted[0]["environment"]
    assert given["OF_THE_USER"] == "kept"
    assert "SBATCH_ACCOUNT" not in given
    assert given["SLURM_SUBMIT_DIR"] == script.directory
    assert given["SLURM_UMASK"] == "0027"
    assert given["SLURM_RLIMIT_NOFILE"].isdigit()
    assert "SLURM_RLIMIT_MEMLOCK" not in given


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ({"propagate_resource_limits": ["NONE"]}, set()),
        ({"propagate_resource_limits": ["nofile", "STACK"]}, {"NOFILE", "STACK"}),
    ],
)
def test_only_limits_that_the_site_hands_on_are_handed_on(
    cluster: LibraryCluster, slurm: SlurmLib, script: Script, limits: Any, names: set[str]
) -> None:
    cluster.fake.config |= limits
    slurm.submit(script)
    given = cluster.fake.submitted[0]["environment"]
    assert {n.removeprefix("SLURM_RLIMIT_") for n in given if "_RLIMIT_" in n} == names


def test_a_script_that_the_library_cannot_say_is_for_sbatch(
    cluster: LibraryCluster, slurm: SlurmLib, programs: Programs, tmp_path: Path
) -> None:
    slurm.submit(a_script(tmp_path, mem="0"))
    assert programs.asked == ["submit"]
    assert cluster.fake.submitted == []


@pytest.mark.parametrize("config", [{"cli_filter_plugins": ["lua"]}, {"plugin_stack_config": "/p"}])
def test_where_sbatch_loads_plugins_it_submits(
    cluster: LibraryCluster,
    slurm: SlurmLib,
    programs: Programs,
    script: Script,
    config: Any,
    mocker: MockerFixture,
) -> None:
    cluster.fake.config |= config
    mocker.patch.object(sbatch.Path, "exists", lambda path: str(path) == "/p")
    slurm.submit(script)
    assert programs.asked == ["submit"]
    assert cluster.fake.submitted == []


def test_a_directory_that_is_not_there_is_refused_in_the_words_of_the_programs(
    slurm: SlurmLib, programs: Programs, script: Script
) -> None:
    slurm.submit(replace(script, directory="/nowhere"))
    assert programs.asked == ["submit"]


def test_a_refusal_is_heard_again_from_sbatch(
    slurm: SlurmLib, programs: Programs, tmp_path: Path
) -> None:
    with pytest.raises(SubmissionRefused, match="invalid partition specified: nosuch"):
        slurm.submit(a_script(tmp_path, partition="nosuch"))
    assert programs.asked == ["submit"]


def test_what_only_the_library_refuses_is_submitted_once(
    cluster: LibraryCluster, slurm: SlurmLib, programs: Programs, script: Script
) -> None:
    cluster.fake.breaks["submit"] = RPCError(REFUSED, "Job violates accounting/QOS policy")
    number = slurm.submit(script)
    assert list(cluster.slurm.bookings) == [number]
    assert programs.asked == ["submit"]


def test_a_no_that_was_a_yes_is_not_submitted_again(
    cluster: LibraryCluster, slurm: SlurmLib, programs: Programs, script: Script
) -> None:
    """The library reads its errors from a place that others write to."""
    number = slurm.submit(script)
    cluster.fake.breaks["submit"] = RPCError(REFUSED, "Invalid account")
    assert slurm.submit(script) == number
    assert programs.asked == []


def test_a_no_whose_proof_is_not_to_be_had_is_in_doubt(
    cluster: LibraryCluster, slurm: SlurmLib, programs: Programs, script: Script
) -> None:
    cluster.fake.breaks["submit"] = RPCError(REFUSED, "Invalid account")
    cluster.fake.breaks["jobs"] = RPCError(UNREACHABLE, "Unable to contact slurm controller")
    with pytest.raises(SubmissionInDoubt):
        slurm.submit(script)
    assert programs.asked == []


@pytest.mark.parametrize(
    ("errno", "words", "expected"),
    [
        (1800, "Unable to contact slurm controller (connect failure)", SlurmUnavailable),
        (1001, "Communication connection failure", SlurmUnavailable),
        (1801, "Unable to contact slurm controller (send failure)", SubmissionInDoubt),
        (1802, "Unable to contact slurm controller (receive failure)", SubmissionInDoubt),
        (5004, "Socket timed out on send/recv operation", SubmissionInDoubt),
        (1005, "Incompatible versions of client and server code", SubmissionInDoubt),
        (11, "Resource temporarily unavailable", SubmissionInDoubt),
        (0, "Success", SubmissionInDoubt),
        (-1, "Unspecified error", SubmissionInDoubt),
    ],
)
def test_an_error_means_what_it_proves(
    cluster: LibraryCluster,
    slurm: SlurmLib,
    programs: Programs,
    script: Script,
    errno: int,
    words: str,
    expected: type[SlurmError],
) -> None:
    cluster.fake.breaks["submit"] = RPCError(errno, words)
    with pytest.raises(expected, match=re.escape(words)) as caught:
        slurm.submit(script)
    assert type(caught.value) is expected
    assert programs.asked == []


def test_an_error_before_slurm_was_asked_is_for_sbatch(
    cluster: LibraryCluster, slurm: SlurmLib, programs: Programs, script: Script
) -> None:
    cluster.fake.breaks["submit"] = ValueError("Invalid Time Specification")
    number = slurm.submit(script)
    assert list(cluster.slurm.bookings) == [number]
    assert programs.asked == ["submit"]


@pytest.mark.parametrize(
    ("error", "expected"), [(Lost("it died"), SubmissionInDoubt), (Unfit("not there"), None)]
)
def test_a_child_that_died_with_a_script_leaves_doubt(
    cluster: LibraryCluster, programs: Programs, script: Script, error: Lost, expected: Any
) -> None:
    slurm = cluster.through_library(programs, Broken("submit", error))  # type: ignore[arg-type]
    if expected is None:
        slurm.submit(script)
        assert programs.asked == ["submit"]
    else:
        with pytest.raises(expected, match="it died"):
            slurm.submit(script)
        assert programs.asked == []


# ── asking ───────────────────────────────────────────────────────────────────


def test_a_round_costs_two_calls_of_the_library_however_many_ids_there_are(
    cluster: LibraryCluster, slurm: SlurmLib, programs: Programs, tmp_path: Path
) -> None:
    numbers = [slurm.submit(a_script(tmp_path)) for _ in range(20)]
    cluster.fake.calls.clear()
    assert len(slurm.look(numbers)) == 20
    slurm.account(numbers, 0)
    assert [call for call in cluster.fake.calls if call.endswith("jobs")] == ["jobs", "db.jobs"]
    assert programs.asked == []


def test_no_ids_are_no_question(cluster: LibraryCluster, slurm: SlurmLib) -> None:
    """To the library an accounting question without ids means all jobs of the day."""
    assert (slurm.look([]), slurm.account([], 0)) == ({}, {})
    slurm.cancel([])
    assert cluster.fake.calls == []


def test_without_accounting_nothing_is_told_and_a_token_is_looked_for_in_the_queue(
    cluster: LibraryCluster, slurm: SlurmLib, script: Script
) -> None:
    cluster.fake.config["accounting_storage_type"] = None
    number = slurm.submit(script)
    assert slurm.account([number], 0) == {}
    assert slurm.find("tok", 0) == number
    assert slurm.find("other", 0) is None
    assert "db.jobs" not in cluster.fake.calls


def test_only_the_callers_own_allocations_are_found(
    cluster: LibraryCluster, slurm: SlurmLib, script: Script
) -> None:
    slurm.submit(script)
    cluster.time.sleep(10)  # until accounting has heard of it
    cluster.fake.user = os.getuid() + 1
    assert slurm.find("tok", 0) is None


def test_a_token_in_another_form_is_refused(slurm: SlurmLib) -> None:
    with pytest.raises(InvalidValue, match="token"):
        slurm.find("a_b", 0)


QUESTIONS = {
    "look": lambda slurm: slurm.look([1]),
    "account": lambda slurm: slurm.account([1], 0),
    "find": lambda slurm: slurm.find("tok", 0),
    "cancel": lambda slurm: slurm.cancel([1]),
    "site": lambda slurm: slurm.site(),
}
ASKED = {"look": "jobs", "account": "accounts", "find": "jobs", "cancel": "cancel", "site": "site"}


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_the_library_cannot_ask_the_programs_ask(
    cluster: LibraryCluster, programs: Programs, question: str
) -> None:
    broken = Broken(ASKED[question], Unfit("it does not load"))
    QUESTIONS[question](cluster.through_library(programs, broken))  # type: ignore[arg-type]
    assert programs.asked == [question]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_child_that_died_is_no_answer(
    cluster: LibraryCluster, programs: Programs, question: str
) -> None:
    broken = Broken(ASKED[question], Lost("it died"))
    with pytest.raises(SlurmUnavailable, match="it died"):
        QUESTIONS[question](cluster.through_library(programs, broken))  # type: ignore[arg-type]
    assert programs.asked == []


@pytest.mark.parametrize("errno", [-1, 0, 11, 1001, 1007, 1802, 5004, 6000, 7000])
def test_a_failed_question_is_never_an_empty_answer(
    cluster: LibraryCluster, slurm: SlurmLib, errno: int
) -> None:
    for call in ("jobs", "db.jobs"):
        cluster.fake.breaks[call] = RPCError(errno, "words")
    for question in ("look", "account", "find"):
        with pytest.raises(SlurmUnavailable):
            QUESTIONS[question](slurm)


def test_a_slurm_that_was_upgraded_meanwhile_is_asked_by_its_programs(
    cluster: LibraryCluster, slurm: SlurmLib, programs: Programs
) -> None:
    cluster.fake.breaks["jobs"] = RPCError(1005, "Incompatible versions of client and server code")
    assert slurm.look([1]) == {}
    assert programs.asked == ["look"]


def test_what_the_library_could_not_cancel_scancel_cancels(
    cluster: LibraryCluster, slurm: SlurmLib, programs: Programs, script: Script
) -> None:
    number = slurm.submit(script)
    cluster.fake.breaks["cancel"] = RPCError(UNKNOWN_ID, "Invalid job id specified")
    slurm.cancel([number])
    assert programs.asked == ["cancel"]
    cluster.time.sleep(1)
    assert slurm.look([number])[number].state is SlurmState.CANCELLED


def test_partitions_are_shown_as_sinfo_shows_them(
    cluster: LibraryCluster, slurm: SlurmLib, mocker: MockerFixture
) -> None:
    """Not hidden ones, nor those of other people's groups; the smallest node stands for all."""
    from pyslurm_fake import one

    shared = {"is_default": False, "state": "DOWN", "max_time": "UNLIMITED"}
    parts = [
        one("Partition", name="mixed", is_hidden=False, allowed_groups=None, **shared),
        one("Partition", name="hidden", is_hidden=True, allowed_groups=["ALL"], **shared),
        one("Partition", name="theirs", is_hidden=False, allowed_groups=["nosuch"], **shared),
        one("Partition", name="empty", is_hidden=False, allowed_groups=["ALL"], **shared),
    ]
    sizes = [(8, 4096, {}), (4, 8192, {}), (16, 2048, {"gpu:a100": 2})]
    nodes = [
        one("Node", partitions=["mixed"], total_cpus=c, real_memory=m, configured_gres=g)
        for c, m, g in sizes
    ]
    mocker.patch("os.geteuid", return_value=1000)
    cluster.fake.Partitions.load = lambda: dict(enumerate(parts))
    cluster.fake.Nodes.load = lambda: dict(enumerate(nodes))
    site = slurm.site()
    said = [(p.name, p.nodes, p.cpus, p.memory_bytes // 1024**2, p.gpus) for p in site.partitions]
    assert said == [("mixed", 2, 4, 4096, 0), ("mixed", 1, 16, 2048, 2), ("empty", 0, 0, 0, 0)]
    assert all(not p.is_up and p.max_walltime_s is None for p in site.partitions)
    assert site.partitions[1].gpu_type == "a100"


# ── the child process ────────────────────────────────────────────────────────

BODIES = {
    "ends at import": "import os, sys\nprint('fatal: no configuration', file=sys.stderr)\n"
    "sys.stderr.flush()\nos._exit(1)\n",
    "hangs at import": "import time\ntime.sleep(600)\n",
    "no libslurm": "raise ImportError('libslurm.so.43: cannot open shared object file')\n",
    "works": "",
    "dies when asked": "import os\n",
    "hangs when asked": "import time\n",
}
REST = """
import os, signal, time, sys
from types import SimpleNamespace as N
__version__ = '25.11.2'
class RPCError(Exception):
    def __init__(self, errno=-1, msg=None): self.errno, self.msg = errno, msg
def _load():
    print('noise on standard output')
    {act}
    return N(version=os.environ.get('THEIRS', '25.11.9'), cluster_name='c')
slurmctld = N(ping=lambda index: None, Config=N(load=_load))
"""
ACTS = {
    "dies when asked": "os.kill(os.getpid(), signal.SIGSEGV)",
    "hangs when asked": "time.sleep(600)",
}


@pytest.fixture
def a_child(tmp_path: Path) -> Iterator[Any]:
    children = []

    def make(kind: str, timeout: float = 20, **env: str) -> Child:
        rest = REST.format(act=ACTS.get(kind, "pass"))
        (tmp_path / "pyslurm.py").write_text(BODIES[kind] + rest)
        path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
        children.append(Child(os.environ | {"PYTHONPATH": path} | env, timeout))
        return children[-1]

    yield make
    for child in children:
        child.end()


def test_a_library_that_fits_is_used(a_child: Any) -> None:
    child = a_child("works", PYSLURM_DISABLE_AUTO_INIT="1")
    assert child.start() == "25.11.2"
    assert backend.unfit(child) is None
    assert child.ask("version") == {"answer": "25.11.9"}


@pytest.mark.parametrize(
    ("kind", "timeout", "env", "words"),
    [
        ("ends at import", 20, {}, "cannot be loaded here .*fatal: no configuration"),
        ("hangs at import", 0.5, {}, r"did not answer within 0\.5 s"),
        ("no libslurm", 20, {}, r"libslurm\.so\.43"),
        ("dies when asked", 20, {}, "ended its process"),
        ("hangs when asked", 2, {}, "did not answer within 2 s"),
        ("works", 20, {"THEIRS": "22.05.8"}, r"pyslurm 25\.11\.2 does not fit Slurm 22\.05\.8"),
    ],
)
def test_a_library_that_cannot_be_used_is_one_clear_line(
    a_child: Any, kind: str, timeout: float, env: dict[str, str], words: str
) -> None:
    child = a_child(kind, timeout, **env)
    problem = backend.unfit(child)
    assert problem is not None
    assert "\n" not in problem
    assert re.search(words, problem)


def test_a_child_that_hangs_is_ended(a_child: Any) -> None:
    child = a_child("hangs when asked")
    child.start()
    process, child._timeout = child._process, 0.1
    with pytest.raises(Lost):
        child.ask("version")
    assert process.returncode is not None


def test_many_threads_get_each_its_own_answer(a_child: Any) -> None:
    child = a_child("works")
    questions = ["hello", "version"] * 20
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(child.ask, questions))
    assert [said["answer"] for said in answers] == ["25.11.2", "25.11.9"] * 20


def test_after_a_death_a_new_child_is_asked(a_child: Any) -> None:
    child = a_child("works")
    child.start()
    child._process.kill()
    child._process.wait()
    assert child.ask("version") == {"answer": "25.11.9"}


def test_a_library_that_did_not_load_is_not_tried_again(a_child: Any) -> None:
    child = a_child("ends at import")
    for _ in range(2):
        with pytest.raises(Unfit, match="fatal: no configuration"):
            child.start()
        assert child._process is None


def test_a_pyslurm_of_an_older_numbering_fits_its_slurm() -> None:
    assert backend._release("22.5.1") == backend._release("22.05.8")


# ── the choice ───────────────────────────────────────────────────────────────


def test_the_library_is_used_by_those_who_ask_for_it(
    monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> None:
    from slurmtorc import wiring

    wiring.slurm.cache_clear()
    mocker.patch.object(backend, "unfit", return_value=None)
    assert isinstance(wiring.slurm(Settings()), SlurmCli)
    monkeypatch.setenv("TORC_SLURM__BACKEND", "pyslurm")
    assert isinstance(wiring.slurm(load()), SlurmLib)
    wiring.slurm.cache_clear()


def test_who_cannot_have_the_library_is_told_once_and_served_by_the_programs(
    mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    from slurmtorc import wiring

    wiring.slurm.cache_clear()
    mocker.patch.object(backend, "unfit", return_value="pyslurm 25.11.2 does not fit Slurm 22.05.8")
    for _ in range(3):
        assert isinstance(wiring.slurm(Settings(slurm_backend="pyslurm")), SlurmCli)
    (record,) = caplog.records
    assert record.getMessage() == (
        "slurm.backend is pyslurm, but pyslurm 25.11.2 does not fit Slurm 22.05.8; "
        "Slurm's programs are used instead"
    )
    wiring.slurm.cache_clear()


def test_a_backend_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"slurm\.backend is 'rest'; write cli or pyslurm"):
        load({"HOME": "/nowhere", "TORC_SLURM__BACKEND": "rest"})


def test_this_process_never_imports_the_library(a_child: Any) -> None:
    assert a_child("works").start() == "25.11.2"
    assert "pyslurm" not in sys.modules


# ── the real library ─────────────────────────────────────────────────────────


@pytest.mark.slurm
def test_the_real_library_answers_a_real_slurm() -> None:
    """Only where pyslurm is installed and its Slurm runs; neither is part of this suite."""
    child = Child(os.environ, 60)
    problem = backend.unfit(child)
    if problem is not None:
        child.end()
        pytest.skip(problem)
    programs = SlurmCli(Settings(), SystemClock())
    slurm = SlurmLib(child, programs, settings=Settings(), clock=SystemClock())
    assert slurm.site().name == programs.site().name
    assert slurm.find("nevernever", 0) is None
    child.end()
