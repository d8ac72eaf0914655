"""A catalog entry's description and schemas on the terminal, one line per field; `-o json` prints the schemas themselves.

The schemas come from workers, and some are written by hand: parts with an unexpected form are omitted or shown as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentgrid.cli.output import indented, pretty
from agentgrid.cli.text import safe, safe_json, safe_lines

MAX_DEPTH = 4
MAX_CHOICES = 8
"""How many types of a union are shown; with MAX_DEPTH this bounds the work on a schema that refers to itself."""
MAX_CHARACTERS = 120
"""Longer types and defaults are truncated."""
PREFIX = "#/$defs/"

Schema = Mapping[str, Any]


def description_and_schemas(item: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The description of a workflow or a tool, its input and its output."""
    if item["description"]:
        yield indented(Text("\n" + safe_lines(item["description"])))
    for heading, schema in (("Input", item["input_schema"]), ("Output", item["output_schema"])):
        if schema is not None:
            yield Text(f"\n{heading}", style="bold")
            yield indented(_shown(schema))


def _shown(schema: Any) -> RenderableType:
    if not isinstance(schema, dict):
        return Text(safe_json(pretty(schema)))
    definitions = schema.get("$defs")
    defs = definitions if isinstance(definitions, dict) else {}
    resolved = _resolved(schema, defs)
    if (table := _fields(resolved, defs)) is not None:
        return table
    if (table := _fields(_arguments(resolved), defs)) is not None:
        return Group(Text("a list of these, in this order"), table)
    words, items = type_of(resolved, defs), resolved.get("items")
    if isinstance(items, dict) and (table := _fields(_resolved(items, defs), defs)) is not None:
        return Group(Text(safe(f"{words}, each with")), table)
    return Text(safe(words)) if words else Text(safe_json(pretty(schema)) if schema else "any")


def _fields(schema: Schema, defs: Schema) -> Table | None:
    """One line for each field of an object. None if the schema has no fields."""
    fields, required = schema.get("properties"), schema.get("required")
    if not isinstance(fields, dict) or not fields:
        return None
    if not isinstance(required, list):
        required = []
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for name, field in fields.items():
        definition = field if isinstance(field, dict) else {}
        words = type_of(definition, defs) or "any"
        if definition.get("default") is not None:
            words += f" = {_cut(json.dumps(definition['default'], ensure_ascii=False))}"
        cells = [Text(safe(name if name in required else f"{name}?"), style="bold"), Text(safe(words))]
        if isinstance(about := definition.get("description"), str):
            cells.append(Text(safe(about.split("\n")[0]), style="dim"))
        table.add_row(*cells)
    return table


def _arguments(schema: Schema) -> Schema:
    """The items of a list, each with a schema of its own, as the fields of an object."""
    items, least = schema.get("prefixItems"), schema.get("minItems")
    if not isinstance(items, list):
        return {}
    titles = [item.get("title") if isinstance(item, dict) else None for item in items]
    names = [f"{title or 'argument'}" for title in titles]
    names = [name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names, start=1)]
    return {
        "properties": dict(zip(names, items, strict=True)),
        "required": names[: least if isinstance(least, int) else 0],
    }


def type_of(schema: Any, defs: Schema, depth: int = 0) -> str:
    """The type in a few words, such as `string`, `sales | support`, `list of integer`. Empty if it isn't known."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return ""
    schema = _resolved(schema, defs)
    if isinstance(values := schema.get("enum"), list) and values:
        return _cut(" | ".join(_word(value) for value in values))
    if "const" in schema:
        return _cut(_word(schema["const"]))
    for key in ("anyOf", "oneOf"):
        if isinstance(choices := schema.get(key), list) and choices:
            types = [type_of(choice, defs, depth + 1) or "any" for choice in choices[:MAX_CHOICES]]
            return _cut(" | ".join([*dict.fromkeys(types), *(["…"] if len(choices) > MAX_CHOICES else [])]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return _cut(" | ".join(map(str, kind)))
    if kind == "array":
        items = type_of(schema.get("items"), defs, depth + 1)
        return f"list of {f'({items})' if ' | ' in items else items}" if items else "list"
    if kind == "object":
        return str(schema.get("title") or "object")
    return str(schema.get("format") or kind or "")


def _resolved(schema: Schema, defs: Schema) -> Schema:
    """The schema that a reference points to; the schema itself if it isn't a reference."""
    for _ in range(MAX_DEPTH):
        place = schema.get("$ref")
        definition = (
            defs.get(place.removeprefix(PREFIX)) if isinstance(place, str) and place.startswith(PREFIX) else None
        )
        if not isinstance(definition, dict):
            break
        schema = definition
    return schema


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(words: str) -> str:
    return words if len(words) <= MAX_CHARACTERS else f"{words[: MAX_CHARACTERS - 1]}…"
