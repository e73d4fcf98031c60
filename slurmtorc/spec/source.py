"""Reading a workflow file: from a name to one plain tree, or one clear error.

The only part of the package that touches files. Nothing that a file says can make it read
another one or run anything.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import SpecError
from slurmtorc.spec.faults import malformed
from slurmtorc.spec.sound import require_sound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import BinaryIO

    from slurmtorc.spec.faults import Path

STDIN = "-"
SUFFIXES = {
    ".yaml": "yaml",
    ".yml": "yaml",
    ".json": "json",
    ".json5": "json5",
    ".toml": "toml",
    ".kdl": "kdl",
}
MIB = 1024**2
LIMITS = {
    "yaml": 512 * MIB,
    "json": 512 * MIB,
    "json5": 512 * MIB,
    "toml": 64 * MIB,
    "kdl": 16 * MIB,
}
"""Bytes; the parsers of TOML and KDL are slower, or need more memory, than those of the others."""
_MODULES = {
    "yaml": ("yaml", "parse"),
    "json": ("jsons", "parse_json"),
    "json5": ("jsons", "parse_json5"),
    "toml": ("toml", "parse"),
    "kdl": ("kdl", "parse"),
}
_SIBLINGS = 1000


@dataclass(frozen=True, slots=True)
class Source:
    """A workflow file, read but not checked."""

    name: str
    """As the user gave it; '-' for standard input."""
    format: str
    text: str
    tree: dict[str, Any]
    """Only dicts, lists, text, numbers, booleans and None."""


def read(path: str) -> Source:
    """Read a file, or standard input for '-'. Raises SpecError."""
    if path == STDIN:
        return _from_text(path, "", _decoded(path, _read(path, sys.stdin.buffer, "yaml")))
    form = _format(path)
    try:
        with File(path).open("rb") as stream:
            data = _read(path, stream, form)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _unreadable(path, error) from None
    return _from_text(path, form, _decoded(path, data))


def locate(source: Source, wanted: Collection[Path]) -> dict[Path, tuple[int, int]]:
    """Line and column of the wanted paths, or of the nearest thing around them that is there.

    A second pass over the text, for files that have faults.
    """
    if not wanted:
        return {}
    around = {path[:length] for path in wanted for length in range(1, len(path) + 1)}
    module, _ = _MODULES[source.format]
    places = import_module(f"slurmtorc.spec.{module}").locate(source.text, around)
    found = {}
    for path in wanted:
        longest = next((n for n in range(len(path), 0, -1) if path[:n] in places), 0)
        if longest:
            found[path] = places[path[:longest]]
    return found


@contextmanager
def collector_off() -> Iterator[None]:
    """Without the cyclic garbage collector: millions of new values, none of them garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _format(path: str) -> str:
    file = File(path)
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if not file.exists():
        raise _unreadable(path, FileNotFoundError(errno.ENOENT, ""))
    if file.is_dir():
        raise _unreadable(path, IsADirectoryError(errno.EISDIR, ""))
    what = f"files of type {suffix!r} are not read" if suffix else "the file's name has no suffix"
    raise malformed(path, what, hint=f"known: {' '.join(SUFFIXES)}")


def _unreadable(path: str, error: OSError | ValueError) -> SpecError:
    if isinstance(error, FileNotFoundError):
        near = _sibling(path)
        return malformed(
            path, "there is no such file", hint=f"did you mean {near}?" if near else ""
        )
    if isinstance(error, IsADirectoryError):
        return malformed(path, "this is a directory", hint="name the workflow file in it")
    return malformed(
        path, f"cannot be read: {(getattr(error, 'strerror', None) or str(error)).lower()}"
    )


def _sibling(path: str) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415  only for files that are not there

    file = File(path)
    try:
        with os.scandir(file.parent) as entries:
            known = [e.name for e, _ in zip(entries, range(_SIBLINGS), strict=False)]
    except (OSError, ValueError):
        return None
    stems = {File(name).stem: name for name in known if File(name).suffix.lower() in SUFFIXES}
    near = get_close_matches(file.stem, stems, n=1, cutoff=0.7)
    return str(file.with_name(stems[near[0]])) if near else None


def _read(path: str, stream: BinaryIO, form: str) -> bytes:
    limit = LIMITS[form]
    data = stream.read(limit + 1) if _size(stream) <= limit else None
    if data is None or len(data) > limit:
        message = f"larger than {limit // MIB} MiB, the limit for {form.upper()}"
        raise malformed(path, message, hint="use parameters, or split the workflow")
    return data


def _size(stream: BinaryIO) -> int:
    """What is known of the size before reading; a pipe's is not."""
    try:
        return os.fstat(stream.fileno()).st_size
    except OSError:
        return 0


def _decoded(path: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start}"
        raise malformed(path, message, (line, 1)) from None
    if not text.strip():
        raise malformed(path, "the file is empty", hint="write at least `name` and `jobs`")
    return text


def _from_text(name: str, form: str, text: str) -> Source:
    with collector_off():
        if not form:
            form, tree = _guessed(name, text)
        else:
            tree = _parser(form)(text, name)
        if tree is None:
            raise malformed(name, "the file is empty", hint="write at least `name` and `jobs`")
        try:
            require_sound(tree, name, escapes="\\" in text)
        except SpecError as error:
            raise _placed(error, Source(name, form, text, {})) from None
    return Source(name, form, text, tree)


def _guessed(name: str, text: str) -> tuple[str, Any]:
    """Standard input: JSON if it is JSON, else YAML."""
    if not text.lstrip().startswith("{"):
        return "yaml", _parser("yaml")(text, name)
    try:
        return "json", _parser("json")(text, name)
    except SpecError as error:
        try:
            return "yaml", _parser("yaml")(text, name)
        except SpecError:
            raise error from None


def _parser(form: str) -> Callable[[str, str], Any]:
    module, function = _MODULES[form]
    parser: Callable[[str, str], Any] = getattr(import_module(f"slurmtorc.spec.{module}"), function)
    return parser


def _placed(error: SpecError, source: Source) -> SpecError:
    """The same error with the place of its path."""
    fault = error.faults[0]
    place = locate(source, {fault.path}).get(fault.path) if fault.path else None
    return malformed(source.name, fault.message, place, path=fault.path, hint=fault.hint)
