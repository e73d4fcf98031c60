"""`column IN (these ids)` with the ids in one parameter, however many they are.

So a statement has one text, compiled once, and there is no limit to the number of ids: JSON text
for SQLite, an array for Postgres.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, Text, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.sqltypes import NULLTYPE
from sqlalchemy.sql.visitors import InternalTraversal


class among(ColumnElement[Any]):  # noqa: N801  a function for readers, as in_() is
    """`column` is one of the ids bound to `name`."""

    inherit_cache = True
    type = NULLTYPE  # a boolean would be written "… = 1" for SQLite, which then uses no index
    _traverse_internals = [  # noqa: RUF012  SQLAlchemy's name and type
        ("column", InternalTraversal.dp_clauseelement),
        ("ids", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, column: ColumnElement[int], name: str = "ids") -> None:
        self.column = column
        self.ids: ColumnElement[Any] = bindparam(name, type_=_Ids())


class _Ids(TypeDecorator[Any]):
    """A list of ids: JSON text for SQLite, an array for Postgres."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        """The type the driver is to see."""
        return dialect.type_descriptor(
            ARRAY(BigInteger) if dialect.name == "postgresql" else Text()
        )

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """As text or as a list."""
        return list(value) if dialect.name == "postgresql" else json.dumps(list(value))


@compiles(among, "sqlite")
def _among_json(element: among, compiler: Any, **how: Any) -> str:
    column, ids = compiler.process(element.column, **how), compiler.process(element.ids, **how)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608  compiled parts


@compiles(among, "postgresql")
def _among_array(element: among, compiler: Any, **how: Any) -> str:
    column, ids = compiler.process(element.column, **how), compiler.process(element.ids, **how)
    return f"{column} = ANY({ids})"


class picked_once(ColumnElement[Any]):  # noqa: N801  as above
    """`column` is one of the ids that a query gives, which is executed exactly once.

    As an array for Postgres: else it may pick again for each row, and take too many; and of a
    join it expects a tenth of the table, and reads the whole of it.
    """

    inherit_cache = True
    type = NULLTYPE
    _traverse_internals = [  # noqa: RUF012  SQLAlchemy's name and type
        ("column", InternalTraversal.dp_clauseelement),
        ("query", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, column: ColumnElement[int], query: Select[Any]) -> None:
        self.column = column
        self.query = query.correlate(None).scalar_subquery()


@compiles(picked_once, "sqlite")
def _picked_in(element: picked_once, compiler: Any, **how: Any) -> str:
    column, query = compiler.process(element.column, **how), compiler.process(element.query, **how)
    return f"{column} IN {query}"


@compiles(picked_once, "postgresql")
def _picked_array(element: picked_once, compiler: Any, **how: Any) -> str:
    column, query = compiler.process(element.column, **how), compiler.process(element.query, **how)
    return f"{column} = ANY(ARRAY{query})"
