"""Kinds of activities: what the type of an activity shows about it. The worker, the fold and the API read the same table.

A new kind is a row of `KINDS`, and its word in `StepKind`.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentgrid.domain.steps import StepKind
from agentgrid.domain.switches import SwitchKind

TOOL_PREFIX = "tool."
"""Prefix of a tool's activity type; its name follows."""
MODEL_PREFIX = "model."
"""Prefix of the activity type of an agent's model turns; the agent's name follows."""


@dataclass(frozen=True, kw_only=True)
class ActivityKind:
    """The activities whose type begins with one prefix; what follows it is their name."""

    prefix: str
    step: StepKind
    """The kind of their steps."""
    switch: str
    """The kind of the kill switches that stop them, by their name."""
    named_by_default: bool = False
    """Whether rules that name no kind are about them too."""


PLAIN = ActivityKind(prefix="", step=StepKind.ACTIVITY, switch=SwitchKind.TOOL, named_by_default=True)
"""All others: their type is their name. The kill switch of a tool stops a plain activity of the same name too."""

KINDS = (
    ActivityKind(prefix=TOOL_PREFIX, step=StepKind.TOOL, switch=SwitchKind.TOOL, named_by_default=True),
    # A rule about `*` must not ask people before each model turn: only one that names the kind is about them.
    ActivityKind(prefix=MODEL_PREFIX, step=StepKind.MODEL, switch=SwitchKind.AGENT),
)


def governed() -> tuple[ActivityKind, ...]:
    """All kinds, whose calls pass the gate: what rules can name."""
    return (*KINDS, PLAIN)


def about(named: str | None) -> frozenset[StepKind]:
    """The kinds that a rule is about: the one that it names, or those that rules are about by default. None for a kind unknown here."""
    return frozenset(
        kind.step for kind in governed() if (kind.named_by_default if named is None else kind.step == named)
    )


def classify(activity_type: str) -> tuple[ActivityKind, str]:
    """The kind of the activities of this type, and their name."""
    for kind in KINDS:
        if activity_type.startswith(kind.prefix) and activity_type != kind.prefix:
            return kind, activity_type.removeprefix(kind.prefix)
    return PLAIN, activity_type
