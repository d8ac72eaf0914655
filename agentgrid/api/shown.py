"""What a caller may see of payloads. The one place that decides it: everything that holds a payload, or a text that may quote one, goes through here.

An error's text quotes what the code was given. So whoever may not read payloads is shown of an error its class, whether it is tried again, and
nothing of its text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from agentgrid.api.schemas.common import ErrorOut, StoredPayload
from agentgrid.control.approvals import no_approver
from agentgrid.control.plane import Caller
from agentgrid.db.approvals import Found
from agentgrid.db.tables import Command
from agentgrid.domain.principals import Permission, Principal

MAX_CAUSES = 10
CLASS = re.compile(r"[A-Za-z_][\w.]{0,99}", re.ASCII)
UNNAMED_CLASS = "Error"
"""For an error whose class is no name: an author may give any text as one."""

ABOUT_RUNS = ("run.", "approval.")
"""Kinds of commands that carry what runs are given."""
OUTCOME = frozenset({"code", "execution_id", "run_status", "verdict", "event_id", "judged", "reason"})
"""What everybody may see of their outcome: words of AgentGrid's own."""


@dataclass
class Disclosure:
    """Whether an answer held anything that only those see who may read payloads."""

    happened: bool = False
    subject: str | None = None
    """What it was about, where the path doesn't say it."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one caller may see, in one answer."""

    payloads: bool
    disclosure: Disclosure = field(default_factory=Disclosure)

    @classmethod
    def to(cls, principal: Principal) -> Shown:
        """What this principal may see of the runs in its scope."""
        return cls(payloads=principal.may(Permission.READ_PAYLOADS))

    def of_approval(self, caller: Caller, found: Found) -> Shown:
        """What this caller may see of one approval. A caller who may decide it sees its payload."""
        return replace(self, payloads=self.payloads or no_approver(caller, found) is None)

    def value(self, stored: Any) -> Any:
        """A payload, or whatever else only those see who may read payloads; None for everybody else."""
        if stored is None or not self.payloads:
            return None
        self.disclosure.happened = True
        return stored

    def payload(self, stored: Any) -> StoredPayload | None:
        """A stored payload."""
        found: StoredPayload | None = self.value(stored)
        return found

    def text(self, words: str | None) -> str | None:
        """A text that may quote a payload."""
        found: str | None = self.value(words)
        return found

    def error(self, stored: Any, *, whole: bool = True, depth: int = 0) -> ErrorOut | None:
        """An error: its class for everybody, its text too for those who may read payloads; stack and details if it is shown whole."""
        if not isinstance(stored, dict):
            return None
        return ErrorOut(
            type=class_of(stored.get("type")) if not self.payloads else stored.get("type"),
            message=self.text(stored.get("message")),
            retryable=stored.get("retryable"),
            stack=self.value(stored.get("stack")) if whole else None,
            details=self.value(stored.get("details")) if whole else None,
            cause=self.error(stored.get("cause"), whole=whole, depth=depth + 1) if depth < MAX_CAUSES else None,
        )

    def outcome(self, command: Command) -> dict[str, Any] | None:
        """What came of a command: the text of a refusal may quote the input that was refused."""
        told: dict[str, Any] | None = command.outcome
        if told is None or told.keys() <= OUTCOME or not command.kind.startswith(ABOUT_RUNS):
            return told
        found: dict[str, Any] | None = self.value(told)
        return found or {name: value for name, value in told.items() if name in OUTCOME}


def class_of(given: Any) -> str | None:
    """An error's class as everybody may see it."""
    if given is None:
        return None
    return given if isinstance(given, str) and CLASS.fullmatch(given) else UNNAMED_CLASS
