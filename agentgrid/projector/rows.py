"""How rows travel to PostgreSQL: one JSON array for any number of rows, unpacked there by the table's own types.

A `json` column travels as a string, under its name and `~`, and is cast there: unpacked as a part of the array, PostgreSQL would read its
escapes and refuse `\\u0000` and lone surrogates, which payloads may hold and a `json` column keeps.
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


def columns_of(table: str, *, but: Iterable[str] = ()) -> list[str]:
    """The table's columns in their order, without some."""
    left_out = set(but)
    return [column.name for column in METADATA.tables[table].columns if column.name not in left_out]


def wire(table: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as JSON text. Text columns lose what PostgreSQL can't hold in them; `json` columns keep everything."""
    held = _JSON_COLUMNS[table]
    prepared = [dict(_cell(name, value, held) for name, value in row.items()) for row in rows]
    return json.dumps(prepared, separators=(",", ":"), default=_default, allow_nan=False)


def _cell(name: str, value: Any, held: frozenset[str]) -> tuple[str, Any]:
    if name in held:
        return f"{name}~", None if value is None else dump(value)
    return name, plain(value)


def plain(value: Any) -> Any:
    """The value with its texts as a text column can hold them."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def text(value: str) -> str:
    """The text without NULs and lone surrogates, which no text column takes."""
    if value.isascii() and "\x00" not in value:
        return value
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _default(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is no column's value")


def insert(table: str, *, key: Sequence[str], columns: Sequence[str], kept: Sequence[str] = (), returning: str) -> str:
    """Insert rows; where one is there already it is made equal, and returned only if it wasn't. `kept` columns of it stay."""
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
    """The value that a patch gives a column: what was sent, the old one where nothing was."""
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
    """Change the columns that each JSON object names, of the row that its key names; where that changes none but `ignoring`, nothing.

    stamp: a column that becomes the time of the transaction wherever anything changes.
    joins, joined: more of the FROM clause, which may look at the row to be (`n`), and the columns that get their values from there.
    """
    changing = [name for name in columns if name not in key and name != stamp]
    values = {name: joined.get(name) or _changed(table, name) for name in changing}
    sets = ", ".join(f"{name} = {value}" for name, value in values.items())
    stamped = f", {stamp} = now()" if stamp is not None else ""
    finds = " AND ".join(f"old.{name} = {_key(table, name)}" for name in key)
    same = " AND ".join(f"t.{name} = old.{name}" for name in key)
    differs = " OR ".join(_moves(table, name, joined.get(name)) for name in changing if name not in ignoring)
    return (
        f"UPDATE {table} AS t SET {sets}{stamped} FROM json_array_elements($1::json) AS p(j) "  # noqa: S608
        f"JOIN {table} AS old ON {finds} "
        f"CROSS JOIN LATERAL json_populate_record(old, p.j) AS n {joins} "
        f"WHERE {same} AND ({differs}) RETURNING {returning}"
    )


def _key(table: str, name: str) -> str:
    """What a JSON object has for a column of the key."""
    kind = METADATA.tables[table].columns[name].type.compile()
    return f"p.j->>'{name}'" if kind == "TEXT" else f"(p.j->>'{name}')::{kind}"


def _moves(table: str, name: str, joined: str | None) -> str:
    if joined is not None:
        cast = "::text" if name in _JSON_COLUMNS[table] else ""
        return f"old.{name}{cast} IS DISTINCT FROM {joined}{cast}"
    if name in _JSON_COLUMNS[table]:
        return f"p.j->'{name}~' IS NOT NULL AND old.{name}::text IS DISTINCT FROM p.j->>'{name}~'"
    return f"old.{name} IS DISTINCT FROM n.{name}"
