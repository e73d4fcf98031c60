"""Batch scripts: exactly as accepted, and no value that can become something else."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from factories import a_scheduler, an_allocation
from hypothesis import example, given
from hypothesis import strategies as st

from slurmtorc.errors import InvalidValue
from slurmtorc.rules.directives import NOT_A_DEFAULT
from slurmtorc.slurm.script import render

if TYPE_CHECKING:
    from slurmtorc.model import Allocation

GOLDEN = Path(__file__).parent.parent / "golden" / "slurm"
ACCEPT = "TORC_ACCEPT_GOLDEN"
ACCEPTING = bool(os.environ.get(ACCEPT))
"""Read before any fixture hides the environment."""

WORKER = ["/opt/torc/bin/python", "-m", "slurmtorc", "worker", "7"]


def logging_to(output_dir: str, workflow_id: int = 1, token: str = "t") -> Allocation:
    return replace(an_allocation(workflow_id, token), output_dir=output_dir)


def rendered(**values: Any) -> str:
    given: dict[str, Any] = {
        "scheduler": a_scheduler(account="proj"),
        "allocation": an_allocation(7, "k3f9"),
        "worker": WORKER,
        "directory": "/home/ada/sweep",
    }
    return render(**given | values).text


def directives(text: str) -> dict[str, str | None]:
    """The #SBATCH lines as sbatch reads them: quotes of both kinds, backslashes, '#' ends a line.

    Found out on a real sbatch: a backslash takes the next character as it is, in quotes too.
    """
    found: dict[str, str | None] = {}
    for line in text.splitlines():
        if line.startswith("#SBATCH "):
            for word in words_of(line.removeprefix("#SBATCH ")):
                option, equals, value = word.partition("=")
                found[option.removeprefix("--")] = value if equals else None
    return found


def words_of(line: str) -> list[str]:
    words, word, quote, rest = list[str](), "", "", iter(line)
    for letter in rest:
        if letter == "\\":
            word += next(rest)
        elif quote:
            word, quote = (word, "") if letter == quote else (word + letter, quote)
        elif letter in "\"'":
            quote = letter
        elif letter == "#":
            break
        elif letter.isspace():
            words, word = [*words, word], ""
        else:
            word += letter
    assert not quote, line
    return [word for word in [*words, word] if word]


# ── golden scripts ───────────────────────────────────────────────────────────

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "gpu": {
        "scheduler": a_scheduler(
            account="proj", partition="gpu", cpus_per_task=16, mem="65792M", gres="gpu:a100:4"
        ),
    },
    "multi_node": {
        "scheduler": a_scheduler(account="proj", nodes=8, walltime="1-06:00:00", mem="240g"),
        "defaults": {"exclusive": True, "mail_type": "END,FAIL", "requeue": True, "hold": False},
    },
    "everything": {
        "scheduler": a_scheduler(
            account="proj",
            partition="standard",
            qos="high",
            walltime="04:30:00",
            nodes=2,
            ntasks_per_node=4,
            cpus_per_task=8,
            mem="8g",
            gres="gpu:1,lscratch:100",
            tmp="20g",
            extra="--constraint=haswell&ssd --licenses=matlab:2",
        ),
        "allocation": logging_to("runs/out", 12, "0a1b2c"),
        "defaults": {
            "account": "beaten",
            "qos": "beaten",
            "tmp": "beaten",
            "mem-per-cpu": "beaten by mem",
            "cpus-per-gpu": 2,
            "nice": 100,
            "mail-user": "ada@example.org",
            "signal": "B:USR1@60",
        },
        "prefix": "sweep-",
    },
    "steps": {"scheduler": a_scheduler(account="proj", nodes=3), "by_steps": True},
    "hostile": {
        "scheduler": a_scheduler(
            account='a"b\\c', partition="it's $HOME `id`", qos="x # y", extra="--begin=now+1hour"
        ),
        "allocation": logging_to('/data/100% of "it"/é/', 1, "t0"),
        "directory": "/home/ada/my sweeps; rm -rf ~",
        "worker": ["/opt/my python", "--url", "sqlite:///a'b\"c$(id).db", "--note", ""],
        "defaults": {"wckey": "two words", "comment": "not the token"},
    },
}


@pytest.mark.parametrize("name", CASES)
def test_a_script_is_exactly_as_accepted(name: str) -> None:
    path, text = GOLDEN / f"{name}.sbatch", rendered(**CASES[name])
    if ACCEPTING:
        path.write_text(text)
    accepted = path.read_text() if path.exists() else ""
    assert text == accepted, (
        f"{path} differs; if it should, accept it: {ACCEPT}=1 pytest {__file__}"
    )


def test_there_is_no_accepted_script_without_a_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_script_is_bash(name: str) -> None:
    """Every line outside the directives, read by the shell's own rules."""
    text = rendered(**CASES[name])
    assert text.startswith("#!/bin/bash\n")
    assert text.endswith("\n")
    command = text.rpartition("\nexec ")[2].replace("\\\n", " ")
    worker = CASES[name].get("worker", WORKER)
    assert shlex.split(command)[-len(worker) :] == worker


# ── what stands in a script ──────────────────────────────────────────────────


def test_a_job_is_named_after_its_workflow_and_token() -> None:
    script = render(
        scheduler=a_scheduler(),
        allocation=an_allocation(7, "k3f9"),
        worker=WORKER,
        directory="/d",
        prefix="mine-",
    )
    assert script.job_name == "mine-wf7_k3f9"
    assert (script.token, script.directory) == ("k3f9", "/d")
    assert directives(script.text)["job-name"] == "mine-wf7_k3f9"
    assert directives(script.text)["comment"] == "k3f9"


def test_hostile_values_reach_sbatch_as_they_are() -> None:
    said = directives(rendered(**CASES["hostile"]))
    assert said["account"] == 'a"b\\c'
    assert said["partition"] == "it's $HOME `id`"
    assert said["qos"] == "x # y"
    assert said["chdir"] == "/home/ada/my sweeps; rm -rf ~"
    assert said["output"] == '/data/100%% of "it"/é/slurm_output_wf1_sl%j.o'
    assert said["wckey"] == "two words"
    assert said["comment"] == "t0"


def test_the_scheduler_wins_over_the_workflows_defaults() -> None:
    said = directives(rendered(**CASES["everything"]))
    assert (said["account"], said["qos"], said["tmp"]) == ("proj", "high", "20g")
    assert not {"mem-per-cpu", "cpus-per-gpu"} & set(said), "sbatch refuses them beside ours"
    assert said["mail-user"] == "ada@example.org"


def test_defaults_fill_what_the_scheduler_leaves_open() -> None:
    said = directives(rendered(defaults={"qos": "low", "mem-per-cpu": "2g", "cpus_per_gpu": 3}))
    assert (said["qos"], said["mem-per-cpu"], said["cpus-per-gpu"]) == ("low", "2g", "3")


def test_a_true_default_is_a_bare_option_and_a_false_one_is_left_out() -> None:
    text = rendered(defaults={"exclusive": True, "hold": False})
    assert "#SBATCH --exclusive\n" in text
    assert "hold" not in text


def test_slurm_never_restarts_an_allocation_by_itself() -> None:
    said = directives(rendered(defaults={"requeue": True}))
    assert "no-requeue" in said
    assert "requeue" not in said
    assert said["open-mode"] == "append"


def test_extra_comes_last_of_the_directives() -> None:
    text = rendered(scheduler=a_scheduler(extra="--nice=5"), defaults={"zzz": "1"})
    lines = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert lines[-2:] == ["#SBATCH --zzz=1", "#SBATCH --nice=5"]


# ── what is refused ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("field", ["account", "partition", "qos", "walltime", "mem", "gres", "tmp"])
@pytest.mark.parametrize(
    "value", ["a\n#SBATCH --account=b", "a\rb", "a\0", " a", "a ", "", "\u2028"]
)
def test_a_value_that_could_become_a_directive_is_refused(field: str, value: str) -> None:
    option = {"walltime": "time"}.get(field, field)
    with pytest.raises(InvalidValue, match=f"^{option} is "):
        rendered(scheduler=a_scheduler(**{field: value}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scheduler": a_scheduler(extra="--a\n#SBATCH --b")}, "extra is "),
        ({"directory": "/a\nb"}, "chdir is "),
        ({"allocation": logging_to("/a\nb")}, "output is "),
        (
            {"allocation": logging_to("/a\\b")},
            "output directory .* backslash",
        ),
        ({"allocation": an_allocation(1, "T_1")}, "token 'T_1'"),
        ({"allocation": an_allocation(1, "")}, "token ''"),
        ({"prefix": "a b"}, "job prefix 'a b'"),
        ({"worker": ["a", "b\nc"]}, "worker is "),
        ({"worker": ["a", "b\udcff"]}, "worker is "),
        ({"defaults": {"mail-user": "a\nb"}}, "mail-user is "),
        ({"defaults": {"mail-user": ["a"]}}, r"slurm_defaults.mail-user is \['a'\]; write text"),
        ({"defaults": {"mail-user": None}}, "slurm_defaults.mail-user is None"),
        ({"defaults": {"Mail": "x"}}, "slurm_defaults.Mail is not allowed"),
        ({"defaults": {"a b": "x"}}, "slurm_defaults.a b is not allowed"),
        ({"defaults": {"--nice": "x"}}, "slurm_defaults.--nice is not allowed"),
        ({"defaults": {"a=1\n#SBATCH --b": "x"}}, "slurm_defaults.a=1"),
        ({"defaults": {"Job_Name": "x"}}, "slurm_defaults.Job_Name is not allowed"),
    ],
)
def test_what_cannot_be_written_is_refused_with_its_field(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidValue, match=message):
        rendered(**values)


@pytest.mark.parametrize("key", NOT_A_DEFAULT)
def test_what_belongs_to_a_scheduler_is_no_default(key: str) -> None:
    for written in (key, key.upper(), key.replace("-", "_")):
        with pytest.raises(InvalidValue, match="is not allowed; "):
            rendered(defaults={written: "1"})


TEXTS = st.text(st.sampled_from("ab-/#\"'\\ $`%=\t\n") | st.characters(), max_size=30)


@given(TEXTS)
@example("a#b")
@example("a\\")
def test_any_text_is_refused_or_reaches_sbatch_as_it_is(text: str) -> None:
    try:
        script = rendered(scheduler=a_scheduler(account=text), defaults={"wckey": text})
    except InvalidValue:
        return
    said = directives(script)
    assert said["account"] == said["wckey"] == text
    assert set(said) == set(directives(rendered(defaults={"wckey": "x"})))


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_any_word_is_refused_or_reaches_the_worker_as_it_is(words: list[str]) -> None:
    try:
        script = rendered(worker=words)
    except InvalidValue:
        return
    command = script.partition("exec srun")[2].replace("\\\n", " ")
    assert shlex.split(command)[-len(words) :] == words
