from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from specs import write

from slurmtorc import spec
from slurmtorc.errors import Fault, SpecError
from slurmtorc.spec.yaml import LONGEST_LINE, MAX_ALIASED

if TYPE_CHECKING:
    from pathlib import Path

CORE_SCHEMA = [
    ("", None),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("NULL", None),
    ("nULL", "nULL"),
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("tRUE", "tRUE"),
    ("false", False),
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("Off", "Off"),
    ("y", "y"),
    ("0", 0),
    ("-7", -7),
    ("+7", 7),
    ("017", 17),
    ("0o17", 15),
    ("0x1F", 31),
    ("0b11", "0b11"),
    ("-0x1F", "-0x1F"),
    ("1_000", "1_000"),
    ("1:20", "1:20"),
    ("10:00:00", "10:00:00"),
    ("1:10:2", "1:10:2"),
    ("2024-01-01", "2024-01-01"),
    ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
    ("1.5", 1.5),
    ("-.5", -0.5),
    ("5.", 5.0),
    ("1e3", 1000.0),
    ("1.5E-3", 0.0015),
    (".", "."),
    ("1.2.3", "1.2.3"),
    ("1e", "1e"),
    ("'1'", "1"),
    ('"true"', "true"),
    ("8g", "8g"),
    ("=", "="),
]


def read(tmp_path: Path, text: str) -> spec.Source:
    return spec.read(write(tmp_path / "w.yaml", text))


def fault(tmp_path: Path, text: str) -> Fault:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    (found,) = caught.value.faults
    return found


@pytest.mark.parametrize(("written", "value"), CORE_SCHEMA)
def test_a_plain_scalar_has_the_value_of_the_core_schema(
    tmp_path: Path, written: str, value: object
) -> None:
    got = read(tmp_path, f"name: x\nkey: {written}\nlist: [1, {written or '~'}]\n").tree
    assert got["key"] == value
    assert type(got["key"]) is type(value)
    assert got["list"][1] == value


def test_block_and_quoted_texts_are_never_numbers(tmp_path: Path) -> None:
    assert read(tmp_path, "a: |\n  1\nb: '1'\nc: >-\n  true\n").tree == {
        "a": "1\n",
        "b": "1",
        "c": "true",
    }


def test_a_key_is_its_text_as_written(tmp_path: Path) -> None:
    assert list(read(tmp_path, "1: a\ntrue: b\nnull: c\n1.0: d\n").tree) == [
        "1",
        "true",
        "null",
        "1.0",
    ]


def test_a_key_given_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    found = fault(tmp_path, "name: x\njobs:\n  - name: a\n    command: b\n    name: c\n")
    assert found.message == "the key 'name' is given twice, first on line 3"
    assert (found.line, found.column) == (5, 5)
    assert found.path == ("jobs", 0, "name")


def test_keys_that_are_equal_as_text_are_the_same_key(tmp_path: Path) -> None:
    assert "given twice, first on line 1" in fault(tmp_path, "1: a\n'1': b\n").message


def test_anchors_are_allowed_for_values_and_keys(tmp_path: Path) -> None:
    got = read(tmp_path, "a: &x [1, 2]\nb: *x\nc: &y text\nd: *y\n&z e: 5\nf: *z\n").tree
    assert got == {"a": [1, 2], "b": [1, 2], "c": "text", "d": "text", "e": 5, "f": "e"}


BAD = [
    ("a: *x\n", 1, 4, "`*x` has no anchor"),
    ("a: &x [*x]\n", 1, 8, "stands inside its own anchor"),
    ("a: &x {b: {c: *x}}\n", 1, 15, "stands inside its own anchor"),
    ("a: !!python/object/apply:os.system [echo]\n", 1, 4, "the tag `!!python/object/apply:os.sys"),
    ("a: !!str 5\n", 1, 4, "the tag `!!str` is not allowed"),
    ("a: !local {b: 1}\n", 1, 4, "the tag `!local` is not allowed"),
    ("a: ! 5\n", 1, 4, "the tag `!` is not allowed"),
    ("a: 1\n---\nb: 2\n", 2, 1, "a second document begins"),
    ("base: &b {x: 1}\na:\n  <<: *b\n", 3, 3, "`<<` is not understood"),
    ("? [a]\n: b\n", 1, 3, "a key is not text"),
    ("a: &x b\n*x : c\n", 2, 1, "a key is not text"),
    ("- a\n", 1, 1, "the top level is not a map"),
    ("just text\n", 1, 1, "the top level is not a map"),
    ("a: [1, 2\n", 2, 1, "not YAML: did not find expected ',' or ']'"),
    ("a: 1\n\tb: 2\n", 2, 1, "not YAML: found a tab character"),
    ("a: b\n c: d\n", 2, 3, "not YAML: mapping values are not allowed"),
    ("é: é\nb: \x01\n", 2, 4, "the character U+0001 is not allowed"),
    ("a: .inf\n", 1, 1, "inf is not a finite number"),
    ("a: [1, .nan]\n", 1, 8, "nan is not a finite number"),
    ("a: [1, 1e999]\n", 1, 8, "inf is not a finite number"),
    ('a: "x\\0y"\n', 1, 1, "the character U+0000 is not allowed"),
    ("a: " + "[" * 101 + "]" * 101, 1, 103, "nested deeper than 100 levels"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), BAD)
def test_what_is_not_a_workflow_is_refused_at_its_place(
    tmp_path: Path, text: str, line: int, column: int, message: str
) -> None:
    found = fault(tmp_path, text)
    assert message in found.message
    assert (found.line, found.column) == (line, column)


def test_a_quoted_merge_key_is_an_ordinary_key(tmp_path: Path) -> None:
    assert read(tmp_path, "'<<': a\n").tree == {"<<": "a"}


def test_a_bomb_of_aliases_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    found = fault(tmp_path, "\n".join(lines))
    assert f"more than {MAX_ALIASED:,} values" in found.message
    assert found.line == 7


def test_nesting_up_to_the_limit_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, "a: " + "[" * 99 + "]" * 99).tree["a"]


def test_comments_alone_are_an_empty_file(tmp_path: Path) -> None:
    assert fault(tmp_path, "# nothing\n").message == "the file is empty"


def test_places_are_those_of_keys_and_entries(tmp_path: Path) -> None:
    source = read(
        tmp_path,
        """\
        name: x
        jobs:
          - name: a
            command: [1]
            depends_on:
              - q
              - b: {c: 1}
          - {name: b, zzzzzz: z}
        """,
    )
    places = {fault.path: (fault.line, fault.column) for fault in spec.check(source).faults}
    assert places == {
        ("jobs", 0, "command"): (4, 5),
        ("jobs", 0, "depends_on", 1): (7, 9),
        ("jobs", 1, "zzzzzz"): (8, 15),
        ("jobs", 1, "command"): (8, 5),
    }


def test_a_line_that_nobody_wrote_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("name: x\njobs: [" + "a," * (LONGEST_LINE // 2) + "]\n")
    with pytest.raises(SpecError) as raised:
        spec.read(str(path))
    (fault,) = raised.value.faults
    assert (fault.line, fault.column) == (2, 1)
    assert "a line of more than 4 MiB" in fault.message


def test_a_long_file_of_short_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    comment = "# " + "c" * 1000 + "\n"
    path.write_text(comment * (LONGEST_LINE // 1000 + 10) + "name: x\n")
    assert spec.read(str(path)).tree == {"name": "x"}
