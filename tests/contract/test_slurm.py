"""What every Slurm port must do: on a real cluster, and on a simulated one.

A real cluster cannot be told the time: these tests wait for it, and each says how long at most.
A simulated one can, and is: there a second passes whenever a test waits.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from factories import a_draft, a_job, a_need, a_scheduler, an_allocation

from slurmtorc.clock import SystemClock
from slurmtorc.errors import SlurmError, SlurmUnavailable, SubmissionRefused
from slurmtorc.model import SlurmState as S
from slurmtorc.rules.planning import Options, plan
from slurmtorc.settings import Settings
from slurmtorc.slurm.cli import SlurmCli
from slurmtorc.slurm.script import render

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster import RunningCluster
    from simulated import SimulatedCluster

    AnyCluster = RunningCluster | SimulatedCluster

    from slurmtorc.model import SlurmScheduler
    from slurmtorc.ports import Script, Slurm

T = TypeVar("T")

NEVER = 4_000_000
"""An id no test reaches."""

_tokens = count(1)


KINDS = [pytest.param("sandbox", marks=pytest.mark.slurm), "simulated", "library"]
ONLY_REAL = pytest.mark.parametrize("any_cluster", KINDS[:1], indirect=True)
"""For what a worker does inside its allocation."""


@pytest.fixture(params=KINDS)
def any_cluster(request: pytest.FixtureRequest) -> AnyCluster:
    """A cluster that no test breaks."""
    return any_of(request, "cluster", {})


@pytest.fixture(params=KINDS)
def own_cluster_of_any_kind(request: pytest.FixtureRequest) -> Callable[..., AnyCluster]:
    """Makes clusters for one test alone."""
    return lambda **options: any_of(request, "own_cluster", options)


def any_of(request: pytest.FixtureRequest, fixture: str, options: dict[str, Any]) -> AnyCluster:
    if request.param in {"simulated", "library"}:
        from pyslurm_fake import LibraryCluster
        from simulated import SimulatedCluster

        if request.param == "simulated":
            made = SimulatedCluster(**options)
        else:
            made = LibraryCluster(request.getfixturevalue("mocker"), **options)
        request.getfixturevalue("monkeypatch").setitem(globals(), "time", made.time)
        return made
    found = request.getfixturevalue(fixture)
    return found(**options) if options else found


@pytest.fixture
def slurm(any_cluster: AnyCluster) -> Slurm:
    return an_adapter(any_cluster)


def an_adapter(cluster: AnyCluster) -> Slurm:
    if not hasattr(cluster, "env"):
        return getattr(cluster, "port", cluster.slurm)
    return SlurmCli(Settings(slurm_rate=0), SystemClock(), environ=cluster.env)


@pytest.fixture
def a_script(any_cluster: AnyCluster, tmp_path: Path) -> Callable[..., Script]:
    """A script whose worker is a command; other values are the scheduler's."""
    return lambda *worker, **values: made(any_cluster, tmp_path, worker, values)


def made(
    cluster: AnyCluster, folder: Path, worker: tuple[str, ...], values: dict[str, Any]
) -> Script:
    token = values.pop("token", f"{time.time_ns():x}x{next(_tokens)}")
    defaults = values.pop("defaults", {})
    given = {"account": cluster.account, "walltime": "00:05:00", "mem": "50M"} | values
    scheduler = a_scheduler(**given)
    return submittable(scheduler, folder, *worker, token=token, defaults=defaults)


def submittable(
    scheduler: SlurmScheduler,
    folder: Path,
    *worker: str,
    token: str = "planned",
    defaults: dict[str, Any] | None = None,
) -> Script:
    return render(
        scheduler=scheduler,
        allocation=replace(an_allocation(1, token), output_dir=str(folder)),
        worker=worker or ("true",),
        directory=str(folder),
        defaults=defaults,
    )


def until(question: Callable[[], T], seconds: float = 20) -> T:
    """Ask until the answer is true; the answer."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, f"not after {seconds} s"
        time.sleep(0.1)
    return answer


def ended(slurm: Slurm, number: int, seconds: float = 20) -> S:
    """The state in the queue once it is an end."""
    return until(lambda: (s := slurm.look([number])[number].state).final and s, seconds)


# ── the life of an allocation ────────────────────────────────────────────────


def test_an_allocation_is_seen_from_its_submission_to_its_end(
    slurm: Slurm, a_script: Callable[..., Script]
) -> None:
    begin = time.time()
    script = a_script("sleep", "1")
    number = slurm.submit(script)

    seen = slurm.look([number])[number]
    assert seen.state.alive
    assert seen.name == script.job_name
    assert seen.submit_time == pytest.approx(begin, abs=5)

    assert ended(slurm, number) is S.COMPLETED
    seen = slurm.look([number])[number]
    assert seen.nodes
    assert seen.end_time is not None
    assert seen.start_time is not None
    assert seen.end_time >= seen.start_time

    told = until(
        lambda: (
            (e := slurm.account([number], begin).get(number))
            and e.state.final
            and e.timelimit_s
            and e.end_time
            and e
        )
    )
    assert told.state is S.COMPLETED
    assert (told.name, told.timelimit_s, told.nodes) == (script.job_name, 300, seen.nodes)
    assert (told.submit_time, told.end_time) == (seen.submit_time, seen.end_time)


def test_a_failure_is_seen_and_told(slurm: Slurm, a_script: Callable[..., Script]) -> None:
    begin = time.time()
    number = slurm.submit(a_script("bash", "-c", "exit 137"))
    assert ended(slurm, number) is S.FAILED
    until(lambda: (e := slurm.account([number], begin).get(number)) and e.state is S.FAILED)


@pytest.mark.slow
def test_a_timeout_is_seen_and_told(
    slurm: Slurm, any_cluster: AnyCluster, a_script: Callable[..., Script]
) -> None:
    """Slurm looks at limits every 30 s; the owner may move the end to the next look."""
    begin = time.time()
    number = slurm.submit(a_script("sleep", "300"))
    until(lambda: slurm.look([number])[number].state is S.RUNNING)
    moved = any_cluster.run("scontrol", "update", f"JobId={number}", "EndTime=now+1")
    assert moved.returncode == 0, moved.stderr
    assert ended(slurm, number, 60) is S.TIMEOUT
    until(lambda: (e := slurm.account([number], begin).get(number)) and e.state is S.TIMEOUT)


def test_a_script_gets_what_it_asks_for_on_every_node(
    slurm: Slurm, a_script: Callable[..., Script], tmp_path: Path
) -> None:
    say = "echo $SLURMD_NODENAME $SLURM_CPUS_ON_NODE $SLURM_MEM_PER_NODE >> said"
    number = slurm.submit(
        a_script("bash", "-c", say, nodes=2, cpus_per_task=3, mem="700M", ntasks_per_node=1)
    )
    assert ended(slurm, number) is S.COMPLETED
    lines = sorted((tmp_path / "said").read_text().split("\n"))[1:]
    assert [line.split()[1:] for line in lines] == [["3", "700"]] * 2
    assert len({line.split()[0] for line in lines}) == 2
    assert (tmp_path / f"slurm_output_wf1_sl{number}.o").exists()


@ONLY_REAL
def test_a_job_of_a_worker_may_call_srun_itself(
    slurm: Slurm, a_script: Callable[..., Script], tmp_path: Path
) -> None:
    inner = "srun --nodes=1 --ntasks=2 --cpus-per-task=1 --mem=20M bash -c 'echo hi >> said'"
    number = slurm.submit(a_script("timeout", "15", "bash", "-c", inner, cpus_per_task=2))
    assert ended(slurm, number) is S.COMPLETED
    assert (tmp_path / "said").read_text() == "hi\nhi\n"


SAY = "echo $SLURM_CPUS_ON_NODE $SLURM_MEM_PER_NODE ${SLURM_GPUS_ON_NODE:-0} >> said"


def test_a_worker_sees_what_was_planned_for_it(
    slurm: Slurm, any_cluster: AnyCluster, tmp_path: Path
) -> None:
    draft = a_draft(
        *(a_job(f"job{number}", requirement=0) for number in range(5)),
        requirements=[a_need("work", memory="300m", runtime="PT10M")],
    )
    result = plan(draft, site=slurm.site(), options=Options(account=any_cluster.account))
    (group,), (scheduler,) = result.groups, result.schedulers
    assert (group.allocations, group.per_node) == (2, 3)
    number = slurm.submit(submittable(scheduler, tmp_path, "bash", "-c", SAY))
    assert ended(slurm, number) is S.COMPLETED
    free = group.free
    said = f"{free.cpus} {free.memory_bytes // 1024**2} 0\n"
    assert (tmp_path / "said").read_text() == said == "3 1156 0\n"


@pytest.mark.slurm
@pytest.mark.slow
def test_a_worker_has_the_gpus_of_its_allocation(
    own_cluster: Callable[..., RunningCluster], tmp_path: Path
) -> None:
    """GPUs that come with a whole node are no step's unless it asks for them."""
    cluster = own_cluster(nodes=1, gpus=2)
    slurm = an_adapter(cluster)
    for values in ({"gres": "gpu:1"}, {"defaults": {"exclusive": True}}, {}):
        number = slurm.submit(made(cluster, tmp_path, ("bash", "-c", SAY), dict(values)))
        assert ended(slurm, number) is S.COMPLETED
    gpus = [line.split()[-1] for line in (tmp_path / "said").read_text().splitlines()]
    assert gpus == ["1", "2", "0"]


@ONLY_REAL
def test_a_worker_may_submit_what_asks_for_memory_otherwise(
    slurm: Slurm, a_script: Callable[..., Script], tmp_path: Path
) -> None:
    """What describes the surrounding allocation must not reach the new one: srun would refuse."""
    say = "echo $SLURM_MEM_PER_CPU $SLURM_MEM_PER_NODE >> said"
    inner = a_script("bash", "-c", say, mem=None, defaults={"mem-per-cpu": "70"})
    (tmp_path / "inner.sh").write_text(inner.text)
    (tmp_path / "submit.py").write_text(
        "from pathlib import Path\n"
        "from slurmtorc.clock import SystemClock\n"
        "from slurmtorc.ports import Script\n"
        "from slurmtorc.settings import Settings\n"
        "from slurmtorc.slurm.cli import SlurmCli\n"
        "script = Script(Path('inner.sh').read_text(), 'inner', 'inner', '.')\n"
        "SlurmCli(Settings(), SystemClock()).submit(script)\n"
    )
    begin = time.time()
    outer = a_script(sys.executable, "submit.py", mem="200M")
    assert ended(slurm, slurm.submit(outer)) is S.COMPLETED
    number = slurm.find(inner.token, begin)
    assert number is not None
    assert ended(slurm, number) is S.COMPLETED
    assert (tmp_path / "said").read_text() == "70\n"


# ── cancelling ───────────────────────────────────────────────────────────────


def test_waiting_and_running_allocations_are_cancelled_in_one_call(
    slurm: Slurm, a_script: Callable[..., Script]
) -> None:
    begin = time.time()
    running = slurm.submit(a_script("sleep", "300"))
    waiting = slurm.submit(a_script("sleep", "300", defaults={"hold": True}))
    until(lambda: slurm.look([running])[running].state is S.RUNNING)
    seen = slurm.look([waiting])[waiting]
    assert (seen.state, seen.reason, seen.nodes) == (S.PENDING, "JobHeldUser", "")

    slurm.cancel([running, waiting, NEVER])
    assert ended(slurm, running) is S.CANCELLED
    assert ended(slurm, waiting) is S.CANCELLED
    both = [running, waiting]
    until(lambda: {e.state for e in slurm.account(both, begin).values()} == {S.CANCELLED})


def test_cancelling_what_is_unknown_or_over_is_no_error(
    slurm: Slurm, a_script: Callable[..., Script]
) -> None:
    number = slurm.submit(a_script())
    ended(slurm, number)
    slurm.cancel([number])
    slurm.cancel([NEVER])
    slurm.cancel([])
    assert slurm.look([number])[number].state is S.COMPLETED


# ── looking ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ids", [[], [NEVER], [NEVER, NEVER + 1]])
def test_unknown_ids_are_absent(slurm: Slurm, ids: list[int]) -> None:
    assert slurm.look(ids) == {}
    assert slurm.account(ids, time.time()) == {}


def test_known_ids_are_seen_beside_unknown_ones(
    slurm: Slurm, a_script: Callable[..., Script]
) -> None:
    number = slurm.submit(a_script())
    assert list(slurm.look([NEVER, number])) == [number]


def test_many_ids_are_one_look(slurm: Slurm) -> None:
    assert slurm.look(range(NEVER, NEVER + 20_000)) == {}


# ── finding ──────────────────────────────────────────────────────────────────


def test_an_allocation_is_found_by_its_token(slurm: Slurm, a_script: Callable[..., Script]) -> None:
    begin = time.time()
    script = a_script("sleep", "300")
    number = slurm.submit(script)
    assert slurm.find(script.token, begin) == number
    slurm.cancel([number])
    ended(slurm, number)
    assert slurm.find(script.token, begin) == number


def test_a_token_that_was_never_submitted_is_not_found(slurm: Slurm) -> None:
    assert slurm.find("nevernever", time.time()) is None


def test_a_token_is_not_found_by_a_part_of_it(
    slurm: Slurm, a_script: Callable[..., Script]
) -> None:
    begin = time.time()
    long = slurm.submit(a_script(token="abcde1"))
    assert slurm.find("abcde", begin) is None
    short = slurm.submit(a_script(token="abcde"))
    assert slurm.find("abcde", begin) == short
    assert slurm.find("abcde1", begin) == long
    assert slurm.find("bcde1", begin) is None


@pytest.mark.slow
def test_an_allocation_that_the_queue_forgot_is_found_in_accounting(
    own_cluster_of_any_kind: Callable[..., AnyCluster], tmp_path: Path
) -> None:
    cluster = own_cluster_of_any_kind(nodes=1, settings=(("MinJobAge", "2"),))
    slurm, begin = an_adapter(cluster), time.time()
    script = made(cluster, tmp_path, (), {})
    number = slurm.submit(script)
    until(lambda: not slurm.look([number]), 40)
    until(lambda: slurm.find(script.token, begin) == number)
    assert slurm.account([number], begin)[number].state is S.COMPLETED


# ── what is refused, and what does not answer ────────────────────────────────


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"account": "nosuch"}, "Invalid account"),
        ({"partition": "nosuch"}, "invalid partition specified: nosuch"),
        ({"walltime": "10-00:00:00"}, "time limit is invalid"),
        ({"mem": "900g"}, "Memory specification can not be satisfied"),
        ({"nodes": 500}, "More processors requested than permitted"),
        ({"extra": "--nosuch=1"}, "unrecognized option '--nosuch=1'"),
    ],
)
def test_a_refusal_is_said_in_slurms_words(
    slurm: Slurm, a_script: Callable[..., Script], values: dict[str, Any], words: str
) -> None:
    begin, script = time.time(), a_script(**values)
    with pytest.raises(SubmissionRefused, match=words):
        slurm.submit(script)
    left = slurm.find(script.token, begin)  # Slurm keeps a record of some that it refused
    assert left is None or slurm.look([left])[left].state is S.FAILED


def test_the_site_is_the_cluster_as_it_was_made(slurm: Slurm, any_cluster: AnyCluster) -> None:
    site, shape = slurm.site(), any_cluster.plan.shape
    (default,) = [part for part in site.partitions if part.is_default]
    assert site.name == "sandbox"
    assert default.nodes == len(any_cluster.nodes)
    assert default.cpus == shape.cpus
    assert default.memory_bytes == shape.memory * 1024**2
    assert default.gpus == shape.gpus
    assert default.is_up
    assert default.max_walltime_s == 3600


@pytest.mark.slow
def test_silence_is_told_from_absence(
    own_cluster_of_any_kind: Callable[..., AnyCluster], tmp_path: Path
) -> None:
    cluster = own_cluster_of_any_kind(nodes=1)
    slurm, begin = an_adapter(cluster), time.time()
    number = slurm.submit(made(cluster, tmp_path, (), {}))
    until(lambda: (e := slurm.account([number], begin).get(number)) and e.state.final)

    cluster.stop("slurmctld")
    blind = an_adapter(cluster)
    for question in (
        lambda: blind.look([number]),
        lambda: blind.cancel([number]),
        lambda: blind.find("tok", begin),
        lambda: blind.submit(made(cluster, tmp_path, (), {})),
        blind.site,
    ):
        with pytest.raises(SlurmUnavailable, match="controller does not answer"):
            question()
    assert blind.account([number], begin)[number].state is S.COMPLETED

    cluster.start("slurmctld")
    until(lambda: answers(blind, number))
    cluster.stop("slurmdbd")
    with pytest.raises(SlurmUnavailable):
        blind.account([number], begin)
    with pytest.raises(SlurmUnavailable):
        blind.find("tok", begin)


def answers(slurm: Slurm, number: int) -> bool:
    try:
        slurm.look([number])
    except SlurmError:
        return False
    return True
