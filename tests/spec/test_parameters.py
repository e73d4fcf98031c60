from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import check, draft, job, only_error

from slurmtorc.errors import InvalidValue
from slurmtorc.spec.parameters import MAX_COPIES, axes, values
from slurmtorc.spec.placeholders import formatted, plain

GRAMMAR: list[tuple[Any, list[Any]]] = [
    ("1:5", [1, 2, 3, 4, 5]),
    ("3:3", [3]),
    ("0:10:5", [0, 5, 10]),
    ("0:10:4", [0, 4, 8]),
    ("5:1:-2", [5, 3, 1]),
    ("-2:1", [-2, -1, 0, 1]),
    ("+1:+2", [1, 2]),
    (" 1 : 3 ", [1, 2, 3]),
    ("1:20", list(range(1, 21))),
    ("0:1:0.25", [0.0, 0.25, 0.5, 0.75, 1.0]),
    ("0:1:0.3", [0.0, 0.3, 0.6, 0.9]),
    ("0:0.5:0.1", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
    ("1.5:3", [1.5, 2.5]),
    ("1:0:-0.5", [1.0, 0.5, 0.0]),
    ("1e-3:3e-3:1e-3", [0.001, 0.002, 0.003]),
    ("0.0001:0.01:10", [0.0001]),
    ("{1:3}", [1, 2, 3]),
    ("{ x }", ["x"]),
    ("{[a,b]}", ["a", "b"]),
    ("[a, b,c]", ["a", "b", "c"]),
    ("[1, 2.5, x, 007, '007', \"1\"]", [1, 2.5, "x", 7, "007", "1"]),
    ("['a,b', \"c, d\"]", ["a,b", "c, d"]),
    ("[it's, ok]", ["it's", "ok"]),
    ("['']", [""]),
    ("[a:b, http://x]", ["a:b", "http://x"]),
    ("42", [42]),
    (" 42 ", [42]),
    ("2.50", [2.5]),
    ("5.", [5.0]),
    (".5", [0.5]),
    ("1e5", [100000.0]),
    ("1e999", ["1e999"]),
    ("inf", ["inf"]),
    ("1_000", ["1_000"]),
    ("0x10", ["0x10"]),
    ("text", ["text"]),
    ("", [""]),
    (7, [7]),
    (2.5, [2.5]),
    (True, [True]),
    (["north", "1:3", 5, 1.5, False], ["north", "1:3", 5, 1.5, False]),
]


@pytest.mark.parametrize(("written", "expected"), GRAMMAR)
def test_a_notation_has_its_values(written: Any, expected: list[Any]) -> None:
    found = list(values(written))
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


FAULTS: list[tuple[Any, str, str]] = [
    ("5:1", '"5:1" gives no values: the step goes the wrong way', "write 5:1:-1"),
    ("1:5:-1", "the step goes the wrong way", "write 1:5:1"),
    ("1.5:1", "the step goes the wrong way", "write 1.5:1:-1"),
    ("1:5:0", 'the step of "1:5:0" is 0', "write a step that moves"),
    ("0:1:0.0", "is 0", "write a step that moves"),
    (
        "http://x",
        '"http://x" is not a range of numbers',
        'text with a colon needs a list: ["http://x"]',
    ),
    ("C:\\data", "is not a range of numbers", "text with a colon needs a list"),
    ("1:2:3:4", "is not a range of numbers", "write start:end or start:end:step"),
    ("1:inf", "is not a range of numbers", "write start:end"),
    ("1:9e999", "is not a range of numbers", "write start:end"),
    ("@values.txt", '"@values.txt" would read a file', "write the values as a list"),
    ("{a,b}", '"{a,b}" is not understood', "write [a,b]"),
    ("[]", '"[]" gives no values', "write at least one"),
    ("[ ]", "gives no values", "write at least one"),
    ([], "[] gives no values", "write at least one"),
    ("[a,]", 'an entry of "[a,]" is empty', "write '' for empty text"),
    ("[a,,b]", "is empty", "write ''"),
    (None, "the value is null", "write text, a number or a list"),
    ({"a": 1}, '{"a": 1} is a map', "write text, a number or a list"),
    (["a", None], "entry 2 of the list is null", "write text, numbers, true or false"),
    ([["a"]], "entry 1 of the list is a list", "write text, numbers, true or false"),
    ("1:99999999999", "has more values than a workflow can have", "the limit is 10,000,000"),
    ("0:1:1e-300", "has more values than a workflow can have", "the limit is 10,000,000"),
]


@pytest.mark.parametrize(("written", "problem", "remedy"), FAULTS)
def test_a_notation_that_is_none_is_told_with_a_remedy(
    written: Any, problem: str, remedy: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        values(written)
    assert problem in caught.value.problem
    assert remedy in caught.value.allowed


@given(st.integers(-50, 50), st.integers(1, 40), st.integers(1, 999), st.integers(1, 4))
def test_float_ranges_go_in_exact_decimal_steps(
    start: int, count: int, step: int, digits: int
) -> None:
    unit = Decimal(1).scaleb(-digits)
    first, width = Decimal(start) * unit, Decimal(step) * unit
    found = values(f"{first:f}:{first + width * count:f}:{width:f}")
    assert [Decimal(plain(value)) for value in found] == [
        first + width * index for index in range(count + 1)
    ]


WRITTEN: list[tuple[Any, str | None, str | None]] = [
    (7, None, "7"),
    (7, "03d", "007"),
    (-7, "03d", "-07"),
    (7, "3", "  7"),
    (7, ".2f", "7.00"),
    (255, "x", "ff"),
    (1.0, None, "1"),
    (0.1, None, "0.1"),
    (1e-5, None, "0.00001"),
    (1e21, None, "1000000000000000000000"),
    (123456.789, None, "123456.789"),
    (0.123456, ".4f", "0.1235"),
    (1.5, "06.2f", "001.50"),
    (1500.0, ".1e", "1.5e+03"),
    (True, None, "true"),
    (False, None, "false"),
    ("5", None, "5"),
    ("ab", ">4", "  ab"),
    (1.5, "03d", None),
    ("5", "03d", None),
    ("5", ".2f", None),
    (True, "d", None),
    (5, "s", None),
    (5, ".2", None),
    (5, "c", None),
    (5, "03 d", None),
    (5, "{", None),
    (5, "0999999999d", None),
    (5, "!r", None),
    ("x", "=5", None),
]


@pytest.mark.parametrize(("value", "spec", "expected"), WRITTEN)
def test_a_value_is_written_by_its_format(value: Any, spec: str | None, expected: Any) -> None:
    assert formatted(value, spec) == expected


VALUES = st.lists(
    st.one_of(st.integers(-9, 99), st.sampled_from(["a", "b{i}", "100%", "", "%s"])),
    min_size=1,
    max_size=4,
)
PIECES = st.lists(
    st.one_of(
        st.sampled_from(["{i}", "{j}", "{k}", "${i}", "{i:}", "%", "%s", "{", "}", "{}", " x "])
    ),
    max_size=6,
)


@given(st.dictionaries(st.sampled_from("ijk"), VALUES, min_size=1), PIECES)
def test_copies_are_all_combinations_in_order_of_declaration_the_last_key_fastest(
    given_values: dict[str, list[Any]], pieces: list[str]
) -> None:
    found = axes(given_values, zipped=False)
    rows = [dict(zip(given_values, row, strict=True)) for row in product(*given_values.values())]
    text = "".join(pieces)
    expected = [_substituted(text, row) for row in rows]
    assert found.count == len(rows)
    filled = found.fill(text)
    assert [next(filled) for _ in rows] == expected
    nested = found.fill_all({"x": [text, 1, None], "{i}": {"y": text}})
    assert [next(nested) for _ in rows] == [{"x": [t, 1, None], "{i}": {"y": t}} for t in expected]


def _substituted(text: str, row: dict[str, Any]) -> str:
    """One pass from left to right, by hand."""
    out, at = "", 0
    while at < len(text):
        name = next(
            (n for n in row for f in (f"{{{n}}}", f"{{{n}:}}") if text.startswith(f, at)), None
        )
        if name is None or text[at - 1 : at] == "$":
            out, at = out + text[at], at + 1
        else:
            out, at = out + plain(row[name]), text.index("}", at) + 1
    return out


def test_zip_takes_the_first_with_the_first_and_so_on() -> None:
    found = draft(
        {
            "jobs": [
                job(
                    "{a}_{b}",
                    "x {b} {a}",
                    parameters={"a": "1:3", "b": ["p", "q", "r"]},
                    parameter_mode="zip",
                )
            ]
        }
    )
    assert [(j.name, j.command) for j in found.jobs] == [
        ("1_p", "x p 1"),
        ("2_q", "x q 2"),
        ("3_r", "x r 3"),
    ]


def test_zip_of_unequal_lengths_names_the_lengths() -> None:
    with pytest.raises(InvalidValue, match="a has 3, b has 2"):
        axes({"a": (1, 2, 3), "b": (1, 2)}, zipped=True)


def test_more_copies_than_the_limit_are_refused_before_they_are_made() -> None:
    with pytest.raises(InvalidValue, match="make 16,000,000 copies"):
        axes({"a": range(4000), "b": range(4000)}, zipped=False)
    jobs = [job(f"{n}_{{i}}", parameters={"i": f"1:{MAX_COPIES // 2 + 1}"}) for n in range(2)]
    fault = only_error({"jobs": jobs})
    assert fault.message == "the workflow has 10,000,002 jobs, files and user data"


def test_an_empty_map_of_parameters_makes_one_copy() -> None:
    found = draft({"parameters": {"i": "1:3"}, "jobs": [job(parameters={})]})
    assert [j.name for j in found.jobs] == ["a"]


def test_used_parameters_are_combined_in_the_order_of_the_workflow() -> None:
    found = draft(
        {
            "parameters": {"x": [1, 2], "y": "[a, b]", "z": "9"},
            "jobs": [job("{x}{y}", use_parameters=["y", "x"])],
        }
    )
    assert [j.name for j in found.jobs] == ["1a", "1b", "2a", "2b"]


def test_parameters_of_an_item_are_used_alone_and_a_warning_says_so() -> None:
    tree = {
        "parameters": {"x": "1:3"},
        "jobs": [job("j{y}", parameters={"y": "1:2"}, use_parameters=["x"])],
    }
    assert [j.name for j in draft(tree).jobs] == ["j1", "j2"]
    (fault,) = check(tree).faults
    assert fault.warning
    assert fault.path == ("jobs", 0, "use_parameters")


ITEM_FAULTS: list[tuple[dict[str, Any], tuple[str | int, ...], str, str]] = [
    (
        {"jobs": [job("a{i}", use_parameters=["j"])], "parameters": {"i": 1, "jj": 2}},
        ("jobs", 0, "use_parameters", 0),
        "the workflow has no parameter 'j'",
        "did you mean 'jj'?",
    ),
    (
        {"jobs": [job("a{i}", use_parameters=["i"])]},
        ("jobs", 0, "use_parameters", 0),
        "the workflow has no parameter 'i'",
        "",
    ),
    (
        {"jobs": [job("a{i}", parameters={"i": "1:2"}, parameter_mode="Zip")]},
        ("jobs", 0, "parameter_mode"),
        '"Zip" is not one of the known words',
        "did you mean 'zip'? known: product, zip",
    ),
    (
        {"jobs": [job("a{i}{k}", parameters={"i": "1:3", "k": "1:2"}, parameter_mode="zip")]},
        ("jobs", 0, "parameters"),
        "parameter_mode zip needs as many values of each: i has 3, k has 2",
        "give all the same number",
    ),
    (
        {"jobs": [job("a{i}", parameters={"i": "3:1"})]},
        ("jobs", 0, "parameters", "i"),
        '"3:1" gives no values: the step goes the wrong way',
        "write 3:1:-1",
    ),
    (
        {"jobs": [job("a", parameters={"1i": "3"})]},
        ("jobs", 0, "parameters", "1i"),
        "'1i' is no name for a parameter",
        "begin with a letter",
    ),
    (
        {"parameters": {"i": "@f"}},
        ("parameters", "i"),
        '"@f" would read a file, which a workflow file cannot do',
        "write the values as a list",
    ),
    (
        {"jobs": [job(parameters_file="sweep.csv")]},
        ("jobs", 0, "parameters_file"),
        "a table of parameters is not read",
        "parameter_mode: zip",
    ),
    (
        {"files": [{"name": "f", "path": "p", "use_parameters_file": True}]},
        ("files", 0, "use_parameters_file"),
        "a table of parameters is not read",
        "parameter_mode: zip",
    ),
    (
        {"parameters_file": "sweep.csv"},
        ("parameters_file",),
        "a table of parameters is not read",
        "parameter_mode: zip",
    ),
]


@pytest.mark.parametrize(("tree", "path", "message", "hint"), ITEM_FAULTS)
def test_a_fault_of_parameters_stands_at_its_place(
    tree: dict[str, Any], path: tuple[str | int, ...], message: str, hint: str
) -> None:
    fault = only_error(tree)
    assert fault.path == path
    assert fault.message.startswith(message)
    assert hint in fault.hint


def test_parameters_reach_into_every_text_that_names_something() -> None:
    tree = {
        "parameters": {"i": "7"},
        "resource_requirements": [{"name": "r7", "num_cpus": 1, "memory": "1g"}],
        "slurm_schedulers": [{"name": "s7", "account": "a"}],
        "datasets": [{"name": "d7", "path": "p"}],
        "files": [
            {"name": "f{i}", "path": "p{i:02d}", "identifier": "x{i}", "use_parameters": ["i"]}
        ],
        "user_data": [
            {"name": "u{i}", "data": {"{i}": ["{i}", 1]}, "use_parameters": ["i"]},
        ],
        "jobs": [
            job("b7"),
            job(
                "a{i}",
                "run {i:03d}",
                invocation_script="with {i}",
                env={"I": "{i}", "J": "j"},
                label="l{i}",
                resource_requirements="r{i}",
                scheduler="s{i}",
                depends_on=["b{i}"],
                depends_on_regexes=["^b{i}$"],
                input_files=["f{i}"],
                input_file_regexes=["f{i}"],
                output_user_data=["u{i}"],
                output_user_data_regexes=["u{i}"],
                input_datasets=["d{i}"],
                use_parameters=["i"],
            ),
        ],
    }
    found = draft(tree)
    a = found.jobs[1]
    assert (a.name, a.command, a.invocation_script) == ("a7", "run 007", "with 7")
    assert a.env == {"I": "7", "J": "j"}
    assert (a.requirement, a.scheduler) == (0, 0)
    assert (a.depends_on, a.input_files, a.output_user_data) == ((0,), (0,), (0,))
    assert (found.files[0].name, found.files[0].path) == ("f7", "p07")
    assert (found.user_data[0].name, found.user_data[0].data) == ("u7", {"{i}": ["7", 1]})


def test_the_environment_of_the_workflow_takes_parameters_of_one_value() -> None:
    tree = {
        "parameters": {"one": [5], "many": "1:3", "listed": ["a", "b"]},
        "env": {"A": "{one:02d}", "B": "{many}", "C": "${one}"},
    }
    assert draft(tree).workflow.env == {"A": "05", "B": "1:3", "C": "${one}"}


def test_fifty_thousand_copies_are_made_and_share_what_is_the_same() -> None:
    found = draft(
        {
            "jobs": [
                job("{i}", "run {i}", parameters={"i": "1:50000"}, env={"A": "b"}),
                job("after {i}", "run", parameters={"i": "1:50000"}, depends_on=["{i}"]),
            ]
        }
    )
    assert len(found.jobs) == 100_000
    assert found.jobs[49_999].command == "run 50000"
    assert found.jobs[99_999].depends_on == (49_999,)
    assert found.jobs[0].env is found.jobs[49_999].env
    assert found.jobs[50_000].command is found.jobs[99_999].command
