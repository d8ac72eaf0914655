"""Statements that write any number of rows: the rows are sent as one JSON array, which PostgreSQL unpacks by the table's column types.

A `json` column is sent as a string under its name plus `~`, and cast in the statement. If it were unpacked as part of the array, PostgreSQL
would parse its escapes and reject `\\u0000` and lone surrogates, which payloads may contain and a `json` column keeps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

from agentgrid.db import tables
from agentgrid.temporal.payloads import dump

METADATA = tables.Run.metadata

_JSON_COLUMNS = {
    table.name: frozenset(column.name for column in table.columns if type(column.type).__name__ == "JSON")
    for table in METADATA.tables.values()
}


def columns_of(table: str, *, without: Iterable[str] = ()) -> list[str]:
    """The table's columns in order, except those in `without`."""
    omitted = set(without)
    return [column.name for column in METADATA.tables[table].columns if column.name not in omitted]


def wire(table: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as JSON text. Text columns lose characters that PostgreSQL can't store; `json` columns keep everything."""
    json_columns = _JSON_COLUMNS[table]
    prepared = [dict(_cell(name, value, json_columns) for name, value in row.items()) for row in rows]
    return json.dumps(prepared, separators=(",", ":"), default=_default, allow_nan=False)


def _cell(name: str, value: Any, json_columns: frozenset[str]) -> tuple[str, Any]:
    if name in json_columns:
        return f"{name}~", None if value is None else dump(value)
    return name, plain(value)


def plain(value: Any) -> Any:
    """The value with its strings made storable in text columns."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def text(value: str) -> str:
    """The text with NULs and lone surrogates replaced: PostgreSQL rejects them in text columns."""
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _default(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"a value of type {type(value).__name__} can't be written to a column")


def insert(table: str, *, key: Sequence[str], columns: Sequence[str], kept: Sequence[str] = (), returning: str) -> str:
    """An upsert that changes and returns only rows that are new or differ. Existing rows keep their `kept` columns."""
    names = ", ".join(columns)
    changing = [name for name in columns if name not in key and name not in kept]
    sets = ", ".join(f"{name} = excluded.{name}" for name in changing)
    differs = " OR ".join(_differs(table, name) for name in changing)
    values = ", ".join(_sent(table, name) for name in columns)
    order = ", ".join(f"n.{name}" for name in key)
    return (
        f"INSERT INTO {table} AS t ({names}) SELECT {values} FROM json_array_elements($1::json) AS p(j) "  # noqa: S608
        f"CROSS JOIN LATERAL json_populate_record(NULL::{table}, p.j) AS n ORDER BY {order} "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets} WHERE {differs} RETURNING {returning}"
    )


def _sent(table: str, name: str) -> str:
    return f"(p.j->>'{name}~')::json" if name in _JSON_COLUMNS[table] else f"n.{name}"


def _changed(table: str, name: str) -> str:
    """The value that a patch gives a column: the one sent, or the old one if none was sent."""
    if name not in _JSON_COLUMNS[table]:
        return f"n.{name}"
    return f"CASE WHEN p.j->'{name}~' IS NULL THEN old.{name} ELSE (p.j->>'{name}~')::json END"


def _differs(table: str, name: str) -> str:
    cast = "::text" if name in _JSON_COLUMNS[table] else ""
    return f"t.{name}{cast} IS DISTINCT FROM excluded.{name}{cast}"


def patch(
    table: str,
    *,
    key: Sequence[str],
    columns: Sequence[str],
    returning: str,
    ignoring: Sequence[str] = (),
    stamp: str | None = None,
    joins: str = "",
    joined: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Update the columns that each JSON object contains, in the row that its key names. A row of which only `ignoring` columns differ is skipped.

    stamp: a column set to the transaction's time in every row that changes.
    joins, joined: additional FROM items, which may refer to the new row (`n`), and the columns whose values come from them.
    """
    changing = [name for name in columns if name not in key and name != stamp]
    values = {name: joined.get(name) or _changed(table, name) for name in changing}
    sets = ", ".join(f"{name} = {value}" for name, value in values.items())
    stamped = f", {stamp} = now()" if stamp is not None else ""
    matches = " AND ".join(f"old.{name} = {_key(table, name)}" for name in key)
    same = " AND ".join(f"t.{name} = old.{name}" for name in key)
    differs = " OR ".join(_moves(table, name, joined.get(name)) for name in changing if name not in ignoring)
    return (
        f"UPDATE {table} AS t SET {sets}{stamped} FROM json_array_elements($1::json) AS p(j) "  # noqa: S608
        f"JOIN {table} AS old ON {matches} "
        f"CROSS JOIN LATERAL json_populate_record(old, p.j) AS n {joins} "
        f"WHERE {same} AND ({differs}) RETURNING {returning}"
    )


def _key(table: str, name: str) -> str:
    """The value of a key column in the JSON object."""
    kind = METADATA.tables[table].columns[name].type.compile()
    return f"p.j->>'{name}'" if kind == "TEXT" else f"(p.j->>'{name}')::{kind}"


def _moves(table: str, name: str, joined: str | None) -> str:
    if joined is not None:
        cast = "::text" if name in _JSON_COLUMNS[table] else ""
        return f"old.{name}{cast} IS DISTINCT FROM {joined}{cast}"
    if name in _JSON_COLUMNS[table]:
        return f"p.j->'{name}~' IS NOT NULL AND old.{name}::text IS DISTINCT FROM p.j->>'{name}~'"
    return f"old.{name} IS DISTINCT FROM n.{name}"
