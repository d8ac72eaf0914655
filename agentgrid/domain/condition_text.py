"""Textual conditions, such as `amount_cents > 10000`. No heavy imports, because the command line parses them.

    condition  = path, operator, value | path, "exists", [ "true" | "false" ]
    path       = names separated by dots, without spaces or < > = !
    operator   = "==" | "!=" | ">" | ">=" | "<" | "<=" | "in" | "not in" | "contains" | "matches"
    value      = JSON

Spaces separate the three. They are optional around operators made of symbols.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agentgrid.errors import InvalidInput

SHAPE = re.compile(
    r"\s*(?P<path>[^\s<>=!]+)\s*(?P<op>==|!=|>=|<=|>|<|(?<=\s)(?:not\s+in|in|contains|exists|matches)(?=[\s\[\"]|$))?"
)
EXAMPLE = "amount_cents > 10000"
HINTS = {
    "path": f"expected an argument's name, as in {EXAMPLE!r}",
    "op": "expected one of ==, !=, >, >=, <, <=, in, not in, contains, exists, matches",
    "value": 'expected a JSON value: 10000, "EUR", true, null, or a list such as ["EUR", "USD"]',
}


def parsed(text: str) -> dict[str, Any]:
    """The condition in the API's form. Raises InvalidInput with the position of the error."""
    match = SHAPE.match(text)
    if match is None:
        raise _wrong(text, len(text), "path")
    if match["op"] is None:
        rest = text[match.end() :]
        raise _wrong(text, len(text) - len(rest.lstrip()), "op")
    op = " ".join(match["op"].split())
    rest = text[match.end() :].strip()
    if op == "exists" and not rest:
        return {"argument": match["path"], "op": op, "value": True}
    start = len(text) - len(text[match.end() :].lstrip())
    try:
        value = json.loads(rest, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise _wrong(text, start + error.pos, "value") from None
    except (ValueError, RecursionError):
        raise _wrong(text, start, "value") from None
    return {"argument": match["path"], "op": op, "value": value}


def written(condition: Mapping[str, Any]) -> str:
    """The text of a condition from the API. The inverse of `parsed`."""
    if condition["op"] == "exists" and condition.get("value") is True:
        return f"{condition['argument']} exists"
    return f"{condition['argument']} {condition['op']} {json.dumps(condition.get('value'), ensure_ascii=False)}"


def _constant(name: str) -> Any:
    raise ValueError(name)


def _wrong(text: str, at: int, expected: str) -> InvalidInput:
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    return InvalidInput(f"the condition {shown!r} is invalid at character {at + 1}: {HINTS[expected]}")
