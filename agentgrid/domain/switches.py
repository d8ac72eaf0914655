"""Kill switches: anything with a name can have one. While it is on, the thing can't be used, regardless of the rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SwitchKind(StrEnum):
    """The kinds of things that have a kill switch. The table and the snapshot accept any kind, so that a new one needs no migration."""

    TOOL = "tool"
    """While on, every call of the tool is denied."""
    WORKFLOW = "workflow"
    """While on, every call of its runs is denied, and it can't be started."""
    AGENT = "agent"
    """While on, every model turn and every tool call of the agent is denied, and it can't be called."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that a kill switch can disable."""

    kind: str
    name: str

    def refusal(self, reason: str = "") -> str:
        """The error message for using it while its kill switch is on."""
        named = self.name if self.kind == SwitchKind.TOOL else f"the {self.kind} {self.name}"
        return f"{named} is disabled by its kill switch{': ' if reason else ''}{reason}"
