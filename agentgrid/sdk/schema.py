"""Function parameters and results as pydantic models, with their JSON Schemas and digest."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re
import typing
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    PydanticUserError,
    RootModel,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, from_json

from agentgrid.domain.canonical import digest, sorted_json

VERSION_LENGTH = 12
"""Number of hexadecimal digits of a version."""

SCALARS = (bool, float, int, str)

MAX_FAULTS = 5
"""Maximum number of faults in a message."""

SCHEMA_ERRORS = (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError, KeyError)
"""Pydantic's errors for a type without a JSON Schema. KeyError: a hand-written reference to a missing definition."""

SECRET_NAME = re.compile(
    r"(.*[_-])?(password|passwd|secret|api_?key|private_key|access_token|credentials?)", re.IGNORECASE
)
SECRET_VALUE = re.compile(
    r"\bag_[0-9a-z]{16}_|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[0-9A-Za-z]{30}|\bsk-[0-9A-Za-z_-]{20}|\bxox[abprs]-\w"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\beyJ[\w-]+\.eyJ"
)
"""API keys of AgentGrid, AWS, GitHub, OpenAI and Anthropic, and Slack; private keys in PEM; JSON Web Tokens."""

_ANY: TypeAdapter[Any] = TypeAdapter(Any)


class _JsonSchema(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        return arranged(dft, super().encode_default(dft))


class _InputSchema(_JsonSchema):
    """The schema of a workflow's input, which refuses unknown fields, as tool arguments do.

    Exceptions: a type whose author set `extra`, and a type that pydantic also fills from names that aren't in the schema.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _closed(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _closed(super().dataclass_schema(schema), schema["cls"])

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return _closed(super().typed_dict_schema(schema), schema.get("cls"))


def _closed(schema: JsonSchemaValue, cls: Any) -> JsonSchemaValue:
    config = getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", None) or {}
    fields = getattr(cls, "model_fields", None) or getattr(cls, "__pydantic_fields__", None) or {}
    by_other_names = config.get("populate_by_name") or config.get("validate_by_name")
    by_other_names = by_other_names or any(
        isinstance(field.validation_alias, (AliasChoices, AliasPath)) for field in fields.values()
    )
    if schema.get("type") == "object" and "extra" not in config and not by_other_names:
        schema.setdefault("additionalProperties", False)
    return schema


class Boundary(typing.Protocol):
    """Converts a tool's arguments and result to JSON and back."""

    input_schema: dict[str, Any]
    output_schema: dict[str, Any]

    def dump_arguments(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The call's arguments as a JSON object. Raises TypeError or ValueError for an invalid call."""

    def load_arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        """The function's keyword arguments. Raises ValueError if the JSON object does not fit."""

    def dump_result(self, result: Any) -> tuple[Any, int]:
        """The result as a JSON value, and its length in bytes. Raises ValueError if it does not fit."""

    def load_result(self, value: Any) -> Any:
        """The typed result from a JSON value. Raises ValueError."""


class Signature:
    """The boundary of a typed function.

    Raises TypeError if an annotation is missing or can't be represented in JSON.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.signature = inspect.signature(fn)
        hints = typing.get_type_hints(fn, include_extras=True)
        fields: dict[str, Any] = {}
        for name, parameter in self.signature.parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise TypeError(
                    f"parameter {name!r} must be an ordinary one: *args, **kwargs and positional-only parameters have no name in JSON"
                )
            if name not in hints:
                raise TypeError(f"parameter {name!r} has no annotation")
            if name.startswith("_"):
                raise TypeError(f"parameter {name!r} begins with an underscore, so pydantic would ignore it: rename it")
            if is_mutable(parameter.default):
                raise TypeError(f"parameter {name!r} has a mutable default; use None or an immutable value")
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints[name], default)
        if "return" not in hints:
            raise TypeError("the result has no annotation")
        try:
            self.arguments: type[BaseModel] = create_model(fn.__name__, __config__=ConfigDict(extra="forbid"), **fields)
            self.result = adapter_of(hints["return"])
            self.input_schema: dict[str, Any] = self.arguments.model_json_schema(schema_generator=_JsonSchema)
            self.output_schema: dict[str, Any] = self.result.json_schema(
                mode="serialization", schema_generator=_JsonSchema
            )
        except SCHEMA_ERRORS as error:
            raise TypeError(f"a type can't be represented in JSON: {_why(error)}") from error
        self.input_schema.pop("title", None)
        self._arranges = may_hold_sets(self.input_schema)

    def dump_arguments(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The call's arguments as a JSON object. Raises TypeError or pydantic's ValidationError for an invalid call."""
        bound = self.signature.bind(*args, **kwargs)
        model = self.arguments(**bound.arguments)
        dumped = model.model_dump(mode="json")
        return typing.cast(dict[str, Any], arranged(model, dumped)) if self._arranges else dumped

    def dump_result(self, result: Any) -> tuple[Any, int]:
        """The result as a JSON value for history, and its length in bytes. Raises ValueError if the value doesn't fit the annotation.

        The JSON must decode as the annotation: a dict with a model's fields is accepted, but not None for a string or NaN for a number.
        """
        data = self.result.dump_json(result, warnings=False)
        value = from_json(data)
        self.load_result(value)
        return value, len(data)

    def load_result(self, value: Any) -> Any:
        """The typed result from a JSON value. Raises pydantic's ValidationError."""
        return self.result.validate_python(value)

    def load_arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        """The typed keyword arguments in a JSON object. Raises pydantic's ValidationError."""
        model = self.arguments.model_validate(values)
        return {name: getattr(model, name) for name in self.arguments.model_fields}


def adapter_of(annotation: Any) -> TypeAdapter[Any]:
    """The adapter for a type. Scalars are strict: "1" is not a number, and 1 is not True.

    Other types are not, because a type with a custom serializer may decode as loosely as its author likes.
    """
    strict = any(annotation is scalar for scalar in SCALARS)
    return TypeAdapter(annotation, config=ConfigDict(strict=True) if strict else None)


def message_of(error: Exception) -> str:
    """An error's message without quoted values, which may be payloads: more people can read error messages than payloads."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'the value'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_FAULTS]
    )


def schema_of(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a type; `{}` for a type without one. None means null."""
    return _schema_of(annotation, _JsonSchema)


def input_schema_of(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a workflow's input, which refuses unknown fields; `{}` for a type without one."""
    return _schema_of(annotation, _InputSchema)


def _schema_of(annotation: Any, generator: type[GenerateJsonSchema]) -> dict[str, Any]:
    try:
        return TypeAdapter(annotation).json_schema(schema_generator=generator)
    except SCHEMA_ERRORS:
        return {}


def json_fault(annotation: Any) -> str | None:
    """Why a type can't be represented in JSON, or None if it can."""
    try:
        TypeAdapter(annotation).json_schema()
    except SCHEMA_ERRORS as error:
        return _why(error)
    return None


def _why(error: Exception) -> str:
    return f"it contains a broken reference: {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]


def to_json_value(value: Any) -> Any:
    """The value as JSON. Raises PydanticSerializationError if pydantic can't serialise it."""
    return arranged(value, _ANY.dump_python(value, mode="json"))


def arranged(value: Any, dumped: Any) -> Any:
    """Pydantic's JSON of a value, with the items of sets sorted by their JSON.

    The order of a set depends on the process: unsorted, an equal call would have a different key and digest on another worker.
    """
    if isinstance(value, RootModel):
        return arranged(value.root, dumped)
    if isinstance(dumped, list) and isinstance(value, (list, tuple, deque, Set)) and len(value) == len(dumped):
        items = [arranged(item, inner) for item, inner in zip(value, dumped, strict=True)]
        return sorted(items, key=sorted_json) if isinstance(value, Set) else items
    if not isinstance(dumped, dict):
        return dumped
    if isinstance(value, Mapping):
        if len(value) != len(dumped):
            return dumped
        pairs = zip(value.values(), dumped.items(), strict=True)
        return {name: arranged(item, inner) for item, (name, inner) in pairs}
    attributes = _attributes(value)
    return {name: arranged(attributes.get(name), inner) for name, inner in dumped.items()}


def _attributes(value: Any) -> dict[str, Any]:
    """The field values of a model or dataclass, by name and by alias."""
    if isinstance(value, BaseModel):
        model = type(value)
        values = dict(value)
        values |= {name: getattr(value, name) for name in model.model_computed_fields}
        fields: dict[str, Any] = {**model.model_fields, **model.model_computed_fields}
        aliases = {name: getattr(field, "serialization_alias", None) or field.alias for name, field in fields.items()}
        return {aliases[name]: item for name, item in values.items() if aliases.get(name)} | values
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}


_COMBINED = ("anyOf", "oneOf", "allOf", "prefixItems")


def may_hold_sets(schema: Any) -> bool:
    """Whether a value of this JSON Schema can contain sets, because its type says so or is unspecified."""
    if not isinstance(schema, dict):
        return schema is True
    inner = [*schema.get("$defs", {}).values(), *schema.get("properties", {}).values()]
    inner += [subschema for name in _COMBINED for subschema in schema.get(name, ())]
    inner += [schema[name] for name in ("items", "additionalProperties") if name in schema]
    kind = schema.get("type")
    if kind == "array":
        return bool(schema.get("uniqueItems")) or not inner or any(map(may_hold_sets, inner))
    if kind == "object" and "properties" not in schema and "additionalProperties" not in schema:
        return True
    if kind is None and not schema.keys() & {"$ref", "enum", "const", *_COMBINED}:
        return True
    return any(map(may_hold_sets, inner))


def is_mutable(default: Any) -> bool:
    """Whether the default is mutable, which all calls would share."""
    return isinstance(default, (list, dict, set))


def is_secret(name: str, default: Any) -> bool:
    """Whether a default looks like a secret, by its parameter's name or its form."""
    if not isinstance(default, str) or not default:
        return False
    return SECRET_NAME.fullmatch(name) is not None or SECRET_VALUE.search(default) is not None


def secret_defaults(schema: Any) -> Iterator[str]:
    """The properties in a JSON Schema whose default looks like a secret."""
    if isinstance(schema, list):
        for subschema in schema:
            yield from secret_defaults(subschema)
    elif isinstance(schema, dict):
        properties = schema.get("properties")
        for name, described in properties.items() if isinstance(properties, dict) else ():
            if isinstance(described, dict) and is_secret(name, described.get("default")):
                yield name
        for subschema in schema.values():
            yield from secret_defaults(subschema)


@functools.cache
def canonical_source(path: str) -> str:
    """The source of a Python file without comments, docstrings and formatting."""
    tree = ast.parse(Path(path).read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body
            if (
                body
                and isinstance(body[0], ast.Expr)
                and isinstance(body[0].value, ast.Constant)
                and isinstance(body[0].value.value, str)
            ):
                node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def version_of(*parts: Any) -> str:
    """A short digest of JSON values."""
    return digest(list(parts))[:VERSION_LENGTH]
