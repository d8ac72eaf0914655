"""What a caller may see of payloads. Every payload, and every text that may quote one, passes through this module.

An error's text can quote arguments of the code. A caller who may not read payloads therefore sees only an error's class and whether it is
retried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from agentgrid.api.schemas.commands import CommandOutcome
from agentgrid.api.schemas.common import ErrorOut, StoredPayload
from agentgrid.control.approvals import no_approver
from agentgrid.control.plane import Caller
from agentgrid.db.approvals import ApprovalFacts
from agentgrid.db.tables import Command
from agentgrid.domain.approvals import Judged
from agentgrid.domain.places import failing_place
from agentgrid.domain.principals import Permission, Principal
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.steps import StepKind
from agentgrid.domain.surrogates import sendable

MAX_CAUSES = 10
CLASS = re.compile(r"[A-Za-z_][\w.]{0,99}", re.ASCII)
HIDDEN_TITLE = "An approval"
"""Shown in place of an explicit approval's title if payloads are hidden."""
UNNAMED_CLASS = "Error"
"""Shown in place of an error class that is not an identifier, because an author can set any text as the class."""

RUN_KINDS = ("run.", "approval.")
"""Prefixes of the command kinds whose outcome may quote a run's payloads."""
PUBLIC_OUTCOME = frozenset({"code", "execution_id", "run_status", "verdict", "event_id", "judged", "reason"})
"""Fields of such an outcome that every caller may see, because AgentGrid sets their text."""


@dataclass
class Disclosure:
    """Whether a response contained anything that requires the permission to read payloads."""

    happened: bool = False
    subject: str | None = None
    """The id of the resource, if it isn't in the path."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one caller may see in one response."""

    payloads: bool
    disclosure: Disclosure = field(default_factory=Disclosure)

    @classmethod
    def to(cls, principal: Principal) -> Shown:
        """What this principal may see of the runs in its scope."""
        return cls(payloads=principal.may(Permission.READ_PAYLOADS))

    def of_approval(self, caller: Caller, facts: ApprovalFacts) -> Shown:
        """What this caller may see of one approval. A caller who may decide it may see its payload."""
        return replace(self, payloads=self.payloads or no_approver(caller, facts) is None)

    def value(self, stored: Any) -> Any:
        """A value that requires the permission to read payloads, made safe to serialise; None for callers without it."""
        if stored is None or not self.payloads:
            return None
        self.reveal()
        return sendable(stored)

    def reveal(self) -> None:
        """Record that the response discloses payloads that don't pass through `value`: a file or a stream."""
        if self.payloads:
            self.disclosure.happened = True

    def payload(self, stored: Any) -> StoredPayload | None:
        """A stored payload with its form."""
        visible = self.value(stored)
        return None if visible is None else formed(visible)

    def text(self, words: str | None) -> str | None:
        """A text that may quote a payload."""
        visible: str | None = self.value(words)
        return visible

    def error(self, stored: Any, *, whole: bool = True, depth: int = 0) -> ErrorOut | None:
        """An error. Its class is always shown. Its message and, if `whole`, its stack and details require the permission to read payloads."""
        if not isinstance(stored, dict):
            return None
        stored = _without_duplicates(stored)
        return ErrorOut(
            type=self.text(stored.get("type")) if self.payloads else class_of(stored.get("type")),
            message=self.text(stored.get("message")),
            retryable=stored.get("retryable"),
            at=self.text(failing_place(str(stored.get("stack") or ""))),
            stack=self.value(stored.get("stack")) if whole else None,
            details=self.value(stored.get("details")) if whole else None,
            cause=self.error(stored.get("cause"), whole=whole, depth=depth + 1) if depth < MAX_CAUSES else None,
        )

    def outcome(self, command: Command) -> CommandOutcome | None:
        """The outcome of a command with its form. A refusal's message may quote the refused input."""
        outcome: dict[str, Any] | None = sendable(command.outcome)
        if outcome is None:
            return None
        if not outcome.keys() <= PUBLIC_OUTCOME and command.kind.startswith(RUN_KINDS) and self.value(outcome) is None:
            outcome = {name: value for name, value in outcome.items() if name in PUBLIC_OUTCOME}
        return with_form(outcome)

    def step_name(self, kind: str, name: str) -> str:
        """A step's name. An explicit approval's name is its title, which may quote a payload."""
        return name if kind != StepKind.APPROVAL else self.text(name) or StepKind.APPROVAL.value

    def current_step(self, kind: str | None, step: str | None) -> str | None:
        """A run's current step."""
        return step if kind is None or step is None else self.step_name(kind, step)


def _without_duplicates(error: dict[str, Any]) -> dict[str, Any]:
    """The error without causes that repeat it, such as a tool's error wrapped by the worker. Keeps the cause's location in the code."""
    for _ in range(MAX_CAUSES):
        cause = error.get("cause")
        if not isinstance(cause, dict) or any(cause.get(name) != error.get(name) for name in ("type", "message")):
            break
        stack = next(
            (fault.get("stack") for fault in (error, cause) if failing_place(str(fault.get("stack") or ""))), None
        )
        details = error.get("details") if error.get("details") is not None else cause.get("details")
        error = {**error, "stack": stack or error.get("stack"), "details": details, "cause": cause.get("cause")}
    return error


def with_form(outcome: dict[str, Any]) -> CommandOutcome:
    """A command's outcome, tagged with its form."""
    tagged: CommandOutcome = {**outcome, "form": _form(outcome)}  # type: ignore[assignment]  # matches its form
    return tagged


def _form(outcome: dict[str, Any]) -> str:
    if isinstance(outcome.get("proposal"), dict):
        return "proposal"
    if isinstance(outcome.get("code"), str):
        return "fault"
    if isinstance(outcome.get("event_id"), int) and outcome.get("judged") in set(Judged):
        return "judged"
    return "ended" if outcome.get("run_status") in set(RunStatus) else "facts"


def formed(stored: Any) -> StoredPayload:
    """A stored payload, tagged with its form."""
    form = next((word for word in ("value", "values", "opaque") if word in stored), "preview")
    tagged: StoredPayload = {"form": form, **stored}  # type: ignore[assignment]  # matches its form
    return tagged


def class_of(name: Any) -> str | None:
    """An error's class, safe to show to every caller."""
    if name is None:
        return None
    return name if isinstance(name, str) and CLASS.fullmatch(name) else UNNAMED_CLASS
