"""The shape check's findings in the words of a user: what was found, and what to write.

Separate from the shape, because the sentences are ours and not the validator's. A message names
the value; the place is added later, only for files that have faults.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import InvalidValue
from slurmtorc.spec.faults import described, nearest, shown
from slurmtorc.units import format_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from pydantic import ValidationError

    from slurmtorc.spec.faults import Faults, Path

REFUSED = {
    "parameters_file": (
        "a table of parameters is not read: nothing in a workflow file reads other files",
        "write the columns as lists in `parameters`, with parameter_mode: zip",
    ),
    "slurm_config": (
        "`slurm_config` was removed from the format",
        "write its keys in `execution_config`",
    ),
    "srun_termination_signal": (
        "`srun_termination_signal` does not stand here",
        "write it in `execution_config`",
    ),
    "local_schedulers": (
        "`local_schedulers` is not part of the format",
        "leave it out: `torc run` takes --num-cpus, --memory-gb and --num-gpus",
    ),
}
"""Known keys that are not accepted: what is wrong with them, and what to do instead."""
REFUSED["use_parameters_file"] = REFUSED["parameters_file"]

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
}
_TEXT_EXAMPLES = {
    "runtime": 'write an ISO 8601 duration as text, as in "PT30M"',
    "walltime": 'write Slurm\'s time as text, as in "04:00:00"',
}
_BOOLEAN_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def complain(
    faults: Faults, path: Path, error: ValidationError, allowed: Callable[[Path], Collection[str]]
) -> None:
    """Add a fault for everything the shape check found in the value at `path`."""
    findings = error.errors(include_url=False)
    meant = set(_meant(findings, allowed))
    for finding in findings:
        if finding["loc"] in meant and finding["type"] == "missing":
            continue  # it is there, under a misspelt name
        place = (*path, *finding["loc"])
        if finding["type"] == "extra_forbidden":
            _unknown_key(faults, place, allowed(finding["loc"][:-1]))
        else:
            faults.error(place, *_sentence(finding))


def _meant(
    findings: Sequence[Any], allowed: Callable[[Path], Collection[str]]
) -> Iterator[tuple[int | str, ...]]:
    """Where the keys would stand that unknown ones look like."""
    for finding in findings:
        *above, key = finding["loc"]
        if finding["type"] == "extra_forbidden":
            near = nearest(str(key), allowed(tuple(above)))
            if near is not None:
                yield (*above, near)


def not_a_map(faults: Faults, path: Path, value: Any) -> None:
    """Add the fault for a section or an item of the wrong kind."""
    faults.error(path, f"{described(value)}, not a map", "write `key: value` pairs")


def not_a_list(faults: Faults, path: Path, value: Any) -> None:
    """Add the fault for a section that should be a list."""
    faults.error(path, f"{described(value)}, not a list", "write a list of maps")


def _unknown_key(faults: Faults, path: Path, allowed: Collection[str]) -> None:
    key = str(path[-1])
    if key in REFUSED:
        faults.error(path, *REFUSED[key])
    else:
        faults.unknown(path, f"unknown key {key!r}", key, allowed)


def _sentence(finding: Any) -> tuple[str, str]:
    """The message and the hint for one finding."""
    code, value = finding["type"], finding["input"]
    if code == "missing":
        return f"`{finding['loc'][-1]}` is missing", "it is required"
    if code in _WANTED:
        field = next((part for part in reversed(finding["loc"]) if isinstance(part, str)), "")
        wanted = _WANTED[code]
        return f"{described(value)}, not {wanted}", _remedy(wanted, field, value)
    if code == "value_error" and isinstance(finding["ctx"]["error"], InvalidValue):
        error = finding["ctx"]["error"]
        return error.problem, error.allowed
    return _bound(code, value, finding.get("ctx", {}), finding["msg"])


def _bound(code: str, value: Any, context: dict[str, Any], message: str) -> tuple[str, str]:
    """For values of the right type that are not allowed."""
    if code == "literal_error":
        return _not_a_word(value, context["expected"])
    if code == "greater_than_equal":
        return f"{shown(value)} is too small", f"write {context['ge']} or more"
    if code == "less_than_equal":
        return f"{shown(value)} is too large", f"write {context['le']} or less"
    if code == "string_pattern_mismatch":
        return _bad_text(value)
    return f"{shown(value)}: {message}", ""


def _not_a_word(value: Any, expected: str) -> tuple[str, str]:
    from difflib import get_close_matches  # noqa: PLC0415  only for files with faults

    words = [word for word in expected.split("'") if word.isidentifier() and word != "or"]
    near = get_close_matches(str(value).lower(), words, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{shown(value)} is not one of the known words", f"{guess}known: {', '.join(words)}"


def _bad_text(value: str) -> tuple[str, str]:
    if not value.strip():
        return f"{shown(value)} is empty", "write at least one character"
    if value != value.strip():
        return f"{shown(value)} begins or ends with white space", "leave it out"
    if value.isprintable():
        return f"{shown(value)} has a character that is not allowed", "use letters, digits and _.+-"
    return f"{shown(value)} has a line break or a control character", "write it on one line"


def _remedy(wanted: str, field: str, value: Any) -> str:
    if value is None:
        return f"write {wanted}, or leave the key out"
    if wanted == "text":
        return _as_text(field, value)
    if wanted == "a list":
        return f"write [{shown(value)}]" if isinstance(value, str | int) else ""
    if wanted == "true or false":
        return f"write {_BOOLEAN_WORDS.get(str(value).lower(), 'true or false')} without quotes"
    return _as_number(wanted, value)


def _as_text(field: str, value: Any) -> str:
    if isinstance(value, dict | list):
        return "write text in quotes"
    if field == "memory" and type(value) is int:
        return f'write it with its unit as text, as in "{format_memory(value * 1024**2)}"'
    return _TEXT_EXAMPLES.get(field) or f'put it in quotes: "{json.dumps(value).strip(chr(34))}"'


def _as_number(wanted: str, value: Any) -> str:
    if isinstance(value, str) and value.strip().isdigit():
        return f"write {value.strip()} without quotes"
    return f"write {wanted}" if wanted != "a map" else "write `key: value` pairs"
