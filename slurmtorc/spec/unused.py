"""Keys that are accepted and kept, but on which nothing acts yet. They are listed, never dropped.

When something comes to act on a key, its row goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def _given(value: Any) -> bool:
    return value is not None


def _true(value: Any) -> bool:
    return value is True


def _false(value: Any) -> bool:
    return value is False


def _unheard_monitoring(value: Any) -> bool:
    """Jobs are always measured, and only their peaks and means are kept."""
    if not isinstance(value, dict):
        return False
    return value.get("granularity") == "time_series" or value.get("enabled") is False


_TOP: Mapping[str, Callable[[Any], bool]] = {
    "user": _given,
    "dynamic_jobs": _given,
    "enable_ro_crate": _true,
    "access_groups": bool,
    "datasets": bool,
    "jobs_sort_method": _given,
    "compute_node_expiration_buffer_seconds": _given,
    "compute_node_min_time_for_new_jobs_seconds": _given,
    "compute_node_ignore_workflow_completion": _true,
}
"""Top-level key -> whether a value asks for something that is not done."""

_INSIDE: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "execution_config": {
        "srun_mpi": _given,
    },
    "resource_monitor": {
        "generate_plots": _true,
        "granularity": lambda value: value == "time_series",
        "enabled": _false,
        "jobs": _unheard_monitoring,
        "compute_node": _given,
        "flush_interval_seconds": _given,
    },
}
"""The same for keys of one map."""

_ITEMS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "jobs": {
        "supports_termination": _true,
        "label": _given,
        "input_datasets": bool,
        "output_datasets": bool,
    },
    "files": {"identifier": _given},
    "user_data": {"is_ephemeral": _true},
    "slurm_schedulers": {"serialize_allocations": _true},
}
"""The same for keys of every entry of a list."""

_WORDS = {"user_data": "user data", "slurm_schedulers": "schedulers"}


def unused(tree: Mapping[str, Any]) -> list[str]:
    """The paths of such keys in a file, each once; those of many entries with their number."""
    return [*_top(tree), *_inside(tree), *_items(tree)]


def _top(tree: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key, asks in _TOP.items() if asks(tree.get(key)))


def _inside(tree: Mapping[str, Any]) -> Iterator[str]:
    for section, keys in _INSIDE.items():
        found = tree.get(section)
        if isinstance(found, dict):
            yield from (f"{section}.{key}" for key, asks in keys.items() if asks(found.get(key)))


def _items(tree: Mapping[str, Any]) -> Iterator[str]:
    for section, keys in _ITEMS.items():
        entries = _maps(tree, section)
        for key, asks in keys.items():
            at = [index for index, entry in entries if asks(entry.get(key))]
            if at:
                yield _listed(section, f".{key}", at)


def _maps(tree: Mapping[str, Any], section: str) -> list[tuple[int, dict[str, Any]]]:
    """The entries of a list that are maps, as they should be."""
    found = tree.get(section)
    entries = enumerate(found) if isinstance(found, list) else ()
    return [(index, entry) for index, entry in entries if isinstance(entry, dict)]


def _listed(section: str, key: str, at: list[int]) -> str:
    if len(at) == 1:
        return f"{section}[{at[0]}]{key}"
    return f"{section}[]{key} ({len(at):,} {_WORDS.get(section, section)})"
