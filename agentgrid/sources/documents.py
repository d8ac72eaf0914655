"""OpenAPI documents: reading one, following its local references, and its schemas as JSON Schemas that stand alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentgrid.domain import pointers

MAX_BYTES = 16 * 1024 * 1024
MAX_REFERENCES = 20
"""Maximum number of references that lead to one another."""
MAX_DEPTH = 100
VERSIONS = re.compile(r"3\.[01]\.\d+\S*")
METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")

ONE = (
    *("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
"""Keywords whose value is a schema."""
MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
DROPPED = frozenset({"discriminator", "xml", "externalDocs", "example", "nullable", "$schema", "$id", "$anchor"})
"""Keywords that mean nothing to a JSON Schema, or whose meaning is converted."""


class Unusable(Exception):
    """Why a part of a document can't be used."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation, with its references to parameters, bodies and responses resolved."""

    method: str
    path: str
    spec: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]
    servers: tuple[Any, ...]
    security: tuple[Any, ...]

    @property
    def id(self) -> str:
        """Its operationId; empty without one."""
        return str(self.spec.get("operationId") or "")

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"{self.method} {self.path}" + (f" ({self.id})" if self.id else "")


@dataclass
class OpenApiDocument:
    """An OpenAPI document of version 3.0 or 3.1."""

    root: Mapping[str, Any]
    is_3_0: bool = field(init=False)

    def __post_init__(self) -> None:
        version = self.root.get("openapi")
        if not isinstance(version, str) or VERSIONS.fullmatch(version) is None:
            raise Unusable(f"it is not an OpenAPI document of version 3.0 or 3.1: its `openapi` is {version!r}")
        self.is_3_0 = version.startswith("3.0")

    def operations(self) -> Iterator[Operation | Unusable]:
        """Every operation, or why it can't be read."""
        for path, found in _mapping(self.root.get("paths")).items():
            try:
                item = _mapping(self.resolved(found))
            except Unusable as error:
                yield Unusable(f"{path}: {error}")
                continue
            for method in METHODS:
                if method in item:
                    try:
                        yield self._operation(method.upper(), str(path), item, _mapping(item[method]))
                    except Unusable as error:
                        yield Unusable(f"{method.upper()} {path}: {error}")

    def _operation(self, method: str, path: str, item: Mapping[str, Any], spec: Mapping[str, Any]) -> Operation:
        parameters: dict[tuple[str, str], Mapping[str, Any]] = {}
        for listed in (item.get("parameters"), spec.get("parameters")):
            for each in listed if isinstance(listed, list) else ():
                parameter = _mapping(self.resolved(each))
                parameters[str(parameter.get("name")), str(parameter.get("in"))] = parameter
        servers = spec.get("servers") or item.get("servers") or self.root.get("servers") or ()
        security = spec["security"] if "security" in spec else self.root.get("security") or ()
        return Operation(
            method=method,
            path=path,
            spec=spec,
            parameters=tuple(parameters.values()),
            servers=tuple(servers) if isinstance(servers, list) else (),
            security=tuple(security) if isinstance(security, list) else (),
        )

    def resolved(self, value: Any) -> Any:
        """The value, or what its reference means. Raises Unusable."""
        for _ in range(MAX_REFERENCES):
            if not (isinstance(value, Mapping) and isinstance(value.get("$ref"), str)):
                return value
            value = self.at(value["$ref"])
        raise Unusable("its references lead to one another without an end")

    def at(self, reference: str) -> Any:
        """What a local reference points to. Raises Unusable."""
        if not reference.startswith("#/"):
            raise Unusable(f"the reference {reference[:200]!r} leaves the document: copy its target into it")
        try:
            return pointers.referenced(self.root, reference)
        except LookupError:
            raise Unusable(f"the reference {reference[:200]!r} points to nothing") from None


def parsed(data: bytes) -> OpenApiDocument:
    """The document in these bytes. Raises Unusable."""
    if len(data) > MAX_BYTES:
        raise Unusable(f"the document is over {MAX_BYTES // 1024 // 1024} MiB")
    try:
        root = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"the document is not JSON: {str(error)[:200]}; convert one in YAML first") from None
    if not isinstance(root, dict):
        raise Unusable("the document is not a JSON object")
    return OpenApiDocument(root)


class Schemas:
    """Schemas of a document as JSON Schemas that stand alone: what they refer to is in `defs`.

    hidden: `readOnly` for what is sent, `writeOnly` for what comes back: such properties are left out.
    """

    def __init__(self, document: OpenApiDocument, *, hidden: str) -> None:
        self._document = document
        self._hidden = hidden
        self._names: dict[str, str] = {}
        self.defs: dict[str, Any] = {}

    def of(self, given: Any) -> Any:
        """The schema, converted to JSON Schema 2020-12. Raises Unusable."""
        return self._schema(given, 0)

    def with_defs(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with everything that it refers to."""
        return {**schema, "$defs": self.defs} if self.defs else schema

    def _schema(self, given: Any, depth: int) -> Any:
        if isinstance(given, bool):
            return given
        if not isinstance(given, Mapping):
            raise Unusable("a schema in it is neither an object nor a boolean")
        if depth > MAX_DEPTH:
            raise Unusable(f"a schema is nested deeper than {MAX_DEPTH} levels")
        if isinstance(reference := given.get("$ref"), str):
            named = {"$ref": f"#/$defs/{self._named(reference, depth)}"}
            if self._document.is_3_0:
                return named
            return named | self._keywords({key: value for key, value in given.items() if key != "$ref"}, depth)
        return self._keywords(given, depth)

    def _named(self, reference: str, depth: int) -> str:
        if reference not in self._names:
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rsplit("/", 1)[-1])
            while name in self.defs:
                name += "_"
            self._names[reference] = name
            self.defs[name] = {}
            self.defs[name] = self._schema(self._document.at(reference), depth + 1)
        return self._names[reference]

    def _keywords(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in given.items():
            if key in DROPPED or key.startswith("x-"):
                continue
            if key in ONE and isinstance(value, (Mapping, bool)):
                made[key] = self._schema(value, depth + 1)
            elif key in MANY and isinstance(value, list):
                made[key] = [self._schema(each, depth + 1) for each in value]
            elif key in NAMED and isinstance(value, Mapping):
                made[key] = {str(name): self._schema(each, depth + 1) for name, each in value.items()}
            else:
                made[key] = value
        self._hide(made)
        return _modern(given, made) if self._document.is_3_0 else made

    def _hide(self, made: dict[str, Any]) -> None:
        properties, required = made.get("properties"), made.get("required")
        if not isinstance(properties, dict):
            return
        hidden = {
            name for name, each in properties.items() if isinstance(each, dict) and each.get(self._hidden) is True
        }
        if hidden:
            made["properties"] = {name: each for name, each in properties.items() if name not in hidden}
            if isinstance(required, list):
                made["required"] = [name for name in required if name not in hidden]


def _modern(given: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """Replace version 3.0's own spellings."""
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(flag := made.get(exclusive), bool):
            del made[exclusive]
            if flag and limit in made:
                made[exclusive] = made.pop(limit)
    if given.get("nullable") is not True:
        return made
    if isinstance(kind := made.get("type"), str):
        made["type"] = [kind, "null"]
        if isinstance(values := made.get("enum"), list) and None not in values:
            made["enum"] = [*values, None]
        return made
    return {"anyOf": [made, {"type": "null"}]} if made else made


def _mapping(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Unusable("a part of it is not a JSON object where one is expected")
    return value
