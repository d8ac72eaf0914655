"""Replaces ORM sessions for driver connections: compiles statements for them, and turns their rows into objects of the table classes.

Creating an object here takes a fiftieth of the time that the class's constructor takes.
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
Query = tuple[str, tuple[Any, ...]]
"""An SQL text and its arguments, as the driver expects them."""

_DIALECT: Any = asyncpg.dialect()  # type: ignore[no-untyped-call]


def compiled(statement: Select[Any]) -> Query:
    """The compiled statement. Compiling costs as much as executing, so callers cache frequent ones."""
    query = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    arguments = query.params
    return str(query), tuple(arguments[name] for name in query.positiontup or ())


def loaded(table: type[Row], values: Mapping[str, Any]) -> Row:
    """A row with these column values, detached from any session. All other columns are None."""
    defaults = _all_none(table)
    row: Row = inspect(table).class_manager.new_instance()
    row.__dict__.update(defaults)
    row.__dict__.update(values)
    return row


def loaded_json(table: type[Row], values: Mapping[str, Any]) -> Row:
    """Like `loaded`, from a row that the database returned as JSON, with times as text."""
    times = {name: datetime.fromisoformat(at) for name in _times(table) if (at := values.get(name)) is not None}
    return loaded(table, {**values, **times})


def columns(table: type[SQLModel], alias: str, *, without: Collection[str] = ()) -> str:
    """The table's columns as a SELECT list, qualified with this alias."""
    return ", ".join(f"{alias}.{name}" for name in _names(table) if name not in without)


def _names(table: type[SQLModel]) -> Iterable[str]:
    return [column.name for column in inspect(table).columns]


@cache
def _all_none(table: type[SQLModel]) -> Mapping[str, None]:
    # Normally done by the first constructor call or query. Without it, the attributes of an instance can't be read.
    configure_mappers()
    return dict.fromkeys(_names(table))


@cache
def _times(table: type[SQLModel]) -> tuple[str, ...]:
    return tuple(column.name for column in inspect(table).columns if isinstance(column.type, DateTime))
