"""Statements of the hot path: compiled once for each kind of database, then the driver's alone.

SQLAlchemy's own way from a statement to the driver costs ten times what SQLite needs to execute
it. A worker whose jobs take milliseconds executes a dozen statements for each of them, so those
are written as all others, compiled by SQLAlchemy when they are first used, and from then on given
to the driver as text. They take part in the connection's transaction like any other.
"""

from __future__ import annotations

import json
from collections import namedtuple
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Boolean, TypeDecorator, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.expression import UpdateBase
    from sqlalchemy.sql.selectable import Select

_CONVERTED = (JSON, Boolean, TypeDecorator)
"""Types that are not the same in Python and in the drivers."""


class Prepared:
    """One statement. Its rows come back as named tuples."""

    def __init__(
        self,
        statement: Select[*tuple[Any, ...]] | UpdateBase | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        """`texts`: one for each kind of database, where they have no words in common."""
        self._statement = statement
        self._texts = texts or {}
        self._forms: dict[str, _Form] = {}

    def __call__(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Execute it; its rows, if it gives any."""
        form = self._form(connection)
        if form.dialect == "postgresql":
            from slurmtorc.store import postgres_wire  # noqa: PLC0415  an extra

            return form.rows(postgres_wire.execute(connection, form.text, form.bound(values)))
        cursor: Any = connection.connection.cursor()
        cursor.execute(form.text, form.bound(values))
        rows = form.rows(cursor.fetchall()) if form.gives_rows else []
        cursor.close()
        return rows

    def _form(self, connection: Connection) -> _Form:
        name = connection.dialect.name
        form = self._forms.get(name)
        if form is None:
            statement = text(self._texts[name]) if self._statement is None else self._statement
            form = self._forms[name] = _Form(statement, connection.dialect)
        return form


class Inserted:
    """Rows of one table, as tuples of some of its columns; the others get their defaults.

    One statement on Postgres, where each would be a message there and back; SQLite has no way
    that is faster than row by row.
    """

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        self._table, self._names = table, names
        self._texts: dict[str, str] = {}

    def __call__(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert them in this order."""
        name = connection.dialect.name
        if name not in self._texts:
            self._texts[name] = self._text(connection.dialect)
        if name == "postgresql":
            from slurmtorc.store import postgres_wire  # noqa: PLC0415  an extra

            named = [dict(zip(self._names, row, strict=True)) for row in rows]
            postgres_wire.execute(connection, self._texts[name], [json.dumps(named)])
            return
        cursor: Any = connection.connection.cursor()
        cursor.executemany(self._texts[name], rows)
        cursor.close()

    def _text(self, dialect: Dialect) -> str:
        names = ", ".join(self._names)
        head = f"INSERT INTO {self._table.name} ({names})"
        if dialect.name != "postgresql":
            return f"{head} VALUES ({', '.join('?' * len(self._names))})"
        types = (self._table.c[name].type.compile(dialect) for name in self._names)
        fields = ", ".join(map(" ".join, zip(self._names, types, strict=True)))
        return f"{head} SELECT {names} FROM json_to_recordset($1) AS given ({fields})"  # noqa: S608  our names


class _Form:
    """A statement in the words of one database."""

    def __init__(self, statement: Any, dialect: Any) -> None:
        self.dialect = dialect.name
        if self.dialect == "postgresql":
            dialect = type(dialect)(paramstyle="numeric_dollar")
        compiled: Any = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._ordered = _in_order(compiled.positiontup)
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        self._constants = {name: bind.value for name, bind in binds.items() if not bind.required}
        self._into = [
            (name, convert)
            for name, bind in binds.items()
            if isinstance(bind.type, _CONVERTED)
            and (convert := bind.type.dialect_impl(dialect).bind_processor(dialect))
        ]
        columns = list(getattr(statement, "exported_columns", ()))
        self.gives_rows = bool(columns)
        self._make = _row_type([str(column.key) for column in columns])._make
        self._out = [
            (i, convert)
            for i, column in enumerate(columns)
            if isinstance(column.type, _CONVERTED)
            and (convert := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ]

    def bound(self, values: Mapping[str, Any]) -> Any:
        """The values as the driver wants them."""
        given = {**self._constants, **values}
        for name, convert in self._into:
            given[name] = convert(given[name])
        return self._ordered(given)

    def rows(self, cursor: Iterable[Sequence[Any]]) -> list[Any]:
        """The rows as named tuples."""
        return [self._make(self._converted(row) if self._out else row) for row in cursor]

    def _converted(self, row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for i, convert in self._out:
            if values[i] is not None:
                values[i] = convert(values[i])
        return values


def _row_type(names: Sequence[str]) -> Any:
    """What rows of these columns are."""
    return namedtuple("Row", names)  # noqa: PYI024  the names are known only now


def _in_order(names: Sequence[str] | None) -> Callable[[dict[str, Any]], Any]:
    """From values by name to what the driver takes: those, or a list where it goes by place."""
    if names is None:
        return lambda given: given
    if len(names) == 1:
        return lambda given: (given[names[0]],)
    return itemgetter(*names)
