"""Reads a workflow class's handlers: names, docstrings, and schemas of arguments and results."""

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
"""The functions with which workflow code sets handlers while it runs. Their names can't be known before."""


def handlers_of(cls: type[Any], modules: Iterable[ast.Module]) -> Handlers:
    """The handlers of a workflow class. modules: its own and those of the grid that it imports, parsed."""
    definition = temporal._Definition.must_from_class(cls)
    found: dict[HandlerKind, Mapping[str | None, Any]] = {
        HandlerKind.SIGNAL: definition.signals,
        HandlerKind.QUERY: definition.queries,
        HandlerKind.UPDATE: definition.updates,
    }
    open_kinds = {kind for tree in (*modules, *_modules_of_bases(cls)) for kind in _set_while_running(tree, cls)}
    open_kinds |= {kind for kind, defined in found.items() if None in defined}
    return Handlers(
        **{
            kind.plural: tuple(_handler(kind, name, defined[name]) for name in sorted(filter(None, defined)))
            for kind, defined in found.items()
        },
        dynamic=tuple(kind for kind in HandlerKind if kind in open_kinds),
    )


def faults_of(handlers: Handlers) -> Iterator[str]:
    """Why the handlers can't be registered as they are."""
    # Imported here, because workflow code imports this package and never validates.
    from agentgrid.domain import schemas

    for kind in HandlerKind:
        for name, handler in handlers.of(kind).items():
            if name.startswith(RESERVED):
                yield f"the {kind} {name!r}: names that begin with `agentgrid.` or `__` are reserved"
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
        # Temporal, too, runs a handler whose annotations can't be resolved: it takes anything.
        return {}


def _arguments(fn: Callable[..., Any], hints: Mapping[str, Any], *, is_method: bool) -> dict[str, Any]:
    """The schema of the handler's arguments as one array."""
    parameters = list(inspect.signature(fn).parameters.values())[1 if is_method else 0 :]
    named = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    ends = not any(each.kind is each.VAR_POSITIONAL for each in parameters)
    if not named:
        return {"type": "array", "maxItems": 0} if ends else {"type": "array"}
    types = [hints.get(each.name, Any) for each in named]
    types = [each if json_fault(each) is None else Any for each in types]
    schema = input_schema_of(tuple[tuple(types)])  # type: ignore[misc]
    items = schema.get("prefixItems") or [{} for _ in named]
    required = sum(each.default is each.empty for each in named)
    made = {
        "type": "array",
        "prefixItems": [{**item, "title": each.name} for item, each in zip(items, named, strict=True)],
        "minItems": required,
    }
    if ends:
        made |= {"items": False, "maxItems": len(named)}
    return {**made, "$defs": schema["$defs"]} if "$defs" in schema else made


def _set_while_running(tree: ast.Module, cls: type[Any]) -> Iterator[HandlerKind]:
    """The kinds of which this module's code sets handlers. Other workflow classes in it don't count."""
    own = {base.__name__ for base in cls.__mro__}
    for top in tree.body:
        if isinstance(top, ast.ClassDef) and top.name not in own and top.decorator_list:
            continue
        for node in ast.walk(top):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if (found := SET_WHILE_RUNNING.fullmatch(name)) is not None:
                yield HandlerKind(found[1])


def _modules_of_bases(cls: type[Any]) -> Iterator[ast.Module]:
    """The modules of the class's bases: one outside the grid may set handlers too."""
    for name in {base.__module__ for base in cls.__mro__[1:] if base is not object}:
        try:
            yield ast.parse(inspect.getsource(sys.modules[name]))
        except (OSError, TypeError, KeyError, SyntaxError):
            continue
