"""A workflow: Temporal's own definition, with a name, a title and tags."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from temporalio import workflow as temporal

T = TypeVar("T")

SPEC = "__agentgrid_workflow__"
"""The attribute of a registered class that holds its `WorkflowSpec`."""


@dataclass(frozen=True, kw_only=True)
class WorkflowSpec:
    """A developer's declaration of a workflow."""

    name: str
    title: str
    tags: tuple[str, ...] = ()


def snake_case(name: str) -> str:
    """`SupportTriage` to `support_triage`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def workflow(*, title: str, name: str | None = None, tags: tuple[str, ...] = ()) -> Callable[[type[T]], type[T]]:
    """Register a class with `@workflow.run` as a workflow; wraps `temporalio.workflow.defn`.

    name: the Temporal workflow type and the name in every URL; defaults to the class's name in snake_case.
    """

    def register(cls: type[T]) -> type[T]:
        spec = WorkflowSpec(name=name or snake_case(cls.__name__), title=title, tags=tuple(tags))
        defined = temporal.defn(name=spec.name)(cls)
        setattr(defined, SPEC, spec)
        return defined

    return register
