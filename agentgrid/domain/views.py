"""Saved views: named filters of the list of runs, private or shared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agentgrid.errors import InvalidPlace

SHARED = ""
"""The owner of a shared view. No principal can have this name."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
MAX_PRIVATE = 50
"""Maximum number of private views per principal."""
MAX_SHARED = 200
MAX_VALUES = 20
MAX_VALUE = 300

FILTERS = frozenset(
    {
        "state",
        "status",
        "waiting_on",
        "workflow",
        "version",
        "agent",
        "tool",
        "tag",
        "reference",
        "initiator",
        "trigger",
        "parent",
        "workflow_id",
        "task_queue",
        "stuck",
        "started_after",
        "started_before",
        "closed_after",
        "closed_before",
        "duration_over",
        "q",
        "sort",
    }
)
"""What a view can contain: the list's parameters, without those for paging."""


def faults_of(name: str, filters: Mapping[str, Sequence[str]]) -> list[InvalidPlace]:
    """What makes a view invalid."""
    faults = []
    if not NAME.fullmatch(name):
        message = "must be 1 to 80 lower-case letters, digits and . _ -, starting with a letter or digit; the title can be any text"
        faults.append(InvalidPlace(pointer="name", message=message))
    for key in sorted(set(filters) - FILTERS):
        faults.append(
            InvalidPlace(
                pointer=f"/filter/{key[:80]}",
                message=f"is not a filter of runs; use one of {', '.join(sorted(FILTERS))}",
            )
        )
    for key in sorted(set(filters) & FILTERS):
        values = filters[key]
        if not 0 < len(values) <= MAX_VALUES or any(not 0 < len(value) <= MAX_VALUE for value in values):
            message = f"must have 1 to {MAX_VALUES} values of 1 to {MAX_VALUE} characters"
            faults.append(InvalidPlace(pointer=f"/filter/{key}", message=message))
    return faults
