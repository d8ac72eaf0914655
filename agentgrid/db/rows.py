"""Replaces sessions for connections of the driver: compiles statements for them, and turns their rows into objects of the table classes.

Creating an object here takes a fiftieth of the time of the class's constructor.
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
"""An SQL text and its arguments, as the driver expects them."""

_DIALECT: Any = asyncpg.dialect()  # type: ignore[no-untyped-call]


def question(statement: Select[Any]) -> Question:
    """The compiled statement. Compiling costs as much as executing, so callers cache frequent ones."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    arguments = compiled.params
    return str(compiled), tuple(arguments[name] for name in compiled.positiontup or ())


def loaded(table: type[Row], values: Mapping[str, Any]) -> Row:
    """A row with these column values, detached from any session. All other columns are None."""
    nothing = _nothing(table)
    row: Row = inspect(table).class_manager.new_instance()
    row.__dict__.update(nothing)
    row.__dict__.update(values)
    return row


def loaded_json(table: type[Row], values: Mapping[str, Any]) -> Row:
    """Like `loaded`, from a row that the database returned as JSON, with times as texts."""
    times = {name: datetime.fromisoformat(at) for name in _times(table) if (at := values.get(name)) is not None}
    return loaded(table, {**values, **times})


def columns(table: type[SQLModel], alias: str, *, without: Collection[str] = ()) -> str:
    """The table's columns as a SELECT list, qualified with this alias."""
    return ", ".join(f"{alias}.{name}" for name in _names(table) if name not in without)


def _names(table: type[SQLModel]) -> Iterable[str]:
    return [column.name for column in inspect(table).columns]


@cache
def _nothing(table: type[SQLModel]) -> Mapping[str, None]:
    # Otherwise done by the first constructor call or query. Without it the attributes of an instance can't be read.
    configure_mappers()
    return dict.fromkeys(_names(table))


@cache
def _times(table: type[SQLModel]) -> tuple[str, ...]:
    return tuple(column.name for column in inspect(table).columns if isinstance(column.type, DateTime))
