"""Whether one JSON Schema is narrower than another: it admits no value that the other refuses. Conservative: what can't be proved is refused, with
the reason.

It can prove tighter bounds on the same types, fewer constants, fewer alternatives, more required fields, and fewer optional ones. A part with any
other keyword must be identical in both schemas.
"""

from __future__ import annotations

import json
from typing import Any

MAX_DEPTH = 60
"""Schemas that are nested deeper are not compared."""
MAX_COMPARISONS = 5_000
"""Without a limit, definitions that refer to each other could be compared exponentially often."""
COMPILED = 50
"""Compiling a schema to check constants counts as this many comparisons."""
MAX_SHOWN = 120

_ANNOTATIONS = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$comment",
        "$defs",
        "discriminator",
    }
)
"""Keywords that refuse no value. `$defs` counts where it is referred to."""

_LEAST = {"minLength", "minItems", "minProperties"}
_MOST = {"maxLength", "maxItems", "maxProperties"}
_SAME = {"pattern", "format", "uniqueItems"}
"""The narrower schema may add these. If the wider schema has one, the narrower must have the same."""

_COMPARED = (
    _ANNOTATIONS
    | _LEAST
    | _MOST
    | _SAME
    | {
        "$ref",
        "type",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "multipleOf",
        "required",
        "properties",
        "additionalProperties",
    }
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "items", "prefixItems"}
)
_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})


class _Wider(Exception):
    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where or '/'}: {why}")


def why_wider(narrow: dict[str, Any], wide: dict[str, Any]) -> str | None:
    """Why the first schema can't be shown to be narrower than the second, with the place; None if it can."""
    try:
        _Comparison(narrow, wide).check(narrow, wide, "", 0)
    except _Wider as error:
        return str(error)
    return None


class _Comparison:
    def __init__(self, narrow: dict[str, Any], wide: dict[str, Any]) -> None:
        self._roots = (narrow, wide)
        self._done: set[tuple[int, int]] = set()
        """Pairs already compared or being compared, which recursive schemas reach again."""
        self._left = MAX_COMPARISONS

    def check(self, narrow: Any, wide: Any, where: str, depth: int) -> None:
        """Raise _Wider unless the wide schema admits everything that the narrow one does."""
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise _Wider(where, "the schemas are too deep or too large to compare")
        narrow, wide = _resolved(narrow, self._roots[0], where), _resolved(wide, self._roots[1], where)
        if narrow is False or wide is True or not _asserting(wide) or self._same(narrow, wide):
            return
        if wide is False or narrow is True:
            raise _Wider(where, "admits any value")
        if (id(narrow), id(wide)) in self._done:
            return
        self._done.add((id(narrow), id(wide)))
        self._check_values(narrow, wide, where, depth)

    def _same(self, narrow: Any, wide: Any) -> bool:
        """Whether both are the same JSON, where 1 is not true. A part with references also needs the same definitions."""
        if not _equal(narrow, wide):
            return False
        return "$ref" not in json.dumps(narrow) or _equal(self._roots[0].get("$defs"), self._roots[1].get("$defs"))

    def _check_values(self, narrow: dict[str, Any], wide: dict[str, Any], where: str, depth: int) -> None:
        if (values := _constants(narrow)) is not None:
            self._check_constants(values, wide, where)
        elif "anyOf" in narrow or "oneOf" in narrow:
            self._check_alternatives(narrow, wide, where, depth)
        elif "anyOf" in wide or "oneOf" in wide:
            self._check_one_of(narrow, wide, where, depth)
        else:
            self._check_keywords(narrow, wide, where, depth)

    def _check_constants(self, values: list[Any], wide: dict[str, Any], where: str) -> None:
        from agentgrid.domain import schemas

        if (others := _constants(wide)) is not None and set(wide) <= _ANNOTATIONS | {"enum", "const", "type"}:
            known = {json.dumps(value, sort_keys=True) for value in others}
            if all(json.dumps(value, sort_keys=True) in known for value in values):
                return
        self._left -= COMPILED
        if self._left < 0:
            raise _Wider(where, "the schemas are too large to compare")
        ready = schemas.compiled({**wide, "$defs": self._roots[1].get("$defs", {})})
        for value in values:
            if schemas.faults(ready, value):
                raise _Wider(where, f"{_shown(value)} is not admitted")

    def _check_alternatives(self, narrow: dict[str, Any], wide: dict[str, Any], where: str, depth: int) -> None:
        """Every alternative must be narrower. Keywords next to them only narrow further."""
        name = "anyOf" if "anyOf" in narrow else "oneOf"
        alternatives = narrow[name]
        if not isinstance(alternatives, list) or not alternatives:
            raise _Wider(where, f"{name} must be a list")
        for number, alternative in enumerate(alternatives):
            self.check(alternative, wide, f"{where}/{name}/{number}", depth + 1)

    def _check_one_of(self, narrow: dict[str, Any], wide: dict[str, Any], where: str, depth: int) -> None:
        name = "anyOf" if "anyOf" in wide else "oneOf"
        if set(wide) - _ANNOTATIONS - {name}:
            raise _Wider(where, f"{name} next to other keywords can't be compared: leave this part unchanged")
        if name == "oneOf" and not self._exclusive(wide):
            raise _Wider(where, "oneOf can't be compared: leave this part unchanged")
        reasons = []
        for alternative in wide[name]:
            kept = set(self._done)
            try:
                return self.check(narrow, alternative, where, depth + 1)
            except _Wider as error:
                # Pairs assumed to be narrower under a failed alternative are not proved.
                self._done = kept
                reasons.append(str(error))
        raise _Wider(where, f"fits none of the alternatives ({'; '.join(reasons[:3])[:300]})")

    def _exclusive(self, wide: dict[str, Any]) -> bool:
        """Whether no value fits two alternatives: each requires the discriminator, with different constants."""
        about = wide.get("discriminator")
        name = about.get("propertyName") if isinstance(about, dict) else None
        seen: set[str] = set()
        for alternative in wide["oneOf"]:
            schema = _resolved(alternative, self._roots[1], "")
            if not isinstance(schema, dict) or name not in schema.get("required", []):
                return False
            constants = {json.dumps(value) for value in _constants(schema.get("properties", {}).get(name, {})) or ()}
            if not constants or constants & seen:
                return False
            seen |= constants
        return True

    def _check_keywords(self, narrow: dict[str, Any], wide: dict[str, Any], where: str, depth: int) -> None:
        if _constants(wide) is not None:
            raise _Wider(where, f"must be one of {_shown(_constants(wide))}")
        for name in sorted((set(narrow) | set(wide)) - _COMPARED):
            raise _Wider(where, f"{name} can't be compared: leave this part unchanged")
        _check_type(narrow, wide, where)
        _check_bounds(narrow, wide, where)
        self._check_items(narrow, wide, where, depth)
        self._check_object(narrow, wide, where, depth)

    def _check_items(self, narrow: dict[str, Any], wide: dict[str, Any], where: str, depth: int) -> None:
        first, others = narrow.get("prefixItems", []), wide.get("prefixItems", [])
        if not isinstance(first, list) or not isinstance(others, list) or len(first) != len(others):
            raise _Wider(f"{where}/prefixItems", "must have the same number of items")
        for number, (each, other) in enumerate(zip(first, others, strict=True)):
            self.check(each, other, f"{where}/prefixItems/{number}", depth + 1)
        if "items" in wide:
            self.check(narrow.get("items", True), wide["items"], f"{where}/items", depth + 1)

    def _check_object(self, narrow: dict[str, Any], wide: dict[str, Any], where: str, depth: int) -> None:
        missing = set(wide.get("required", [])) - set(narrow.get("required", []))
        if missing:
            raise _Wider(f"{where}/required", f"must require {', '.join(sorted(missing))}")
        mine, theirs = narrow.get("properties", {}), wide.get("properties", {})
        further, other = narrow.get("additionalProperties", True), wide.get("additionalProperties", True)
        for name, schema in theirs.items():
            self.check(mine.get(name, further), schema, f"{where}/properties/{name}", depth + 1)
        for name in mine.keys() - theirs.keys():
            self.check(mine[name], other, f"{where}/properties/{name}", depth + 1)
        self.check(further, other, f"{where}/additionalProperties", depth + 1)


def _resolved(schema: Any, root: dict[str, Any], where: str) -> Any:
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict | bool):
            raise _Wider(where, "must be a JSON Schema")
        if isinstance(schema, bool) or "$ref" not in schema:
            return schema
        reference = schema["$ref"]
        if set(schema) - _ANNOTATIONS - {"$ref"}:
            raise _Wider(where, "a reference next to other keywords can't be compared: leave this part unchanged")
        name = reference.removeprefix("#/$defs/") if isinstance(reference, str) else ""
        definitions = root.get("$defs")
        if not name or name == reference or not isinstance(definitions, dict) or name not in definitions:
            raise _Wider(where, "a reference must point to one of the schema's own $defs")
        schema = definitions[name]
    raise _Wider(where, "refers to itself")


def _asserting(schema: Any) -> bool:
    return isinstance(schema, dict) and bool(set(schema) - _ANNOTATIONS)


def _constants(schema: dict[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _types(schema: dict[str, Any], where: str) -> set[str] | None:
    declared = schema.get("type")
    if declared is None:
        return None
    types = {declared} if isinstance(declared, str) else set(declared)
    if not types <= _TYPES:
        raise _Wider(f"{where}/type", "is not a type")
    return types


def _check_type(narrow: dict[str, Any], wide: dict[str, Any], where: str) -> None:
    theirs = _types(wide, where)
    if theirs is None:
        return
    mine = _types(narrow, where)
    if "number" in theirs:
        theirs = theirs | {"integer"}
    if mine is None or not mine <= theirs:
        raise _Wider(f"{where}/type", f"must be {' or '.join(sorted(theirs))}")


def _check_bounds(narrow: dict[str, Any], wide: dict[str, Any], where: str) -> None:
    for name in _LEAST & wide.keys():
        if not _is_number(narrow.get(name)) or narrow[name] < wide[name]:
            raise _Wider(f"{where}/{name}", f"must be at least {wide[name]}")
    for name in _MOST & wide.keys():
        if not _is_number(narrow.get(name)) or narrow[name] > wide[name]:
            raise _Wider(f"{where}/{name}", f"must be at most {wide[name]}")
    for name in _SAME & wide.keys():
        if wide[name] is not False and narrow.get(name) != wide[name]:
            raise _Wider(f"{where}/{name}", f"must be {_shown(wide[name])}, as in the code")
    _check_range(narrow, wide, where)
    step = wide.get("multipleOf")
    if step is not None and narrow.get("multipleOf") != step:
        mine = narrow.get("multipleOf")
        if not (isinstance(mine, int) and isinstance(step, int) and step and mine % step == 0):
            raise _Wider(f"{where}/multipleOf", f"must be a multiple of {step}")


def _check_range(narrow: dict[str, Any], wide: dict[str, Any], where: str) -> None:
    for bound, open_bound, sign in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
        for name in (bound, open_bound):
            limit = wide.get(name)
            if limit is None:
                continue
            closed, opened = narrow.get(bound), narrow.get(open_bound)
            within_opened = opened is not None and opened * sign >= limit * sign
            # An inclusive bound is wider than an exclusive bound of the same value.
            strict = name == open_bound
            within_closed = closed is not None and (closed - limit) * sign >= 0 and not (strict and closed == limit)
            if not (within_opened or within_closed):
                raise _Wider(f"{where}/{name}", f"must be {'at least' if sign > 0 else 'at most'} {limit}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
