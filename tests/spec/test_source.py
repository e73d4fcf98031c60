from __future__ import annotations

import io
import json
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from specs import write

from slurmtorc import spec
from slurmtorc.errors import Fault, SpecError
from slurmtorc.spec import source as module

if TYPE_CHECKING:
    from pathlib import Path


def fault(name: Path | str) -> Fault:
    with pytest.raises(SpecError) as caught:
        spec.read(str(name))
    (found,) = caught.value.faults
    return found


@pytest.mark.parametrize(
    ("suffix", "form"),
    [
        (".yaml", "yaml"),
        (".yml", "yaml"),
        (".YAML", "yaml"),
        (".json", "json"),
        (".JSON5", "json5"),
        (".json5", "json5"),
    ],
)
def test_the_suffix_tells_the_format_in_any_case(tmp_path: Path, suffix: str, form: str) -> None:
    found = spec.read(write(tmp_path / f"w{suffix}", '{"name": "x"}'))
    assert (found.format, found.tree) == (form, {"name": "x"})
    assert found.name == str(tmp_path / f"w{suffix}")


def test_an_unknown_suffix_is_told_with_the_known_ones(tmp_path: Path) -> None:
    found = fault(write(tmp_path / "w.txt", "name: x"))
    assert found.message == "files of type '.txt' are not read"
    assert found.hint == "known: .yaml .yml .json .json5 .toml .kdl"


def test_a_file_without_suffix_is_told_with_the_known_ones(tmp_path: Path) -> None:
    assert fault(write(tmp_path / "w", "name: x")).message == "the file's name has no suffix"


@pytest.mark.parametrize("name", ["sweep.yml", "sweap.yaml", "swep", "sweep.txt"])
def test_a_missing_file_is_told_with_the_nearest_workflow_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / "sweep.yaml", "name: x")
    write(tmp_path / "sweep.txt.bak", "")
    found = fault(tmp_path / name)
    assert found.message == "there is no such file"
    assert found.hint == f"did you mean {tmp_path / 'sweep.yaml'}?"


def test_a_missing_file_in_a_missing_directory_is_told(tmp_path: Path) -> None:
    assert fault(tmp_path / "no" / "w.yaml") == Fault("there is no such file")


def test_a_directory_is_told(tmp_path: Path) -> None:
    assert fault(tmp_path).message == "this is a directory"
    (tmp_path / "d.yaml").mkdir()
    assert fault(tmp_path / "d.yaml").message == "this is a directory"


def test_a_path_through_a_file_is_told(tmp_path: Path) -> None:
    write(tmp_path / "f", "")
    assert fault(tmp_path / "f" / "w.yaml").message == "cannot be read: not a directory"


def test_a_name_that_no_file_can_have_is_told() -> None:
    assert fault("a\0b.yaml").message == "cannot be read: embedded null byte"
    assert fault("x" * 300 + ".yaml").message == "cannot be read: file name too long"


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
@pytest.mark.parametrize("suffix", module.SUFFIXES)
def test_an_empty_file_is_told(tmp_path: Path, suffix: str, text: str) -> None:
    assert fault(write(tmp_path / f"w{suffix}", text)).message == "the file is empty"


def test_text_that_is_not_utf_8_is_told_with_offset_and_line(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_bytes(b"name: x\nuser: caf\xe9\n")
    found = fault(tmp_path / "w.yaml")
    assert found.message == "not UTF-8 text: byte 0xe9 at offset 17"
    assert found.line == 2


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_bytes(b"\xef\xbb\xbfname: x\n")
    assert spec.read(str(tmp_path / "w.yaml")).tree == {"name": "x"}


@pytest.mark.parametrize("suffix", module.SUFFIXES)
def test_a_file_over_the_limit_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    form = module.SUFFIXES[suffix]
    monkeypatch.setitem(module.LIMITS, form, 2 * module.MIB)
    with (tmp_path / f"w{suffix}").open("wb") as stream:
        stream.truncate(2 * module.MIB + 1)
    found = fault(tmp_path / f"w{suffix}")
    assert found.message == f"larger than 2 MiB, the limit for {form.upper()}"


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".yaml", "a" * 2_000_000),
        (".yaml", "[" * 2_000_000),
        (".yaml", "- a\n" * 500_000),
        (".yaml", '{"a":' * 100_000),
        (".yaml", "jobs:\n" + "- a\n" * 100_000),
        (".json", "a" * 2_000_000),
        (".json", "[" * 2_000_000),
        (".json", '{"a":' * 100_000),
        (".json5", "a" * 2_000_000),
        (".json5", "[" * 2_000_000),
        (".json5", '{"a":' * 100_000),
        (".toml", "a" * 2_000_000),
        (".toml", "[" * 2_000_000),
        (".toml", "- a\n" * 500_000),
        (".kdl", "a" * 2_000_000),
        (".kdl", "[" * 2_000_000),
        (".kdl", "- a\n" * 500_000),
        (".kdl", "a {" * 100_000),
    ],
)
def test_garbage_gets_faults_and_never_anything_else(
    tmp_path: Path, suffix: str, text: str
) -> None:
    file = tmp_path / f"w{suffix}"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        spec.load(str(file))
    assert 0 < len(caught.value.faults) <= 1001
    assert all(len(fault.message) < 200 for fault in caught.value.faults)


STDIN = [
    ('{"name": "x"}', "json", {"name": "x"}),
    (' \n {"name": 1}', "json", {"name": 1}),
    ("{name: x}", "yaml", {"name": "x"}),
    ("name: x\n", "yaml", {"name": "x"}),
]


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.mark.parametrize(("text", "form", "tree"), STDIN)
def test_standard_input_is_json_if_it_is_json_and_else_yaml(
    monkeypatch: pytest.MonkeyPatch, text: str, form: str, tree: object
) -> None:
    stdin(monkeypatch, text.encode())
    found = spec.read("-")
    assert (found.name, found.format, found.tree) == ("-", form, tree)


def test_standard_input_that_is_neither_gets_the_fault_of_json_where_it_begins_like_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdin(monkeypatch, b'{"name": "x", "name": "y"}')
    assert fault("-").message == "the key 'name' is given twice, first on line 1"
    stdin(monkeypatch, b"name: [")
    assert fault("-").message.startswith("not YAML")


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    name = tmp_path / "w.json"
    os.mkfifo(name)
    if os.fork() == 0:
        name.write_text(json.dumps({"name": "x"}))
        os._exit(0)
    assert spec.read(str(name)).tree == {"name": "x"}
    os.wait()
