"""Reads the handlers of a workflow class: names, docstrings, and schemas of arguments and results."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from temporalio import workflow as temporal

from agentgrid.domain.handlers import MAX_NAME, RESERVED, Handler, HandlerKind, Handlers
from agentgrid.sdk.schema import input_schema_of, json_fault, schema_of, secret_defaults

MAX_DESCRIPTION = 4_000

SET_WHILE_RUNNING = re.compile(r"set_(?:dynamic_)?(signal|query|update)_handler")
"""The functions that set handlers at run time. The names of those handlers aren't known in advance."""


def handlers_of(cls: type[Any], modules: Iterable[ast.Module]) -> Handlers:
    """The handlers of a workflow class. modules: the syntax trees of its module and of the grid's modules that it imports."""
    definition = temporal._Definition.must_from_class(cls)
    defined: dict[HandlerKind, Mapping[str | None, Any]] = {
        HandlerKind.SIGNAL: definition.signals,
        HandlerKind.QUERY: definition.queries,
        HandlerKind.UPDATE: definition.updates,
    }
    open_kinds = {kind for tree in (*modules, *_modules_of_bases(cls)) for kind in _set_while_running(tree, cls)}
    open_kinds |= {kind for kind, by_name in defined.items() if None in by_name}
    return Handlers(
        **{
            kind.plural: tuple(_handler(kind, name, by_name[name]) for name in sorted(filter(None, by_name)))
            for kind, by_name in defined.items()
        },
        dynamic=tuple(kind for kind in HandlerKind if kind in open_kinds),
    )


def faults_of(handlers: Handlers) -> Iterator[str]:
    """Why the handlers can't be registered."""
    # Imported here, because workflow code imports this package and never validates.
    from agentgrid.domain import schemas

    for kind in HandlerKind:
        for name, handler in handlers.of(kind).items():
            if name.startswith(RESERVED):
                yield f"the {kind} {name!r}: names that begin with `agentgrid.` or `__` are reserved: rename it"
            for secret in secret_defaults(handler.input_schema):
                yield f"the {kind} {name!r}: {secret!r} has a secret as its default, which is visible in the schema"
            try:
                schemas.compiled(handler.input_schema)
            except ValueError as error:
                yield f"the {kind} {name!r}: the schema of its arguments can't be used: {error}"


def _handler(kind: HandlerKind, name: str, defined: Any) -> Handler:
    hints = _hints(defined.fn)
    described = defined.description or inspect.cleandoc(defined.fn.__doc__ or "")
    return Handler(
        name=name[:MAX_NAME],
        description=described[:MAX_DESCRIPTION],
        input_schema=_arguments(defined.fn, hints, is_method=defined.is_method),
        output_schema=None if kind is HandlerKind.SIGNAL or "return" not in hints else schema_of(hints["return"]),
    )


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except Exception:
        # Temporal also runs a handler whose annotations can't be resolved, with any arguments.
        return {}


def _arguments(fn: Callable[..., Any], hints: Mapping[str, Any], *, is_method: bool) -> dict[str, Any]:
    """The schema of the handler's arguments as one array."""
    parameters = list(inspect.signature(fn).parameters.values())[1 if is_method else 0 :]
    named = [item for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
    fixed = not any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    if not named:
        return {"type": "array", "maxItems": 0} if fixed else {"type": "array"}
    types = [hints.get(parameter.name, Any) for parameter in named]
    types = [annotation if json_fault(annotation) is None else Any for annotation in types]
    schema = input_schema_of(tuple[tuple(types)])  # type: ignore[misc]
    items = schema.get("prefixItems") or [{} for _ in named]
    required = sum(parameter.default is parameter.empty for parameter in named)
    arguments = {
        "type": "array",
        "prefixItems": [{**item, "title": parameter.name} for item, parameter in zip(items, named, strict=True)],
        "minItems": required,
    }
    if fixed:
        arguments |= {"items": False, "maxItems": len(named)}
    return {**arguments, "$defs": schema["$defs"]} if "$defs" in schema else arguments


def _set_while_running(tree: ast.Module, cls: type[Any]) -> Iterator[HandlerKind]:
    """The kinds of handlers that this module's code sets at run time. Other workflow classes in it are ignored."""
    own = {base.__name__ for base in cls.__mro__}
    for top in tree.body:
        if isinstance(top, ast.ClassDef) and top.name not in own and top.decorator_list:
            continue
        for node in ast.walk(top):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if (match := SET_WHILE_RUNNING.fullmatch(name)) is not None:
                yield HandlerKind(match[1])


def _modules_of_bases(cls: type[Any]) -> Iterator[ast.Module]:
    """The modules of the class's bases: those outside the grid may also set handlers."""
    for name in {base.__module__ for base in cls.__mro__[1:] if base is not object}:
        try:
            yield ast.parse(inspect.getsource(sys.modules[name]))
        except (OSError, TypeError, KeyError, SyntaxError):
            continue
