"""Activity kinds, derived from the prefix of the activity type. The worker, the fold and the API share this table.

To add a kind, add a row to `KINDS` and a member to `StepKind`.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentgrid.domain.steps import StepKind
from agentgrid.domain.switches import SwitchKind

TOOL_PREFIX = "tool."
"""Prefix of a tool's activity type, followed by the tool's name."""
MODEL_PREFIX = "model."
"""Prefix of the activity type of an agent's model turns, followed by the agent's name."""


@dataclass(frozen=True, kw_only=True)
class ActivityKind:
    """The activities whose type begins with one prefix. The rest of the type is their name."""

    prefix: str
    step: StepKind
    """The kind of step that they appear as."""
    switch: str
    """The kind of kill switch that stops them, looked up by their name."""
    named_by_default: bool = False
    """Whether a rule without a kind applies to them."""


PLAIN = ActivityKind(prefix="", step=StepKind.ACTIVITY, switch=SwitchKind.TOOL, named_by_default=True)
"""All other activities: the type is the name. A tool's kill switch also stops a plain activity of the same name."""

KINDS = (
    ActivityKind(prefix=TOOL_PREFIX, step=StepKind.TOOL, switch=SwitchKind.TOOL, named_by_default=True),
    # A rule for `*` must not require approval of every model turn, so only rules that name this kind apply.
    ActivityKind(prefix=MODEL_PREFIX, step=StepKind.MODEL, switch=SwitchKind.AGENT),
)


def governed() -> tuple[ActivityKind, ...]:
    """All kinds whose calls pass the gate, which are the kinds that rules can name."""
    return (*KINDS, PLAIN)


def about(named: str | None) -> frozenset[StepKind]:
    """The kinds that a rule applies to: the one that it names, or the defaults. Empty for an unknown kind."""
    return frozenset(
        kind.step for kind in governed() if (kind.named_by_default if named is None else kind.step == named)
    )


def classify(activity_type: str) -> tuple[ActivityKind, str]:
    """The kind and name of an activity of this type."""
    for kind in KINDS:
        if activity_type.startswith(kind.prefix) and activity_type != kind.prefix:
            return kind, activity_type.removeprefix(kind.prefix)
    return PLAIN, activity_type
