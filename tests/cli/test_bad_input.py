"""What bad input gets: one clear error that names place and remedy, and nothing half-created."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
from typing import TYPE_CHECKING

import pytest
from torc import COMMAND

from slurmtorc.store.sql import SqlStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torc import Torc

JOB = 'name: w\njobs: [{name: a, command: "true"'
NEED = "\nresource_requirements: [{name: r, num_cpus: 1, memory: 1g, runtime: PT1M"
HELLO = JOB + "}]\n"

LETTERS = "abcdefghij"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in itertools.pairwise(LETTERS)
)

FILES = {
    "unknown.txt": (HELLO, "unknown.txt", ".yaml"),
    "empty.yaml": ("", "empty.yaml", "empty"),
    "list.yaml": ("- a\n", "list.yaml:1", "map"),
    "types.yaml": (JOB + ", priority: high}]\n", "jobs[0].priority", "number"),
    "cpus.yaml": (HELLO + NEED.replace("num_cpus: 1", "num_cpus: -4") + "}]\n", "num_cpus", "-4"),
    "memory.yaml": (HELLO + NEED.replace("1g", "10 gigs") + "}]\n", "memory", "write 10g"),
    "runtime.yaml": (HELLO + NEED.replace("PT1M", "2h") + "}]\n", "runtime", "write PT2H"),
    "unknown_dependency.yaml": (JOB + ", depends_on: [b]}]\n", "depends_on", "'b'"),
    "typo.yaml": (JOB + ", comand: x}]\n", "comand", "command"),
    "cycle.yaml": (
        JOB + ", depends_on: [b]}, {name: b, command: x, depends_on: [a]}]\n",
        "a -> b -> a",
        "cycle",
    ),
    "twice.yaml": (
        'name: w\njobs:\n- {name: a, command: "true"}\n- {name: a, command: "false"}\n',
        "'a'",
        "name",
    ),
    "same_after_expansion.yaml": (
        JOB + ', parameters: {i: "1:3"}}]\n',
        "'a'",
        "depends_on_regexes",
    ),
    "broken.yaml": ("name: [\n", "broken.yaml:2:1", "not YAML"),
    "broken.json": ('{"name": "w",}', "broken.json:1", ""),
    "deep.yaml": ("[" * 100_000, "deep.yaml", ""),
    "bomb.yaml": (BOMB, "bomb.yaml", "alias"),
}


@pytest.mark.parametrize("name", list(FILES))
@pytest.mark.parametrize("command", [("spec", "check"), ("run",), ("create",)])
def test_a_bad_file_is_told_with_place_and_remedy(
    torc: Torc, name: str, command: tuple[str, ...]
) -> None:
    text, place, remedy = FILES[name]
    done = torc(*command, torc.write(name, text), code=1)
    assert "Traceback" not in done.err
    assert place in done.err
    assert remedy in done.err
    assert name in done.err
    assert not (torc.folder / "torc_output").exists()


def test_files_that_cannot_be_read(torc: Torc) -> None:
    assert "missing.yaml" in torc("run", "missing.yaml", code=1).err
    (torc.folder / "folder.yaml").mkdir()
    assert "folder.yaml" in torc("run", "folder.yaml", code=1).err
    (torc.folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00\x01" * 1000)
    assert "UTF-8" in torc("run", "bytes.yaml", code=1).err


def test_fifty_megabytes_of_garbage_are_told_at_once(torc: Torc) -> None:
    (torc.folder / "garbage.yaml").write_bytes(os.urandom(50_000_000))
    done = torc("run", "garbage.yaml", code=1)
    assert "garbage.yaml" in done.err
    assert len(done.err) < 2000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "Missing argument"),
        (("run", "x.yaml", "--max-parallel-jobs", "0"), "not in the range"),
        (("run", "x.yaml", "--num-cpus", "many"), "not a valid integer"),
        (("rnu", "x.yaml"), "Did you mean 'run'?"),
        (("jobs", "list", "abc"), "not a valid integer"),
        (("jobs", "get", "9" * 20), "not in the range"),
        (("results", "list", "1", "--offset", "9" * 20), "not in the range"),
        (("run", "x.yaml", "--num-gpus", "9" * 9), "not in the range"),
        (("jobs", "list", "1", "-s", "sleeping"), "is not one of"),
        (("-f", "xml", "run", "x"), "is not one of"),
        (("--colour", "run"), "No such option"),
        (("submit-slurm", "x.yaml", "--walltime-multiplier", "0.5"), "not in the range"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(
    torc: Torc, arguments: tuple[str, ...], said: str
) -> None:
    done = torc(*arguments, code=2)
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[bad", "torc.toml is not TOML"),
        ("store = {url = 3}", "store.url is 3"),
        ("slurm = {rate = -1}", "slurm.rate is -1"),
        ("client = {run = {memory_gb = nan}}", "client.run.memory_gb is nan"),
    ],
)
def test_a_configuration_with_a_mistake_is_one_line(torc: Torc, text: str, said: str) -> None:
    torc.write("torc.toml", text)
    assert said in torc("status", "1", code=1).one_line()


def test_a_file_with_more_than_a_database_holds(torc: Torc) -> None:
    file = torc.write("w.yaml", HELLO + NEED.replace("PT1M", "P99999999999999999999D") + "}]\n")
    assert "more than any database holds" in torc("spec", "check", file, code=1).err


@pytest.mark.parametrize("command", ["run", "submit"])
def test_an_output_folder_that_cannot_be_made_leaves_nothing(torc: Torc, command: str) -> None:
    file = torc.write("w.yaml", HELLO)
    store = f"sqlite:///{torc.folder}/torc.db"
    torc("create", file, "--url", store)
    torc(command, file, "-o", "/dev/null/x", "--url", store, code=1)
    listed = torc("workflows", "list", "--url", store, "-f", "json").json["items"]
    assert [workflow["id"] for workflow in listed] == [1]


def test_a_process_without_standard_streams_ends_in_order(torc: Torc) -> None:
    torc.write("w.yaml", HELLO)
    line = " ".join([*COMMAND, "run", "w.yaml", "<&-", ">&-", "2>&-"])
    assert subprocess.run(["bash", "-c", line], cwd=torc.folder, check=False).returncode == 0
    assert "completed" in torc("status", "1").out


def test_a_full_standard_output_is_one_line(torc: Torc) -> None:
    torc("run", torc.write("w.yaml", HELLO))
    line = " ".join([*COMMAND, "status", "1", "-f", "json", ">/dev/full"])
    done = subprocess.run(
        ["bash", "-c", line], cwd=torc.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "torc: error: [Errno 28] No space left on device"


# ── stores ───────────────────────────────────────────────────────────────────


def test_a_store_that_is_not_there(torc: Torc) -> None:
    said = torc("status", "1", code=1).one_line()
    assert f"there is no store at {torc.folder}/torc_output/torc.db" in said
    assert "--url" in said
    assert not (torc.folder / "torc_output").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:secret@127.0.0.1:1/db", "check that the server runs"),
        ("http://127.0.0.1:8080/torc-service/v1", "REST server"),
        ("mysql://x/y", "no store URL"),
        ("postgresql://h:notaport/x", "no store URL"),
        ("sqlite:////proc/nowhere/torc.db", "cannot be made"),
        ("sqlite:////etc/passwd", "not a database"),
    ],
)
def test_a_store_that_cannot_be_reached(torc: Torc, url: str, said: str) -> None:
    torc.write("hello.yaml", HELLO)
    line = torc("run", "hello.yaml", "--url", url, code=1).one_line()
    assert said in line
    assert "secret" not in line


def test_a_store_made_by_a_newer_version(torc: Torc) -> None:
    torc("create", torc.write("hello.yaml", HELLO))
    with sqlite3.connect(torc.folder / "torc_output/torc.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "newer version" in torc("run", "hello.yaml", code=1).one_line()


def test_a_full_disk_leaves_the_store_as_it_was(
    torc: Torc, small_disk: Callable[[str], Path]
) -> None:
    url = f"sqlite:///{small_disk('600k')}/torc.db"
    torc("create", torc.write("hello.yaml", HELLO), "--url", url)
    many = HELLO.replace("name: a", "name: 'a{i}'").replace("}]", ', parameters: {i: "1:9999"}}]')
    said = torc("create", torc.write("many.yaml", many), "--url", url, code=1).one_line()
    assert "disk is full; make room" in said
    store = SqlStore(url)
    assert store.progress(1).total == 1
    store.close()


def test_a_worker_waits_for_room_on_a_full_disk_and_goes_on(
    torc: Torc, small_disk: Callable[[str], Path]
) -> None:
    """Nothing is lost: the result is stored once there is room again."""
    disk = small_disk("2m")
    url = f"sqlite:///{disk}/torc.db"
    command = f"dd if=/dev/zero of={disk}/ballast bs=64k 2>/dev/null; sleep 1"
    after = f"sleep 2; rm {disk}/ballast"
    jobs = [f'{{name: fill, command: "{command}"}}', f'{{name: clear, command: "{after}"}}']
    torc.write("w.yaml", f"name: w\njobs: [{', '.join(jobs)}]\n")
    done = torc("run", "w.yaml", "--url", url, "--max-parallel-jobs", "2")
    assert "Traceback" not in done.err
    store = SqlStore(url)
    assert store.progress(1).is_complete
    assert store.progress(1).unsuccessful == 0
    store.close()


def test_an_output_folder_that_cannot_be_made(torc: Torc) -> None:
    torc.write("hello.yaml", HELLO)
    torc.write("file", "")
    said = torc("run", "hello.yaml", "--output-dir", "file/out", code=1).one_line()
    assert "file/out" in said
    assert "--output-dir" in said
