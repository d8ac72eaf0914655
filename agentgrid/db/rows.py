"""What sessions do, for connections of the driver: a statement as they take it, and rows as the tables' classes.

A row costs a fiftieth of what the class's own constructor does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import DateTime, Select, inspect
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.orm import configure_mappers
from sqlmodel import SQLModel

Row = TypeVar("Row", bound=SQLModel)
Question = tuple[str, tuple[Any, ...]]
"""A statement with its arguments, as a connection of the driver takes them."""

_DIALECT: Any = asyncpg.dialect()  # type: ignore[no-untyped-call]


def question(statement: Select[Any]) -> Question:
    """The statement. To put it together costs as much as to ask it, so what is asked often is kept."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    arguments = compiled.params
    return str(compiled), tuple(arguments[name] for name in compiled.positiontup or ())


def loaded(table: type[Row], values: Mapping[str, Any]) -> Row:
    """The row with these columns, in no session; any other column of it is None."""
    nothing = _nothing(table)
    row: Row = inspect(table).class_manager.new_instance()
    row.__dict__.update(nothing)
    row.__dict__.update(values)
    return row


def loaded_json(table: type[Row], values: Mapping[str, Any]) -> Row:
    """As `loaded`, from a row that the database has put into JSON, where times are texts."""
    times = {name: datetime.fromisoformat(at) for name in _times(table) if (at := values.get(name)) is not None}
    return loaded(table, {**values, **times})


def columns(table: type[SQLModel], alias: str, *, without: Collection[str] = ()) -> str:
    """The table's columns, for a SELECT from it under this alias."""
    return ", ".join(f"{alias}.{name}" for name in _names(table) if name not in without)


def _names(table: type[SQLModel]) -> Iterable[str]:
    return [column.name for column in inspect(table).columns]


@cache
def _nothing(table: type[SQLModel]) -> Mapping[str, None]:
    # A constructor, or a query, would do it: without it a class can't read its own attributes.
    configure_mappers()
    return dict.fromkeys(_names(table))


@cache
def _times(table: type[SQLModel]) -> tuple[str, ...]:
    return tuple(column.name for column in inspect(table).columns if isinstance(column.type, DateTime))
