"""What commands share: --url and --format, before or after their name; the store; a page."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slurmtorc.ports import Store
    from slurmtorc.settings import Settings


class State:
    """The command line's overrides, and what was opened because of them."""

    def __init__(self) -> None:
        self.overrides: dict[str, Any] = {}
        self._settings: Settings | None = None
        self._store: Store | None = None

    @property
    def settings(self) -> Settings:
        """Files, environment and command line together."""
        if self._settings is None:
            from slurmtorc.settings import load

            self._settings = load(**self.overrides)
        return self._settings

    @property
    def as_json(self) -> bool:
        """Whether standard output is to hold JSON alone."""
        return (self.overrides.get("format") or self.settings.format) == "json"

    @property
    def store(self) -> Store:
        """The store, opened at the first use; it must be there."""
        return self.open_store(create=False)

    def open_store(self, *, create: bool) -> Store:
        """The store; a SQLite file is made if `create` says so."""
        if self._store is None:
            from slurmtorc.wiring import open_store

            self._store = open_store(self.settings, create=create)
        return self._store

    def close(self) -> None:
        """Give back what was opened."""
        if self._store is not None:
            self._store.close()


pass_state = click.make_pass_decorator(State, ensure=True)


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None and param.name is not None:
        ctx.ensure_object(State).overrides[param.name] = value


SHARED_OPTIONS = (
    click.Option(
        ["--url"],
        metavar="URL",
        expose_value=False,
        callback=_remember,
        help="The store: sqlite:///PATH or postgresql://HOST/NAME "
        "[env: TORC_API_URL, TORC_STORE_URL; default: sqlite:///torc_output/torc.db]",
    ),
    click.Option(
        ["-f", "--format"],
        type=click.Choice(["table", "json"]),
        expose_value=False,
        callback=_remember,
        help="What standard output holds.  [default: table]",
    ),
)


_LARGEST = 2**63 - 1
ID = click.IntRange(1, _LARGEST)
"""An id of anything in a store."""

_PAGE_OPTIONS = (
    click.option("-l", "--limit", type=ID, default=10_000, show_default=True, help="Most rows."),
    click.option(
        "--offset",
        type=click.IntRange(0, _LARGEST),
        default=0,
        show_default=True,
        help="Rows to pass over.",
    ),
    click.option("--sort-by", default="id", show_default=True, help="A field of the records."),
    click.option("--reverse-sort", is_flag=True, help="The last first."),
)


def paged(command: Callable[..., object]) -> Callable[..., object]:
    """Let a command say which rows of a list it wants; it gets them as `page`."""

    @wraps(command)
    def with_page(
        *args: object, limit: int, offset: int, sort_by: str, reverse_sort: bool, **values: object
    ) -> object:
        from slurmtorc.ports import Page

        return command(*args, page=Page(offset, limit, sort_by, reverse_sort), **values)

    decorated: Callable[..., object] = with_options(_PAGE_OPTIONS)(with_page)
    return decorated


def with_options(options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """All these options, in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class TorcCommand(click.Command):
    """A command that takes the shared options after its name as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(SHARED_OPTIONS)


class TorcGroup(click.Group):
    """A group of such commands; some have a second name, which no list shows."""

    command_class = TorcCommand
    group_class = type
    aliases: Mapping[str, str] = {}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """By its name, or by its second one."""
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))
