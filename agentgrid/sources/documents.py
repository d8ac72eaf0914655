"""Reads OpenAPI documents, resolves their local references, and converts their schemas to self-contained JSON Schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentgrid.domain import pointers

MAX_BYTES = 16 * 1024 * 1024
MAX_REFERENCES = 20
"""Maximum length of a chain of references."""
MAX_DEPTH = 100
VERSIONS = re.compile(r"3\.[01]\.\d+\S*")
METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")

SCHEMA_KEYWORDS = (
    *("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
"""Keywords whose value is a schema."""
LIST_KEYWORDS = ("allOf", "anyOf", "oneOf", "prefixItems")
MAP_KEYWORDS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
DROPPED_KEYWORDS = frozenset(
    {"discriminator", "xml", "externalDocs", "example", "nullable", "$schema", "$id", "$anchor"}
)
"""Keywords that JSON Schema doesn't have, or that are converted to others."""


class Unusable(Exception):
    """Why part of a document can't be used."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation, with its references to parameters, bodies and responses resolved."""

    method: str
    path: str
    spec: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]
    servers: tuple[Any, ...]
    security: tuple[Any, ...]

    @property
    def id(self) -> str:
        """Its operationId, or an empty string."""
        return str(self.spec.get("operationId") or "")

    @property
    def place(self) -> str:
        """How messages name it."""
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
        """Every operation; for an unreadable one, why."""
        for path, entry in _mapping(self.root.get("paths")).items():
            try:
                item = _mapping(self.resolved(entry))
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
            for parameter_or_reference in listed if isinstance(listed, list) else ():
                parameter = _mapping(self.resolved(parameter_or_reference))
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
        """The value, with references followed. Raises Unusable."""
        for _ in range(MAX_REFERENCES):
            if not (isinstance(value, Mapping) and isinstance(value.get("$ref"), str)):
                return value
            value = self.at(value["$ref"])
        raise Unusable(f"its references are circular, or form a chain of over {MAX_REFERENCES}")

    def at(self, reference: str) -> Any:
        """The target of a local reference. Raises Unusable."""
        if not reference.startswith("#/"):
            raise Unusable(f"the reference {reference[:200]!r} leaves the document: copy its target into the document")
        try:
            return pointers.referenced(self.root, reference)
        except LookupError:
            raise Unusable(f"the reference {reference[:200]!r} has no target") from None


def parsed(data: bytes) -> OpenApiDocument:
    """Parse the document. Raises Unusable."""
    if len(data) > MAX_BYTES:
        raise Unusable(f"the document is over {MAX_BYTES // 1024 // 1024} MiB")
    try:
        root = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"the document is not JSON: {str(error)[:200]}. Convert YAML to JSON first") from None
    if not isinstance(root, dict):
        raise Unusable("the document is not a JSON object")
    return OpenApiDocument(root)


class Schemas:
    """Converts a document's schemas to self-contained JSON Schemas, with the targets of references in `defs`.

    hidden: `readOnly` for requests, `writeOnly` for responses; properties with this keyword are left out.
    """

    def __init__(self, document: OpenApiDocument, *, hidden: str) -> None:
        self._document = document
        self._hidden = hidden
        self._names: dict[str, str] = {}
        self.defs: dict[str, Any] = {}

    def of(self, schema: Any) -> Any:
        """The schema, converted to JSON Schema 2020-12. Raises Unusable."""
        return self._schema(schema, 0)

    def with_defs(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema, with every definition it refers to."""
        return {**schema, "$defs": self.defs} if self.defs else schema

    def _schema(self, source: Any, depth: int) -> Any:
        if isinstance(source, bool):
            return source
        if not isinstance(source, Mapping):
            raise Unusable("one of its schemas is neither an object nor a boolean")
        if depth > MAX_DEPTH:
            raise Unusable(f"a schema is nested deeper than {MAX_DEPTH} levels")
        if isinstance(reference := source.get("$ref"), str):
            named = {"$ref": f"#/$defs/{self._reference_name(reference, depth)}"}
            if self._document.is_3_0:
                return named
            return named | self._keywords({key: value for key, value in source.items() if key != "$ref"}, depth)
        return self._keywords(source, depth)

    def _reference_name(self, reference: str, depth: int) -> str:
        if reference not in self._names:
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rsplit("/", 1)[-1])
            while name in self.defs:
                name += "_"
            self._names[reference] = name
            self.defs[name] = {}
            self.defs[name] = self._schema(self._document.at(reference), depth + 1)
        return self._names[reference]

    def _keywords(self, source: Mapping[str, Any], depth: int) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for key, value in source.items():
            if key in DROPPED_KEYWORDS or key.startswith("x-"):
                continue
            if key in SCHEMA_KEYWORDS and isinstance(value, (Mapping, bool)):
                converted[key] = self._schema(value, depth + 1)
            elif key in LIST_KEYWORDS and isinstance(value, list):
                converted[key] = [self._schema(part, depth + 1) for part in value]
            elif key in MAP_KEYWORDS and isinstance(value, Mapping):
                converted[key] = {str(name): self._schema(part, depth + 1) for name, part in value.items()}
            else:
                converted[key] = value
        self._hide(converted)
        return _modern(source, converted) if self._document.is_3_0 else converted

    def _hide(self, converted: dict[str, Any]) -> None:
        properties, required = converted.get("properties"), converted.get("required")
        if not isinstance(properties, dict):
            return
        hidden = {
            name for name, part in properties.items() if isinstance(part, dict) and part.get(self._hidden) is True
        }
        if hidden:
            converted["properties"] = {name: part for name, part in properties.items() if name not in hidden}
            if isinstance(required, list):
                converted["required"] = [name for name in required if name not in hidden]


def _modern(source: Mapping[str, Any], converted: dict[str, Any]) -> dict[str, Any]:
    """Replace keywords that only version 3.0 has."""
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(flag := converted.get(exclusive), bool):
            del converted[exclusive]
            if flag and limit in converted:
                converted[exclusive] = converted.pop(limit)
    if source.get("nullable") is not True:
        return converted
    if isinstance(kind := converted.get("type"), str):
        converted["type"] = [kind, "null"]
        if isinstance(values := converted.get("enum"), list) and None not in values:
            converted["enum"] = [*values, None]
        return converted
    return {"anyOf": [converted, {"type": "null"}]} if converted else converted


def _mapping(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Unusable("part of it is not a JSON object where one is expected")
    return value
