"""The bench runs: names mean what they say, rounds take turns, what is missing is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import psutil
import pytest

from bench import __main__ as bench
from bench import hands, launch, peers, written
from bench.every import BENCHMARKS, chosen
from bench.figures import Figure, Row, Spread, as_json
from bench.latency import WORKERS, waits_of
from bench.plan import Benchmark, Missing, Place, Plan, measured
from bench.profile import main as profile
from bench.table import against
from slurmtorc.model import Ending, JobStatus, Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROW = Row("time", "s", ("a", "s"), ("b", "s"))


def a_benchmark(prepare: Callable[[Place], Plan], name: str = "one") -> Benchmark:
    return Benchmark(name, "about", prepare, rounds=2)


def a_figure(value: float, name: str = "one") -> Figure:
    return Figure(name, "time", "s", higher=False, value=Spread(value, value, value))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Runs one benchmark of the test's own; results and baseline are the test's too."""
    monkeypatch.setattr(written, "BASELINE", tmp_path / "baseline.json")

    def run(prepare: Callable[[Place], Plan], *arguments: str) -> int:
        monkeypatch.setattr(bench, "chosen", lambda *_, **__: [a_benchmark(prepare)])
        return bench.main([*arguments, "--results", str(tmp_path / "results")])

    return run


# ── names ────────────────────────────────────────────────────────────────────


def test_every_benchmark_has_a_name_of_its_own() -> None:
    names = [one.name for one in BENCHMARKS]
    assert len(set(names)) == len(names)
    assert not set(names) & {one.theme for one in BENCHMARKS} - {"store"}


def test_the_heavy_ones_run_only_by_name_or_when_all_are_asked_for() -> None:
    heavy = {one.name for one in BENCHMARKS if one.heavy}
    assert heavy
    assert not heavy & {one.name for one in chosen([], heavy=False)}
    assert [one.name for one in chosen([], heavy=True)] == [one.name for one in BENCHMARKS]
    assert [one.name for one in chosen(["create-1m-sqlite"], heavy=False)] == ["create-1m-sqlite"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["help", "run10k"], ["help", "run10k"]),
        (["latency-*"], ["latency-sqlite", "latency-postgres"]),
        (["watch"], ["watch-poll", "watch-idle"]),
    ],
)
def test_benchmarks_are_chosen_by_name_pattern_or_theme(
    names: list[str], expected: list[str]
) -> None:
    assert [one.name for one in chosen(names, heavy=False)] == expected


def test_a_name_that_means_nothing_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench.main(["run10k", "nonsense"]) == 2
    said = capsys.readouterr().err
    assert "no benchmark 'nonsense'" in said
    assert "run10k-layered" in said


def test_lines_of_a_benchmark_with_peers_have_keys_of_their_own(tmp_path: Path) -> None:
    plan = launch.run_many(Place(tmp_path, scale=0.001, peers=True))
    keys = [(row.name, row.beside) for row in plan.rows]
    assert len(set(keys)) == len(keys)
    assert {"torc", "make -j2", *peers.PEERS} < set(plan.contenders)


# ── rounds ───────────────────────────────────────────────────────────────────


def test_contenders_take_turns_in_folders_that_stay_until_the_end(tmp_path: Path) -> None:
    seen: list[tuple[str, Path]] = []

    def contender(name: str) -> Callable[[Path], dict[str, float]]:
        def work(folder: Path) -> dict[str, float]:
            (folder / "file").touch()
            seen.append((name, folder))
            return {"s": 1.0}

        return work

    plan = Plan({"a": contender("a"), "b": contender("b")}, [ROW])
    rounds, missing = measured(plan, tmp_path, 2)
    assert [name for name, _ in seen] == ["a", "b", "a", "b"]
    assert len({folder for _, folder in seen}) == 4
    assert all((folder / "file").exists() for _, folder in seen)
    assert rounds == [{"a": {"s": 1.0}, "b": {"s": 1.0}}] * 2
    assert not missing


def test_a_missing_contender_is_asked_once_and_told(tmp_path: Path) -> None:
    asked = []

    def absent(_folder: Path) -> dict[str, float]:
        asked.append(1)
        raise Missing("not here")

    rounds, missing = measured(Plan({"a": absent, "b": lambda _: {"s": 1.0}}, []), tmp_path, 3)
    assert missing == {"a": "not here"}
    assert asked == [1]
    assert rounds == [{"b": {"s": 1.0}}] * 3


def test_a_missing_contender_is_one_line_and_no_failure(
    alone: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(_folder: Path) -> dict[str, float]:
        raise Missing("b is not installed")

    rows = [ROW, Row("alone", "s", ("a", "s"))]
    assert alone(lambda _: Plan({"a": lambda _: {"s": 1.0}, "b": absent}, rows)) == 0
    said = capsys.readouterr().out
    assert "one: without b: b is not installed" in said
    assert "alone" in said


def test_a_broken_benchmark_is_told_and_the_exit_status_says_so(
    alone: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_place: Place) -> Plan:
        raise ValueError("no such thing")

    assert alone(broken) == 1
    assert "one: broke: ValueError: no such thing" in capsys.readouterr().out


def test_a_server_that_cannot_be_had_leaves_its_benchmarks_out(
    alone: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(_place: Place) -> Plan:
        raise Missing("PostgreSQL is not installed")

    assert alone(absent) == 0
    assert "one: not measured: PostgreSQL is not installed" in capsys.readouterr().out


def test_without_a_compiler_the_loop_in_python_is_the_limit_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def none(_source: str) -> Path:
        raise Missing("there is no C compiler (cc)")

    monkeypatch.setattr(hands, "compiled", none)
    name, loop, remarks = launch.spawn_loop(7, "true")
    assert name == "Python posix_spawn"
    assert "no C compiler" in remarks[0]
    loop(tmp_path)
    assert len(list(tmp_path.iterdir())) == 14


def test_a_command_that_fails_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 3: alas"):
        hands.run(["sh", "-c", "echo alas >&2; exit 3"], tmp_path)


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="took longer"):
        hands.run(["sh", "-c", "echo $$ > pid; sleep 60; true"], tmp_path, longest=1.0)
    number = int((tmp_path / "pid").read_text())
    hands.wait_until(lambda: is_over(number), 10.0)


def is_over(process: int) -> bool:
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# ── the baseline ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("now", "words", "style"),
    [(1.3, "30 % worse", "bold red"), (1.1, "as before", "dim"), (0.5, "50 % better", "dim")],
)
def test_clearly_worse_than_the_baseline_is_red(now: float, words: str, style: str) -> None:
    before = a_figure(1.0)
    said = against(a_figure(now), {before.key: before})
    assert (str(said), said.style) == (words, style)


def test_a_figure_without_a_baseline_is_new() -> None:
    assert str(against(a_figure(1.0), {})) == "new"


def test_saving_a_baseline_keeps_the_benchmarks_that_were_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    written.save_baseline([a_figure(1, "one"), a_figure(1, "two")], path)
    written.save_baseline([a_figure(2, "two")], path)
    found = {name: figure.value.median for name, figure in written.baseline(path).items()}
    assert found == {"one/time": 1, "two/time": 2}


def test_a_small_run_is_never_a_baseline(
    alone: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plan = Plan({"a": lambda _: {"s": 1.0}, "b": lambda _: {"s": 1.0}}, [ROW])
    assert alone(lambda _: plan, "--scale", "0.5", "--save-baseline") == 0
    assert "Not saved as the baseline" in capsys.readouterr().out
    assert not (tmp_path / "baseline.json").exists()


# ── what the benchmarks themselves count ─────────────────────────────────────


def a_result(job: int, node: int, start: float, end: float) -> Result:
    return Result(
        workflow_id=1, job_id=job, run_id=1, attempt_id=1, compute_node_id=node,
        return_code=0, status=JobStatus.COMPLETED, ending=Ending.EXIT,
        start_time=start, completion_time=end, exec_time_s=end - start,
    )  # fmt: skip


def test_only_starts_on_another_worker_than_the_one_that_ended_the_layer_count() -> None:
    first = [a_result(i, i, 0, 1 + i) for i in range(WORKERS)]  # worker 3 ends last, at 4
    second = [a_result(WORKERS + i, i, 4.5 + i, 9) for i in range(WORKERS)]
    assert waits_of([*second, *first]) == [0.5, 1.5, 2.5]


# ── the whole of it, very small ──────────────────────────────────────────────


@pytest.mark.slow
def test_a_small_run_of_the_smallest_benchmarks_is_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["help", "run10k", "bipartite", "cycle-1-sqlite"]
    small = ["--scale", "0.001", "--rounds", "1", "--results", str(tmp_path)]
    assert bench.main([*names, *small]) == 0
    said = capsys.readouterr().out
    assert "broke" not in said
    (data,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    found = data["figures"]
    assert {figure["benchmark"] for figure in found} == set(names)
    assert all(figure["value"]["median"] > 0 for figure in found)
    assert set(found[0]) == set(as_json(a_figure(1)))
    (drawn,) = tmp_path.glob("*.svg")
    assert len(ET.fromstring(drawn.read_text())) > len(found)


@pytest.mark.slow
def test_a_profile_of_a_small_run_is_drawn(tmp_path: Path) -> None:
    drawn, told = tmp_path / "f.svg", tmp_path / "p.json"
    assert profile(["--jobs", "20", "--picture", str(drawn), "--parts", str(told)]) == 0
    assert "slurmtorc.cli.run.run" in drawn.read_text()
    ET.fromstring(drawn.read_text())
    said = json.loads(told.read_text())
    assert said["jobs"] == 20
    assert sum(said["parts"].values()) == pytest.approx(1)
