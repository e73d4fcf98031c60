"""How a workflow is spelled in KDL's nodes, for the reader and the writer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slurmtorc.spec.shape import (
    ActionShape,
    DatasetShape,
    FileShape,
    HandlerShape,
    JobShape,
    RequirementShape,
    RuleShape,
    SchedulerShape,
    UserDataShape,
)
from slurmtorc.spec.top import SpecShape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slurmtorc.spec.fields import Shape


@dataclass(frozen=True)
class Section:
    """How one section of the file is spelled in nodes."""

    kind: type[Shape]
    """What its fields are; nodes of other names are left for the shape check to refuse."""
    items: Mapping[str, tuple[str, Section]] = field(default_factory=dict)
    """Node -> the list it is an entry of, and the section of its fields."""
    lists: Mapping[str, str] = field(default_factory=dict)
    """Node -> the list that takes its arguments. The first spelling of a list is written."""
    named: bool = True
    """Whether the node's argument is the entry's name."""


_PARAMETER_LISTS = {"use_parameters": "use_parameters", "use_parameter": "use_parameters"}
_JOB = Section(
    JobShape,
    lists={
        "depends_on": "depends_on",
        "depends_on_job": "depends_on",
        "depends_on_regexes": "depends_on_regexes",
        "depends_on_regex": "depends_on_regexes",
        **{
            node.format(way): f"{way}_{key}"
            for way in ("input", "output")
            for node, key in (
                ("{}_file", "files"),
                ("{}_files", "files"),
                ("{}_file_regexes", "file_regexes"),
                ("{}_file_regex", "file_regexes"),
                ("{}_user_data", "user_data"),
                ("{}_user_data_regexes", "user_data_regexes"),
                ("{}_user_data_regex", "user_data_regexes"),
                ("{}_dataset", "datasets"),
                ("{}_datasets", "datasets"),
            )
        },
        **_PARAMETER_LISTS,
    },
)
_RULE = Section(RuleShape, lists={"exit_codes": "exit_codes", "endings": "endings"}, named=False)
_ACTION = Section(
    ActionShape,
    lists={
        "job": "jobs",
        "jobs": "jobs",
        "job_name_regexes": "job_name_regexes",
        "job_name_regex": "job_name_regexes",
        "job_name_patterns": "job_name_patterns",
        "command": "commands",
        "commands": "commands",
    },
    named=False,
)
TOP = Section(
    SpecShape,
    items={
        "job": ("jobs", _JOB),
        "file": ("files", Section(FileShape, lists=_PARAMETER_LISTS)),
        "user_data": ("user_data", Section(UserDataShape, lists=_PARAMETER_LISTS)),
        "dataset": ("datasets", Section(DatasetShape)),
        "resource_requirements": ("resource_requirements", Section(RequirementShape)),
        "failure_handler": (
            "failure_handlers",
            Section(HandlerShape, items={"rule": ("rules", _RULE)}),
        ),
        "slurm_scheduler": ("slurm_schedulers", Section(SchedulerShape)),
        "action": ("actions", _ACTION),
    },
    lists={"access_groups": "access_groups", "access_group": "access_groups"},
)
SPELLING = {key: node for node, (key, _) in TOP.items.items()}
"""Section -> what one of its entries is called, for messages."""
MAPS = frozenset(
    {
        "parameters", "variables", "env", "metadata", "slurm_defaults", "resource_monitor",
        "execution_config", "dynamic_jobs", "stdio",
    }
)  # fmt: skip
"""Keys whose value is a map, so that a node without entries is an empty one."""
