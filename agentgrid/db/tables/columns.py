"""Column types for the tables, and the naming convention of constraints."""

from __future__ import annotations

from json import loads
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Text,
    TypeDecorator,
    cast,
    type_coerce,
)
from sqlalchemy import text as sql
from sqlmodel import Field, SQLModel

from agentgrid.domain.nesting import MAX_STORED, is_deeper
from agentgrid.domain.surrogates import sendable

NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
SQLModel.metadata.naming_convention = NAMING

SHORT_LIST = {"gin_pending_list_limit": 512}
"""In kilobytes. Readers scan the pending list sequentially; at the default of 4 MB that would take most of their time."""


def searched(name: str, words: str, *, where: str | None = None) -> Index:
    """An index for substring search in `words`, an SQL expression in lower case."""
    return Index(
        name,
        sql(f"agentgrid_grams({words})"),
        postgresql_using="gin",
        postgresql_with=SHORT_LIST,
        postgresql_where=None if where is None else sql(where),
    )


def one_of(column: str, words: type[Any]) -> CheckConstraint:
    """A check constraint that the column holds one of these values."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def text(
    *, null: bool = False, primary: bool = False, default: str | None = None, references: str | None = None
) -> Any:
    """A text column; `references` makes it a foreign key with ON DELETE CASCADE."""
    keys = [ForeignKey(references, ondelete="CASCADE")] if references else []
    server = sql(default) if default is not None else None
    return Field(sa_column=Column(Text, *keys, primary_key=primary, nullable=null, server_default=server))


def texts(default: str = "'{}'") -> Any:
    """A text array, empty by default."""
    return Field(sa_column=Column(ARRAY(Text), nullable=False, server_default=sql(default)))


def time(*, null: bool = True, now: bool = False) -> Any:
    """A timestamp with time zone."""
    server = sql("now()") if now else None
    return Field(sa_column=Column(DateTime(timezone=True), nullable=null, server_default=server))


def json(*, null: bool = True, default: str | None = None) -> Any:
    """A payload or document, stored as exact text."""
    server = sql(default) if default is not None else None
    return Field(sa_column=Column(JSON(none_as_null=True), nullable=null, server_default=server))


def read_registered(text: str | None) -> Any:
    """Parse the text of a `registered` column."""
    try:
        document = None if text is None else loads(text)
    except (RecursionError, ValueError):
        return None
    return None if is_deeper(document, MAX_STORED) else sendable(document)


class _Registered(TypeDecorator[Any]):
    impl = JSON
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        # Read as text: the driver would parse the JSON, and fail for the whole row if it is nested too deeply.
        return type_coerce(cast(column, Text), self)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return read_registered(value)


def registered(*, null: bool = True) -> Any:
    """A document that a worker registered, so it can have any form. Read as None if it can't be shown: nested too deeply, or with a number that
    is too long for Python to parse. Lone surrogates are replaced."""
    return Field(sa_column=Column(_Registered(none_as_null=True), nullable=null))


def big(*, null: bool = False, default: str | None = None, primary: bool = False) -> Any:
    """A 64-bit integer."""
    server = sql(default) if default is not None else None
    return Field(
        sa_column=Column(BigInteger, nullable=null, server_default=server, primary_key=primary, autoincrement=False)
    )


def flag(default: str = "false") -> Any:
    """A boolean, false by default."""
    return Field(sa_column=Column(Boolean, nullable=False, server_default=sql(default)))
