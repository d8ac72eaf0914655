"""What a function takes and gives, as one pydantic model, its JSON Schema and its digest."""

from __future__ import annotations

import ast
import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from agentgrid.domain.canonical import digest

VERSION_LENGTH = 12
"""A version is this many hexadecimal digits of its digest."""


class Signature:
    """The typed boundary of one function: arguments to JSON and back, result to JSON and back.

    Raises TypeError with what is wrong where an annotation is missing or can't be said in JSON.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.signature = inspect.signature(fn)
        hints = typing.get_type_hints(fn, include_extras=True)
        fields: dict[str, Any] = {}
        for name, parameter in self.signature.parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise TypeError(
                    f"parameter {name!r} must be an ordinary one: *args, **kwargs and positional-only ones have no JSON name"
                )
            if name not in hints:
                raise TypeError(f"parameter {name!r} has no annotation")
            if name.startswith("_"):
                raise TypeError(f"parameter {name!r} begins with an underscore: pydantic would leave it out")
            if isinstance(parameter.default, (list, dict, set)):
                raise TypeError(f"parameter {name!r} has a mutable default; use None or an immutable value")
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints[name], default)
        if "return" not in hints:
            raise TypeError("the result has no annotation")
        try:
            self.arguments: type[BaseModel] = create_model(fn.__name__, __config__=ConfigDict(extra="forbid"), **fields)
            self.result: TypeAdapter[Any] = TypeAdapter(hints["return"])
            self.input_schema: dict[str, Any] = self.arguments.model_json_schema()
            self.output_schema: dict[str, Any] = self.result.json_schema(mode="serialization")
        except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError) as error:
            raise TypeError(f"a type can't be said in JSON: {str(error).splitlines()[0]}") from error
        self.input_schema.pop("title", None)

    def dump_arguments(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The call's arguments as a JSON object. Raises TypeError or pydantic's ValidationError for a wrong call."""
        bound = self.signature.bind(*args, **kwargs)
        return self.arguments(**bound.arguments).model_dump(mode="json")

    def load_arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        """The typed keyword arguments in a JSON object. Raises pydantic's ValidationError."""
        model = self.arguments.model_validate(values)
        return {name: getattr(model, name) for name in self.arguments.model_fields}


def schema_of(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a type; `{}` for one that can't be said. None means null."""
    try:
        return TypeAdapter(annotation).json_schema()
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError):
        return {}


@functools.cache
def canonical_source(path: str) -> str:
    """A Python file without what doesn't run: comments, docstrings and layout."""
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
    """A short digest over JSON values."""
    return digest(list(parts))[:VERSION_LENGTH]
