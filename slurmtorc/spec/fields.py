"""The types of values in a workflow file, and what all its sections share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from slurmtorc.errors import InvalidValue
from slurmtorc.units import parse_duration, parse_memory, parse_walltime


def _memory(text: str) -> str:
    if not parse_memory(text):
        raise InvalidValue(f"memory {text!r} is none", allowed="write what a job needs, as in 512m")
    return text


def _runtime(text: str) -> str:
    if not parse_duration(text):
        raise InvalidValue(f"runtime {text!r} is none", allowed="write at least PT1S")
    return text


def _command(text: str) -> str:
    if not text.strip():
        raise InvalidValue(f"command {text!r} runs nothing", allowed="write what to run, or `true`")
    return text


def _walltime(text: str) -> str:
    parse_walltime(text)
    return text


_INT32_MAX = 2**31 - 1
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")]
"""Text for names and Slurm's options: not empty, and without control characters."""
Count = Annotated[int, Field(ge=0, le=_INT32_MAX)]
Positive = Annotated[int, Field(ge=1, le=_INT32_MAX)]
Whole = Annotated[int, Field(ge=-_INT32_MAX, le=_INT32_MAX)]
Memory = Annotated[str, AfterValidator(_memory), Field(examples=["512m", "8g"])]
Runtime = Annotated[str, AfterValidator(_runtime), Field(examples=["PT30M", "P1DT12H"])]
Command = Annotated[str, AfterValidator(_command)]
Walltime = Annotated[str, AfterValidator(_walltime), Field(examples=["04:00:00", "1-12:00:00"])]
Names = list[Line]
Parameters = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {
                "type": ["string", "number", "boolean", "array"],
                "items": {"type": ["string", "number", "boolean"]},
            },
        }
    ),
]
"""Values are read by parameters.py, which can say more about them than a type can."""


class Shape(BaseModel):
    """What all sections share: no coercion, and no unknown key."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        defer_build=True,
        use_attribute_docstrings=True,
    )
