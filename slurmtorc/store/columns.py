"""The kinds of columns that tables are made of, and the rules for naming what belongs to them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")
"""64 bits everywhere; SQLite makes INTEGER PRIMARY KEY its row id."""

ByBytes = Text().with_variant(Text(collation="C"), "postgresql")
"""A text that an index holds: compared by its bytes, as SQLite does it, on every server. By the
rules of a language it takes longer, and what comes first depends on where the server is."""

Json = JSON(none_as_null=True)


def own_id(*, counts: bool) -> Column[int]:
    """The row's own id; `counts`: the table counts them itself."""
    return Column("id", Id, primary_key=True, autoincrement=counts)


def of(table: str, name: str = "", *, on_delete: str = "CASCADE") -> Column[int]:
    """A reference to a row of another table."""
    reference = ForeignKey(f"{table}.id", ondelete=on_delete)
    return Column(name or f"{table}_id", Id, reference, nullable=on_delete == "SET NULL")


def flag(name: str, *, default: bool = False) -> Column[bool]:
    """Yes or no, never unknown."""
    return Column(name, Boolean, nullable=False, server_default=text(str(default).lower()))


def number(name: str, default: int | None = None) -> Column[int]:
    """An integer; unknown only where there is no default."""
    server_default = None if default is None else text(str(default))
    return Column(name, Integer, nullable=default is None, server_default=server_default)


def optional_id(name: str) -> Column[int]:
    """An id that nothing watches over."""
    return Column(name, Id)


def moment(name: str, *, known: bool = False) -> Column[float]:
    """Epoch seconds."""
    return Column(name, Double, nullable=not known)


def word(name: str, *, known: bool = True) -> Column[str]:
    """A text."""
    return Column(name, Text, nullable=not known)


def pairs(name: str, left: str, left_name: str, right: str, right_name: str) -> Table:
    """A table of pairs, found from either side."""
    return Table(
        name,
        metadata,
        Column(left_name, Id, ForeignKey(f"{left}.id", ondelete="CASCADE"), primary_key=True),
        Column(right_name, Id, ForeignKey(f"{right}.id", ondelete="CASCADE"), primary_key=True),
        Index(None, right_name),
        sqlite_with_rowid=False,
    )
