"""`torc jobs spawn`: jobs that are shell scripts, in workflows that run."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest
from factories import PLENTY, a_draft, begin
from torc import Torc

from slurmtorc.model import Job, UserData
from slurmtorc.store.sql import SqlStore

CRASHING = Path(__file__).parents[1] / "crashing"
TORC = f"{sys.executable} -P -m slurmtorc"


def store_in(folder: Path) -> SqlStore:
    return SqlStore(f"sqlite:///{folder}/torc_output/torc.db")


def jobs_in(folder: Path) -> dict[str, str]:
    store = store_in(folder)
    found = {job.name: job.status.word for job in store.rows(Job, workflow_id=1).items}
    store.close()
    return found


@pytest.fixture
def seed(torc: Torc) -> int:
    """A job that runs, as far as the store knows; its id."""
    store = store_in(torc.folder)
    _, node = begin(store, a_draft("seed"))
    (claim,) = store.claim(node, PLENTY, 1)
    store.start(node, [claim.job_id])
    store.close()
    return claim.job_id


# ── in a workflow ────────────────────────────────────────────────────────────


def test_a_shell_job_spawns_until_it_converges(torc: Torc) -> None:
    torc.write("next.sh", textwrap.dedent(f"""\
        n=$(( ${{TORC_ORCHESTRATOR_GENERATION:-0}} + 1 ))
        if [ $n -gt 3 ]; then
            {TORC} jobs spawn --state '{{"n": 3}}'
        else
            {TORC} jobs spawn -n work_$n -c "echo $n >> out" -n next_$n -c "sh next.sh"
        fi
        """))  # fmt: skip
    file = torc.write("w.yaml", "name: w\njobs:\n  - {name: next, command: sh next.sh}\n")
    torc("run", file, "--fail-on-error")
    assert sorted((torc.folder / "out").read_text().split()) == ["1", "2", "3"]
    assert set(jobs_in(torc.folder).values()) == {"completed"}
    assert len(jobs_in(torc.folder)) == 7
    final = store_in(torc.folder).rows(UserData, name="__torc_lineage__next__final").items
    assert [data.data["state"] for data in final] == [{"n": 3}]
    done = torc("jobs", "logs", "1")
    assert done.out == "Iteration 1: jobs 2, 3\n"


def test_a_job_that_spawns_and_fails_is_tried_again_and_nothing_is_doubled(torc: Torc) -> None:
    torc.write("flaky.sh", textwrap.dedent(f"""\
        {TORC} jobs spawn -n a -c 'echo a >> out' -n b -c 'echo b >> out' || exit 9
        [ "$TORC_ATTEMPT_ID" = 3 ]
        """))  # fmt: skip
    file = torc.write("w.yaml", textwrap.dedent("""\
        name: w
        failure_handlers: [{name: again, rules: [{exit_codes: [1], max_retries: 5}]}]
        jobs: [{name: seed, command: sh flaky.sh, failure_handler: again}]
        """))  # fmt: skip
    torc("run", file, "--fail-on-error")
    assert sorted((torc.folder / "out").read_text().split()) == ["a", "b"]


@pytest.mark.parametrize(("step", "left"), [(1, 0), (2, 300)])
def test_a_spawn_that_is_killed_has_added_all_or_nothing(
    torc: Torc, seed: int, step: int, left: int
) -> None:
    """Killed before its one commit, or after it and before it could say so."""
    pairs = [word for n in range(300) for word in ("-n", f"j{n}", "-c", "true")]
    call = ("jobs", "spawn", "--job", str(seed), *pairs)
    env = {"PYTHONPATH": f"{CRASHING}:{os.environ.get('PYTHONPATH', '')}"}
    dying = Torc(torc.folder, {**env, "TORC_TEST_DIE_AT": str(step)})
    assert dying(*call, code=-signal.SIGKILL).out == ""
    assert len(jobs_in(torc.folder)) == 1 + left
    assert torc(*call, "-f", "json").json["iteration"] == 1
    assert len(jobs_in(torc.folder)) == 301


# ── by hand ──────────────────────────────────────────────────────────────────


def test_a_file_of_jobs_is_multiplied_by_its_parameters(torc: Torc, seed: int) -> None:
    text = textwrap.dedent("""\
        lineage: search
        state: {best: 1.5}
        jobs:
          - name: try_{i:02d}
            command: "run {i} {x}"
            env: {X: "{x}"}
            parameters: {i: "1:2", x: "[a, b]"}
            parameter_mode: zip
          - {name: look, command: look, depends_on: [try_01, try_02], priority: 3}
        """)
    done = torc("jobs", "spawn", "-", "--job", str(seed), "-f", "json", stdin=text)
    assert done.json == {"iteration": 1, "spawned_job_ids": [2, 3, 4]}
    store = store_in(torc.folder)
    first, second, look = store.rows(Job, origin="spawn").items
    assert (first.name, first.command, first.env["X"]) == ("try_01", "run 1 a", "a")
    assert (second.name, second.command, look.priority) == ("try_02", "run 2 b", 3)
    (record,) = store.rows(UserData).items
    assert record.name == "__torc_lineage__search__g000001"
    assert record.data == {"generation": 1, "spawn_count": 3, "state": {"best": 1.5}}
    again = torc("jobs", "spawn", "-", "--job", str(seed), stdin=text)
    assert again.out == "Iteration 1: jobs 2, 3, 4\n"


def test_no_jobs_and_a_state_converge(torc: Torc, seed: int) -> None:
    done = torc("jobs", "spawn", "--job", str(seed), "--state", "7")
    assert done.out == "Converged after iteration 0\n"


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ((), "", "no jobs to spawn; give a FILE, or --name and --command, or --state"),
        (("-n", "a"), "", "--name is given 1 times and --command 0 times; give each job a name"),
        (("-", "-n", "a"), "", "give a FILE, or jobs by --name and --command, not both"),
        (("-n", "a", "-c", "b", "--state", "{"), "", "--state is no JSON"),
        (("-n", "seed", "-c", "b"), "", "did not spawn the jobs that have these names"),
        (("nothing.yaml",), "", "nothing.yaml: 1 fault"),
        (("-",), "jobs: [{name: a, comand: b}]", "-: 1 fault"),
    ],
)
def test_what_cannot_be_spawned_is_one_clear_line(
    torc: Torc, seed: int, arguments: tuple[str, ...], stdin: str, message: str
) -> None:
    done = torc("jobs", "spawn", "--job", str(seed), *arguments, code=None, stdin=stdin)
    assert done.code in {1, 2}
    assert message in done.one_line()
    assert list(jobs_in(torc.folder)) == ["seed"]


def test_faults_of_a_file_are_told_with_their_places(torc: Torc, seed: int) -> None:
    text = "jobs:\n  - {name: a, comand: b}\n  - {name: c, command: d, parameters: {i: '1:'}}\n"
    file = torc.write("jobs.yaml", text)
    done = torc("jobs", "spawn", "--job", str(seed), file, code=1)
    assert "jobs.yaml:2:" in done.err
    assert "did you mean 'command'?" in done.err


def test_outside_a_job_it_asks_which_one(torc: Torc) -> None:
    store_in(torc.folder).close()
    done = torc("jobs", "spawn", "-n", "a", "-c", "b", code=2)
    assert done.one_line() == "this is no job of a workflow; name the running job by --job ID"
    done = torc("jobs", "spawn", "-n", "a", "-c", "b", "--job", "7", code=1)
    assert done.one_line() == "there is no job 7"
