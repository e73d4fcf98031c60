from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from specs import write

from slurmtorc import spec
from slurmtorc.errors import Fault, SpecError
from slurmtorc.spec.toml import locate

if TYPE_CHECKING:
    from pathlib import Path

TEXT = '''\
# a comment = 1
name = "x"
"a b".c = 1
one.two = { e = [1, {f = "]"}], g = """
x"y""" } # q
[[jobs]]
name = "a"
depends_on = [
  "x", # hi
  'y,]',
]
[jobs.env]
A = "1"
[[jobs]]
name = "b"
[[jobs.rules]]
n = 1
[ jobs . env ]
'''
PLACES = {
    ("name",): (2, 1),
    ("a b",): (3, 1),
    ("a b", "c"): (3, 1),
    ("one",): (4, 1),
    ("one", "two"): (4, 1),
    ("one", "two", "e"): (4, 13),
    ("one", "two", "e", 0): (4, 18),
    ("one", "two", "e", 1, "f"): (4, 22),
    ("one", "two", "g"): (4, 33),
    ("jobs",): (6, 1),
    ("jobs", 0): (6, 1),
    ("jobs", 0, "depends_on", 1): (10, 3),
    ("jobs", 0, "env"): (12, 1),
    ("jobs", 0, "env", "A"): (13, 1),
    ("jobs", 1): (14, 1),
    ("jobs", 1, "name"): (15, 1),
    ("jobs", 1, "rules", 0, "n"): (17, 1),
    ("jobs", 1, "env"): (18, 1),
}


def test_every_key_and_entry_has_its_place() -> None:
    assert locate(TEXT, PLACES.keys()) == PLACES


BAD = [
    ("a = 1\nb = 2\na = 3\n", 3, 1, "the key 'a' is given twice, first on line 1"),
    ("[a]\n[b]\n[a]\n", 3, 1, "the key 'a' is given twice, first on line 1"),
    ("a = {b = 1, b = 2}\n", 1, 13, "the key 'b' is given twice, first on line 1"),
    ("a = \n", 1, 5, "not TOML: invalid value"),
    ("x", 1, 2, "not TOML: expected '=' after a key"),
    ("a = '''never closed\n", 2, 1, "not TOML: expected \"'''\""),
    ("a = [1, 2020-01-01]\n", 1, 9, '"2020-01-01" is a date, which JSON does not have'),
    ("a = inf\n", 1, 1, "inf is not a finite number"),
    ("a = " + "[" * 5000, None, None, "nested deeper than 100 levels"),
    (".".join("a" * 5000) + " = 1\n", None, None, "nested deeper than 100 levels"),
    ("a = " + "9" * 5000 + "\n", None, None, "not TOML: Exceeds the limit"),
    ("a" * 5000, None, None, "the top level is not a map"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), BAD)
def test_what_is_not_a_workflow_is_refused_at_its_place(
    tmp_path: Path, text: str, line: int | None, column: int | None, message: str
) -> None:
    found = fault(tmp_path, text)
    assert found.message.startswith(message)
    assert (found.line, found.column) == (line, column)


def fault(tmp_path: Path, text: str) -> Fault:
    with pytest.raises(SpecError) as caught:
        spec.read(write(tmp_path / "w.toml", text))
    (found,) = caught.value.faults
    return found


def test_faults_have_places(tmp_path: Path) -> None:
    text = 'name = "x"\n[[jobs]]\nname = "a"\nzzzzzz = "b"\ndepends_on = ["b"]\n'
    checked = spec.check(spec.read(write(tmp_path / "w.toml", text)))
    assert [(fault.path, fault.line, fault.column) for fault in checked.faults] == [
        (("jobs", 0, "command"), 2, 1),
        (("jobs", 0, "zzzzzz"), 4, 1),
        (("jobs", 0, "depends_on", 0), 5, 15),
    ]
