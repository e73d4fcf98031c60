"""Manners of the whole house: what every command, option and error owes its readers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click
import pytest

import slurmtorc
from slurmtorc import errors
from slurmtorc.cli import COMMANDS, torc

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """(full name, command) of everything that can be called."""
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                yield from commands(command, *path, name)
            else:
                yield " ".join((*path, name)), command


@pytest.mark.parametrize(("name", "command"), list(commands(torc, "torc")))
def test_every_command_has_help_with_an_example(name: str, command: click.Command) -> None:
    assert command.help
    shown = command.help.partition("Example: torc ")[2].splitlines()[0]
    assert name.rsplit(maxsplit=1)[-1] in shown.split()
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{option.name} says nothing of itself"


def test_the_table_of_commands_says_what_they_say_of_themselves() -> None:
    with click.Context(torc) as context:
        for name, (_, said) in COMMANDS.items():
            command = torc.get_command(context, name)
            assert command is not None
            assert (command.help or "").splitlines()[0] == said


def test_every_error_has_its_place_in_the_tree_and_an_exit_status() -> None:
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, errors.TorcError):
            assert name in (errors.__doc__ or ""), f"{name} is not drawn"
            assert error.exit_code in {1, 2, 3, 4, 5}


def test_the_public_names_are_sorted_and_exist() -> None:
    assert sorted(slurmtorc.__all__) == slurmtorc.__all__
    assert all(hasattr(slurmtorc, name) for name in slurmtorc.__all__)
