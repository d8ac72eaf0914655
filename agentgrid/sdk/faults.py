"""Registration faults of a project's tools and workflows."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow as temporal

from agentgrid.domain import asks
from agentgrid.domain.asks import MAX_REACH, MAX_REACH_TEXT
from agentgrid.domain.policies import Risk
from agentgrid.errors import RegistrationError
from agentgrid.sdk import handlers, lint, sandbox
from agentgrid.sdk.discovery import RegisteredWorkflow
from agentgrid.sdk.json_tools import JsonTool
from agentgrid.sdk.places import place_of, reworded
from agentgrid.sdk.schema import is_mutable, is_secret, json_fault, secret_defaults
from agentgrid.sdk.source import Source
from agentgrid.sdk.tools import Tool

NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
"""Valid names of workflows and tools, which must work in URLs, shells and metrics."""

VISIBLE_DEFAULT = "{!r} has a secret as its default, which is visible in the schema: read it inside a tool, with await ag.secret(...).value()"


def tool_faults(tools: Sequence[Tool[..., Any]], sources: dict[str, Source]) -> Iterator[RegistrationError]:
    """The faults of these tools and of all code that runs in activities."""
    seen: dict[str, Tool[..., Any]] = {}
    for tool in tools:
        for message in _faults_of(tool):
            origin = f" ({tool.origin})" if isinstance(tool, JsonTool) and tool.origin else ""
            yield RegistrationError(f"tool {tool.name!r}{origin}: {message}", file=tool.file, line=tool.line)
        if (other := seen.get(str(tool.name))) is not None:
            yield RegistrationError(
                f"tool {tool.name!r} is already registered at {other.file}:{other.line}", file=tool.file, line=tool.line
            )
        seen[str(tool.name)] = tool
    yield from lint.activity_faults(sources)


def workflow_faults(
    workflows: Sequence[RegisteredWorkflow], sources: dict[str, Source], *, shared_modules: Sequence[str]
) -> Iterator[RegistrationError]:
    """The faults of these workflows and of all code that runs in them."""
    seen: dict[str, RegisteredWorkflow] = {}
    for registered in workflows:
        name, file, line = registered.spec.name, registered.file, registered.line
        if not _is_name(name):
            yield RegistrationError(f"workflow {name!r}: the name must match {NAME.pattern}", file=file, line=line)
        if (other := seen.get(str(name))) is not None:
            yield RegistrationError(
                f"workflow {name!r} is already registered at {other.file}:{other.line}", file=file, line=line
            )
        seen[str(name)] = registered
        messages = (
            *_boundary_faults(registered),
            *_subject_faults(registered),
            *handlers.faults_of(registered.handlers),
        )
        for message in messages:
            yield RegistrationError(f"workflow {name!r}: {message}", file=file, line=line)
        try:
            sandbox.build(registered.cls, shared_modules=shared_modules)
        except Exception as error:
            at = place_of(error) or (file, line)
            why = reworded(str(error))
            why = why if why != str(error) else f"{type(error).__name__}: {why}"
            yield RegistrationError(f"workflow {name!r} can't be built in the sandbox: {why}", file=at[0], line=at[1])
    yield from lint.faults([registered.cls for registered in workflows], sources)
    for source in sources.values():
        yield from _undecidable(source)


def _boundary_faults(registered: RegisteredWorkflow) -> Iterator[str]:
    """Faults in the parameters of a workflow's run method. The result can be anything that the data converter supports."""
    run = temporal._Definition.must_from_class(registered.cls).run_fn
    hints = typing.get_type_hints(run, include_extras=True)
    for parameter in list(inspect.signature(run).parameters.values())[1:]:
        if parameter.name not in hints:
            yield f"parameter {parameter.name!r} of its run method has no annotation"
        elif (why := json_fault(hints[parameter.name])) is not None:
            yield f"parameter {parameter.name!r} of its run method can't be represented in JSON: {why}"
        if is_mutable(parameter.default):
            yield f"parameter {parameter.name!r} of its run method has a mutable default; use None or an immutable value"
        if is_secret(parameter.name, parameter.default):
            yield VISIBLE_DEFAULT.format(parameter.name)
    yield from map(VISIBLE_DEFAULT.format, secret_defaults(registered.input_schema))
    yield from _schema_faults("input", registered.input_schema)


def _subject_faults(registered: RegisteredWorkflow) -> Iterator[str]:
    subject = registered.spec.subject
    if subject is None:
        return
    if not isinstance(subject, str):
        yield f"subject is {subject!r}; it must be a string such as 'Ticket {{ticket_id}}'"
    elif (
        why := asks.fault(subject, frozenset(asks.properties_of(registered.input_schema)), of="the fields of its input")
    ) is not None:
        yield f"subject: {why}"


def _schema_faults(which: str, schema: dict[str, Any]) -> Iterator[str]:
    """Why the schema can't be used for validation. A hand-written schema can contain anything."""
    # Imported here, because workflow code imports this package and never validates.
    from agentgrid.domain import schemas

    try:
        schemas.compiled(schema)
    except ValueError as error:
        yield f"its {which} schema can't be used: {error}"


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def _is_positive(value: Any) -> bool:
    return isinstance(value, timedelta) and value > timedelta(0)


def _faults_of(tool: Tool[..., Any]) -> Iterator[str]:
    """The tool's faults. Its options may have any type, because nothing has checked them yet."""
    if not _is_name(tool.name):
        yield f"the name must match {NAME.pattern}"
    if not (isinstance(tool.title, str) and tool.title.strip()):
        yield "has no title: add one, for approvers and operators"
    if not inspect.iscoroutinefunction(tool.fn):
        yield "must be an async function"
    if tool.timeout is None:
        yield "has no timeout: set the maximum duration of one attempt, e.g. timeout=timedelta(seconds=20)"
    elif not _is_positive(tool.timeout):
        yield "its timeout must be a positive timedelta"
    if tool.heartbeat is not None and not _is_positive(tool.heartbeat):
        yield "its heartbeat must be a positive timedelta"
    if type(tool.retries) is not int or not 0 <= tool.retries <= 100:
        yield "its retries must be 0 to 100"
    if not isinstance(tool.risk, str) or tool.risk not in set(Risk):
        yield f"its risk is {tool.risk!r}; it must be one of {', '.join(Risk)}"
    elif tool.local and Risk(tool.risk).writes and not tool.idempotent:
        yield "local=True is only for risk 'read' or idempotent tools: a crash in the workflow task runs it again"
    yield from _letter_faults(tool)
    if tool.check is not None:
        yield from _check_faults(tool, tool.check)
    try:
        yield from map(VISIBLE_DEFAULT.format, secret_defaults(tool.signature.input_schema))
        yield from _schema_faults("input", tool.signature.input_schema)
        if isinstance(tool, JsonTool):
            # Results of Python tools are checked by their types instead.
            yield from _schema_faults("output", tool.signature.output_schema)
    except TypeError as error:
        yield str(error)
    except NameError as error:
        yield f"an annotation can't be resolved: {error}"
    except Exception as error:
        yield f"its signature can't be read: {type(error).__name__}: {error}"


def _letter_faults(tool: Tool[..., Any]) -> Iterator[str]:
    """Faults in `reach`, `undoable` and `asks`, which approvers read."""
    if not isinstance(tool.reach, tuple) or len(tool.reach) > MAX_REACH or not all(map(_phrase, tool.reach)):
        yield f"its reach must be a tuple of at most {MAX_REACH} phrases, each of 1 to {MAX_REACH_TEXT} characters on one line"
    if tool.undoable is not None and not isinstance(tool.undoable, bool):
        yield f"undoable is {tool.undoable!r}; it must be True, False or None"
    if tool.asks is None:
        return
    if not isinstance(tool.asks, str):
        yield f"asks is {tool.asks!r}; it must be a string such as 'Refund {{amount_cents}} on ticket {{ticket_id}}'"
        return
    try:
        names = frozenset(asks.properties_of(tool.signature.input_schema))
    except Exception:
        return  # Reported with the other faults of the signature.
    if (why := asks.fault(tool.asks, names)) is not None:
        yield f"asks: {why}"


def _phrase(text: Any) -> bool:
    return isinstance(text, str) and len(text.strip()) > 0 and len(text) <= MAX_REACH_TEXT and asks.line(text) == text


def _check_faults(tool: Tool[..., Any], check: Any) -> Iterator[str]:
    """Faults of a tool's own check, which is called with the tool's arguments as keywords."""
    if not callable(check) or inspect.iscoroutinefunction(check):
        yield "its check must be a plain function, not a coroutine function"
        return
    try:
        inspect.signature(check).bind(**dict.fromkeys(inspect.signature(tool.fn).parameters))
    except (TypeError, ValueError):
        yield "its check must take the tool's parameters, with the same names"


def _undecidable(source: Source) -> Iterator[RegistrationError]:
    """Approvals that nobody can decide, because their approvers are a literal empty list."""
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "approval"):
            continue
        for keyword in node.keywords:
            if (
                keyword.arg == "approvers"
                and isinstance(keyword.value, (ast.List, ast.Tuple, ast.Set))
                and not keyword.value.elts
            ):
                yield RegistrationError(
                    "nobody can decide this approval: its approvers are empty; name at least one",
                    file=source.file,
                    line=node.lineno,
                )
