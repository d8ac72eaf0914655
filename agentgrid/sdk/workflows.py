"""Workflows: Temporal's own definition, plus a name, a title, tags and a subject."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from temporalio import workflow as temporal

from agentgrid.errors import RegistrationError

T = TypeVar("T")

SPEC = "__agentgrid_workflow__"
"""The attribute of a registered class that holds its `WorkflowSpec`."""


@dataclass(frozen=True, kw_only=True)
class WorkflowSpec:
    """A developer's declaration of a workflow."""

    name: str
    title: str
    tags: tuple[str, ...] = ()
    subject: str | None = None
    """The template of a run's subject; see `domain.asks`."""


def snake_case(name: str) -> str:
    """Convert `SupportTriage` to `support_triage`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _place(cls: type[Any]) -> dict[str, Any]:
    try:
        return {"file": inspect.getsourcefile(cls) or "", "line": inspect.getsourcelines(cls)[1]}
    except (OSError, TypeError):
        return {}


def workflow(
    *, title: str, name: str | None = None, tags: tuple[str, ...] = (), subject: str | None = None
) -> Callable[[type[T]], type[T]]:
    """Register a class with `@workflow.run` as a workflow. Wraps `temporalio.workflow.defn`.

    name: the Temporal workflow type and the name in URLs; defaults to the class's name in snake_case. subject: what a run is about, with names of
    input fields in braces, such as `Ticket {ticket_id}`. People who may read payloads see it in lists and can search for it.
    """

    def register(cls: type[T]) -> type[T]:
        spec = WorkflowSpec(name=name or snake_case(cls.__name__), title=title, tags=tuple(tags), subject=subject)
        try:
            defined = temporal.defn(name=spec.name)(cls)
        except (TypeError, ValueError) as error:
            # The error's traceback points to Temporal's code.
            raise RegistrationError(f"workflow class {cls.__qualname__}: {error}", **_place(cls)) from error
        setattr(defined, SPEC, spec)
        return defined

    return register
