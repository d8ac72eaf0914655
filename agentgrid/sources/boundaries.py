"""An OpenAPI operation's inputs and outputs, as JSON Schemas and as parts of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentgrid.sources.documents import OpenApiDocument, Operation, Schemas, Unusable
from agentgrid.sources.operations import TEMPLATE, Parameter

MAX_DESCRIPTION = 4_000
IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})
"""Header parameters that OpenAPI ignores."""
REFUSED_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "cookie", "expect"}
    | {"accept-encoding", "proxy-authorization", "proxy-connection", "keep-alive"}
)


class Inputs:
    """The arguments of a call: the operation's parameters and body. Raises Unusable."""

    def __init__(self, document: OpenApiDocument, operation: Operation) -> None:
        self._document = document
        self._schemas = Schemas(document, hidden="readOnly")
        self.parameters: list[Parameter] = []
        self.body: str | None = None
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        for spec in operation.parameters:
            self._add_parameter(spec)
        in_path = {parameter.name for parameter in self.parameters if parameter.where == "path"}
        if in_path != set(TEMPLATE.findall(operation.path)):
            raise Unusable("its path and its path parameters have different names")
        self._add_body(operation)

    def _add_parameter(self, spec: Mapping[str, Any]) -> None:
        name, where = str(spec.get("name") or ""), str(spec.get("in") or "")
        if not name or where not in ("path", "query", "header", "cookie"):
            raise Unusable(f"its parameter {name!r} is in {where!r}")
        if where == "header" and name.lower() in IGNORED_HEADERS:
            return
        if where == "cookie":
            if spec.get("required"):
                raise Unusable(f"its parameter {name!r} is a cookie, which is not supported")
            return
        if where == "header" and name.lower() in REFUSED_HEADERS:
            raise Unusable(f"its parameter {name!r} is a header that tools may not set")
        argument = name if name not in self._properties and name != "body" else f"{name}_{where}"
        content = spec.get("content")
        schema = spec.get("schema", {})
        if isinstance(content, Mapping) and content:
            media, value = next(iter(content.items()))
            if not is_json(str(media)):
                raise Unusable(f"its parameter {name!r} is sent as {media}, which is not supported")
            schema = value.get("schema", {}) if isinstance(value, Mapping) else {}
        style = str(spec.get("style") or ("form" if where == "query" else "simple"))
        if style not in (("form", "deepObject") if where == "query" else ("simple",)):
            raise Unusable(f"its parameter {name!r} has the style {style}, which is not supported")
        converted = self._schemas.of(schema)
        if (description := spec.get("description")) and isinstance(converted, dict):
            converted.setdefault("description", str(description)[:MAX_DESCRIPTION])
        self._properties[argument] = converted
        if spec.get("required") or where == "path":
            self._required.append(argument)
        self.parameters.append(
            Parameter(
                argument=argument,
                name=name,
                where=where,
                explode=bool(spec.get("explode", where == "query")),
                deep=style == "deepObject",
                as_json=bool(content),
            )
        )

    def _add_body(self, operation: Operation) -> None:
        body = self._document.resolved(operation.spec.get("requestBody"))
        if not isinstance(body, Mapping):
            return
        content = body.get("content")
        media = next((str(key) for key in content if is_json(str(key))), None) if isinstance(content, Mapping) else None
        if media is None:
            if not body.get("required"):
                return
            raise Unusable(
                f"its body is {', '.join(map(str, content or ())) or 'untyped'}, not JSON: select other operations with include=[...]"
            )
        described = content[media] if isinstance(content, Mapping) else {}
        self.body = "application/json" if "*" in media else media
        self._properties["body"] = self._schemas.of(
            described.get("schema", {}) if isinstance(described, Mapping) else {}
        )
        if body.get("required"):
            self._required.append("body")

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        schema = {"type": "object", "properties": self._properties, "additionalProperties": False}
        return self._schemas.with_defs(schema | ({"required": self._required} if self._required else {}))


def output_schema(document: OpenApiDocument, operation: Operation) -> dict[str, Any] | None:
    """The schema of a successful result, or None if the document has none. A response without a body is null."""
    responses = operation.spec.get("responses")
    by_status: dict[str, Any] = (
        {str(code): response for code, response in responses.items()} if isinstance(responses, Mapping) else {}
    )
    good = [code for code in by_status if code.startswith("2")] or [code for code in by_status if code == "default"]
    schemas = Schemas(document, hidden="writeOnly")
    variants: list[Any] = []
    for code in good:
        content = (document.resolved(by_status[code]) or {}).get("content")
        if not isinstance(content, Mapping) or not content or operation.method == "HEAD":
            variants.append({"type": "null"})
            continue
        media = next((key for key in content if is_json(str(key))), None)
        if media is None or not isinstance(content[media], Mapping) or "schema" not in content[media]:
            return None
        variants.append(schemas.of(content[media]["schema"]))
    if not variants:
        return None
    return schemas.with_defs(
        variants[0] if len(variants) == 1 and isinstance(variants[0], dict) else {"anyOf": variants}
    )


def is_json(media: str) -> bool:
    """Whether a body of this media type is JSON."""
    kind = media.partition(";")[0].strip().lower()
    return kind in ("application/json", "*/*", "application/*") or kind.endswith("+json")
