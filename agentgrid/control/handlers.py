"""Checks a message (signal, query, update) against the handlers of the run's version, before anything is sent.

Temporal accepts any signal name, and a workflow without a matching handler ignores it: only this check finds a typo. Newer code may have picked
up the run, so the message may also match the newest version. If the run's version is unknown, or was registered without handlers, nothing
is checked, and the response says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentgrid.control import inputs
from agentgrid.control.plane import ControlPlane
from agentgrid.db import workflows
from agentgrid.db.session import reading
from agentgrid.db.tables import Run
from agentgrid.domain.handlers import (
    RESERVED,
    SHOWN_INTERNAL_QUERIES,
    Fit,
    Handler,
    HandlerKind,
    Handlers,
    is_reserved,
    unknown,
)
from agentgrid.errors import Conflict, InvalidInput, InvalidPlace

ARGUMENTS = inputs.InputPlace(pointer="/arguments", subject="the argument")
NAME = "/name"


def check_form(plane: ControlPlane, kind: HandlerKind, name: str, arguments: Sequence[Any]) -> None:
    """Reject reserved names and arguments that Temporal would not accept. Raises InvalidInput, PayloadTooLarge."""
    if is_reserved(kind, name):
        others = f", except {' and '.join(sorted(SHOWN_INTERNAL_QUERIES))}" if kind is HandlerKind.QUERY else ""
        reserved = " or ".join(f"`{prefix}`" for prefix in RESERVED)
        raise InvalidInput(
            f"{kind} names that begin with {reserved} are reserved{others}; use another name",
            [InvalidPlace(pointer=NAME, message="is reserved")],
        )
    inputs.check_size(f"the {kind}", arguments, plane.temporal.data_converter.payload_converter)


async def check(plane: ControlPlane, run: Run, kind: HandlerKind, name: str, arguments: Sequence[Any]) -> Fit:
    """How far the message could be checked. Raises InvalidInput, with a suggestion, if no handler of the run accepts it; RateLimited."""
    if run.version is None or is_reserved(HandlerKind.SIGNAL, name):
        return Fit.UNKNOWN
    async with reading(plane.engine) as session:
        documents = await workflows.handlers(session, run.workflow, run.version)
    declared = {version: Handlers.read(document) for version, document in documents.items()}
    if declared.get(run.version) is None:
        return Fit.UNKNOWN
    # The run's own version comes first: its error is the one to show.
    versions = sorted(declared, key=lambda version: version != run.version)
    refused: InvalidInput | None = None
    for version in versions:
        version_handlers = declared[version]
        if version_handlers is None:
            return Fit.UNKNOWN
        handler = version_handlers.of(kind).get(name)
        if handler is None:
            if kind in version_handlers.dynamic:
                return Fit.DYNAMIC
            continue
        try:
            return await _fit(plane, run.workflow, version, kind, handler, arguments)
        except InvalidInput as error:
            refused = refused or error
    if refused is None:
        names = {known for of_version in declared.values() if of_version is not None for known in of_version.of(kind)}
        refused = InvalidInput(
            f"{run.workflow}: {unknown(kind, name, names)}", [InvalidPlace(pointer=NAME, message=f"no such {kind}")]
        )
    raise refused


async def _fit(
    plane: ControlPlane, workflow: str, version: str, kind: HandlerKind, handler: Handler, arguments: Sequence[Any]
) -> Fit:
    schema = handler.input_schema
    try:
        await plane.checker.check(
            f"{workflow} {kind} {handler.name}", version, schema, list(arguments), place=ARGUMENTS
        )
    except Conflict:
        # An unusable schema must not block a message to a run.
        return Fit.UNKNOWN
    except InvalidInput as error:
        raise InvalidInput(f"the {kind} {handler.name!r} takes {described(schema)}", error.faults) from None
    return Fit.DECLARED


def described(schema: dict[str, Any]) -> str:
    """A handler's arguments in words: `2 arguments: until, reason (optional)`."""
    items, required = schema.get("prefixItems"), schema.get("minItems", 0)
    if not isinstance(items, list) or not items:
        return "no arguments" if schema.get("maxItems") == 0 else "any arguments"
    names = [
        (str(item.get("title", "")) if isinstance(item, dict) else "") or f"argument {number + 1}"
        for number, item in enumerate(items)
    ]
    shown = [name if number < required else f"{name} (optional)" for number, name in enumerate(names)]
    return f"{len(items)} argument{'s' if len(items) > 1 else ''}: {', '.join(shown)}"
