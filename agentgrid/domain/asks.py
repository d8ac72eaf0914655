"""Titles of approvals and subjects of runs: templates filled with a call's arguments or a run's input. Pure.

A template is a text with argument names in braces: `Refund {amount_cents} on ticket {ticket_id}`. It supports nothing else (no attributes,
indexes, conversions or format specifications), because the values come from models and the template from a worker. `{{` and `}}` are literal
braces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from agentgrid.domain import moments, pointers
from agentgrid.domain.shapes import MAX_SMALL_NUMBER, arguments_of, cut

MAX_TEMPLATE = 200
MAX_VALUE = 60
"""Maximum number of characters of one value in a title."""
MAX_TITLE = 200

MAX_REACH, MAX_REACH_TEXT = 6, 60
"""Maximum number of phrases about a tool's reach, and of characters per phrase."""

UNIT, CURRENCY = "x-unit", "x-currency"
"""Keywords of a tool's schema: the unit of a number, and the currency of an amount of money."""
CENTS = "cents"
"""The unit of an amount in hundredths of its currency."""

_VALUES = frozenset({"const", "enum", "default", "examples"})
"""Keywords of a schema that hold values, not schemas."""

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control, format (bidi marks, zero-width and tag characters), surrogate, private, unassigned, line and paragraph separators."""
_UNSEEN = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Categorised as letters, but invisible."""


class _Invalid(ValueError):
    pass


def fault(template: str, names: frozenset[str], *, of: str = "the arguments") -> str | None:
    """Why this is not a valid template for these names, or None. of: what the names refer to, for the message."""
    if not template.strip() or len(template) > MAX_TEMPLATE:
        return f"a template must have between 1 and {MAX_TEMPLATE} characters"
    try:
        used = [name for _, name in _parts(template) if name is not None]
    except _Invalid as error:
        return str(error)
    if unknown := sorted(set(used) - names):
        return f"it names {', '.join(unknown)}, but {of} are {', '.join(sorted(names)) or 'none'}"
    return None


def title(template: str, arguments: dict[str, Any], schema: Any) -> str | None:
    """The template filled with the arguments, with the units of the tool's schema; one line of at most 200 characters.

    None if the template is invalid, or an argument is missing or not a scalar. A text that contains a space or a quotation mark is quoted, so
    that a value can't be mistaken for words of the template.
    """
    if len(template) > MAX_TEMPLATE:
        return None
    parts = []
    try:
        for text, name in _parts(template):
            parts.append(line(text) if name is None else _value(arguments[name], property_of(schema, name)))
    except (_Invalid, KeyError):
        return None
    return cut("".join(parts).strip(), MAX_TITLE) or None


def subject(template: str, stored: Any, schema: Any) -> str | None:
    """A run's subject: its workflow's template filled from the stored input; None if it can't be filled."""
    return title(template, arguments_of(stored) or {}, schema)


def several(first: str, count: int) -> str:
    """The title of the first of several approvals, with the number of others."""
    return first if count <= 1 else f"{first} and {count - 1} more"


def line(text: str) -> str:
    """The text on one line, without characters that are invisible or change how others are displayed."""
    shown = "".join(" " if unicodedata.category(char) in _UNSAFE or char in _UNSEEN else char for char in text)
    return re.sub(r"\s+", " ", shown)


def amount(value: float, unit: str, currency: str | None) -> str:
    """A number with its unit: `412.00 USD`, `12 kg`."""
    if unit == CENTS and currency is not None and isinstance(value, int):
        return f"{Decimal(value) / 100:,.2f} {currency}"
    return f"{value} {unit}" if currency is None else f"{value} {unit} {currency}"


def number(value: float, described: dict[str, Any]) -> str:
    """A number with the unit of its schema property, if it has one."""
    unit, currency = described.get(UNIT), described.get(CURRENCY)
    if not isinstance(unit, str):
        return str(value)
    return cut(line(amount(value, unit, currency if isinstance(currency, str) else None)), MAX_VALUE)


def without_units(schema: Any) -> Any:
    """The schema without the unit keywords, for models: some providers refuse unknown keywords."""
    if isinstance(schema, list):
        return [without_units(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value if name in _VALUES else without_units(value)
        for name, value in schema.items()
        if not (name in (UNIT, CURRENCY) and isinstance(value, str))
    }


def _parts(template: str) -> Iterator[tuple[str, str | None]]:
    """The literal texts and the names of a template, in order. Raises _Invalid."""
    at = 0
    for match in _PART.finditer(template):
        if match.start() > at:
            yield template[at : match.start()], None
        at = match.end()
        part, name = match.group(), match.group(1)
        if part in ("{{", "}}"):
            yield part[0], None
        elif name is None:
            raise _Invalid("it has an unmatched brace: write {{ or }} for a literal brace")
        elif not _NAME.fullmatch(name):
            raise _Invalid(f"{{{name}}} is not a name: only names are allowed in braces")
        else:
            yield "", name
    if at < len(template):
        yield template[at:], None


def property_of(schema: Any, name: str) -> dict[str, Any]:
    """An argument's schema; empty if there is none or it is not an object."""
    described = properties_of(schema).get(name)
    return described if isinstance(described, dict) else {}


def properties_of(schema: Any) -> dict[str, Any]:
    """A schema's properties. For a recursive type they are in a definition that the schema refers to."""
    if isinstance(schema, dict) and "$ref" in schema and "properties" not in schema:
        try:
            schema = pointers.referenced(schema, schema["$ref"])
        except LookupError:
            return {}
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def _value(value: Any, described: dict[str, Any]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if abs(value) > MAX_SMALL_NUMBER:
            raise _Invalid("too large a number")
        return number(value, described)
    if not isinstance(value, str):
        raise _Invalid("not a scalar")
    if (at := moments.readable(value)) is not None:
        return at
    # Cut before cleaning, which takes time per character, and again after.
    shown = cut(line(value[: 10 * MAX_VALUE]).strip(), MAX_VALUE)
    if shown and not re.search(r"[\s\"“”„«»]", shown):
        return shown
    return f"“{re.sub(r'[“”„«»]', chr(39), shown)}”"
