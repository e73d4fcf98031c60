"""What the user configured: files, environment and command line, as one frozen object.

Precedence, lowest first: built-in defaults, /etc/torc/config.toml, ~/.config/torc/config.toml,
./torc.toml, environment (TORC_STORE_URL, TORC_API_URL, TORC_<SECTION>__<KEY>), command line.
Keys of torc's own configuration that this program does not use are left alone.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slurmtorc.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_URL = "sqlite:///torc_output/torc.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with its default."""

    url: str = DEFAULT_URL
    format: str = "table"
    output_dir: str = "torc_output"
    max_parallel_jobs: int | None = None
    num_cpus: int | None = None
    memory_gb: float | None = None
    num_gpus: int | None = None
    slurm_backend: str = "cli"
    """What Slurm is asked by: cli (its programs) or pyslurm (its library)."""
    slurm_rate: float = 1.0
    """Slurm commands per second that all of this process may start, in the long run."""
    slurm_burst: int = 10
    """Slurm commands that may start at once."""
    slurm_timeout: float = 60.0
    """Seconds after which a Slurm command is given up."""
    keep_events: int = 1_000_000
    """The newest events of each workflow that are kept; 0 is all."""
    keep_event_days: float = 180.0
    """Days after which events go; 0 is never."""
    keep_results_runs: int = 20
    """The newest runs of each workflow whose results are kept; 0 is all."""


_KEYS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "client.api_url": ("url", (str,)),
    "client.format": ("format", (str,)),
    "client.run.output_dir": ("output_dir", (str,)),
    "client.run.max_parallel_jobs": ("max_parallel_jobs", (int,)),
    "client.run.num_cpus": ("num_cpus", (int,)),
    "client.run.memory_gb": ("memory_gb", (int, float)),
    "client.run.num_gpus": ("num_gpus", (int,)),
    "store.url": ("url", (str,)),
    "store.keep_events": ("keep_events", (int,)),
    "store.keep_event_days": ("keep_event_days", (int, float)),
    "store.keep_results_runs": ("keep_results_runs", (int,)),
    "slurm.backend": ("slurm_backend", (str,)),
    "slurm.rate": ("slurm_rate", (int, float)),
    "slurm.burst": ("slurm_burst", (int,)),
    "slurm.timeout": ("slurm_timeout", (int, float)),
}
"""Configuration key -> field, and what a file may hold there. Environment values are text."""

_FORMS = {str: "write text", int: "write a whole number", float: "write a number"}


def load(environ: Mapping[str, str] | None = None, **command_line: Any) -> Settings:
    """Settings for this process. Options of the command line that are None were not given."""
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for path in _files(env):
        values.update(_from_file(path))
    values.update(_from_environment(env))
    values.update({name: value for name, value in command_line.items() if value is not None})
    return _checked(replace(Settings(), **values))


def _files(env: Mapping[str, str]) -> Iterator[Path]:
    home = env.get("XDG_CONFIG_HOME") or os.path.join(env.get("HOME", "/"), ".config")  # noqa: PTH118
    yield Path("/etc/torc/config.toml")
    yield Path(home) / "torc" / "config.toml"
    yield Path("torc.toml")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} cannot be read: {error}") from error
    import tomllib  # noqa: PLC0415  most have no such file

    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"{path} is not TOML: {error}") from error
    values = {}
    for key, value in _flat(tree):
        if key in _KEYS:
            name, types = _KEYS[key]
            if not isinstance(value, types) or isinstance(value, bool):
                raise InvalidValue(f"{path}: {key} is {value!r}", allowed=_FORMS[types[-1]])
            values[name] = value
    return values


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, (name, types) in _KEYS.items():
        variable = "TORC_" + key.upper().replace(".", "__")
        if env.get(variable):
            values[name] = _converted(variable, env[variable], types[-1])
    for variable in ("TORC_STORE_URL", "TORC_API_URL"):  # the later one wins
        if env.get(variable):
            values["url"] = env[variable]
    return values


def _converted(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise InvalidValue(f"{name} is {text!r}", allowed=_FORMS[kind]) from None


def _checked(settings: Settings) -> Settings:
    if settings.format not in {"table", "json"}:
        raise InvalidValue(f"format is {settings.format!r}", allowed="write table or json")
    if settings.slurm_backend not in {"cli", "pyslurm"}:
        raise InvalidValue(
            f"slurm.backend is {settings.slurm_backend!r}", allowed="write cli or pyslurm"
        )
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, int | float) and not 0 <= value < math.inf:
            key = next((key for key, (name, _) in _KEYS.items() if name == field.name), field.name)
            raise InvalidValue(f"{key} is {value}", allowed="write a number of 0 or more")
    if settings.slurm_rate == 0 or settings.slurm_burst == 0:
        raise InvalidValue("slurm.rate and slurm.burst must be more than 0")
    return settings
